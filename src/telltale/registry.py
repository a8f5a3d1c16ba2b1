"""Names to things, with a helpful answer to a wrong name."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Generic, TypeVar

from telltale.errors import UserError

T = TypeVar("T")


def suggest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that look most like `name`, best first.

    >>> suggest("resnet5O", ["resnet50", "vit_small"])
    ['resnet50']
    """
    return get_close_matches(name, list(known), n=count, cutoff=0.6)


def select(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match a shell pattern, sorted, each once; a plain word matches anywhere in a name.

    >>> select(["resnet50", "vit_small", "resnet18"], "net"), select(["resnet50", "vit_small"], "vit*")
    (['resnet18', 'resnet50'], ['vit_small'])
    """
    wanted = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    return sorted({name for name in names if fnmatch(name, wanted)})


def unknown(kind: str, name: str, known: Iterable[str], do: str) -> tuple[str, str, str]:
    """The three parts of the message for a wrong name: given, expected, do."""
    names = sorted(known)
    close = suggest(name, names)
    expected = f"Did you mean {' or '.join(repr(one) for one in close)}?" if close else f"Known: {_shorten(names)}."
    return f"No {kind} named {name!r}.", expected, do


def _shorten(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Registry(Generic[T]):
    """A named set of things of one kind; a wrong name says which right one was probably meant.

    >>> formats = Registry[str]("output format", {"csv": "text/csv"})
    >>> formats["csv"]
    'text/csv'
    >>> formats["cvs"]
    Traceback (most recent call last):
    telltale.errors.UserError: No output format named 'cvs'. Did you mean 'csv'? Choose one of: csv.
    """

    def __init__(self, kind: str, things: dict[str, T]) -> None:
        self.kind = kind
        self._things = dict(things)

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            given, expected, do = unknown(self.kind, name, self._things, f"Choose one of: {', '.join(self)}.")
            raise UserError(given, expected=expected, do=do)
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things
