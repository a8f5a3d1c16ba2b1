"""WebDataset shards as one store: `train-000012.tar/n01440764_10026.jpg`, each tar read where it lies.

A place of shards is written as a pattern: `shards/train-{000000..000012}.tar`, `shards/*.tar`, `shards/**/*.tar`.
"""

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from telltale.data.store import Entries, Entry, Store, damaged, missing
from telltale.data.tar_store import Members
from telltale.data.zip_store import Reader
from telltale.errors import SourceError

_PATTERN: Final = re.compile(r"\{[^{}/]+\}|\*")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")
_OPEN: Final = 64
"""Tars that are open at once: a system usually allows 1,024 files."""
_MOST: Final = 1_000_000
"""Shards that a pattern may name: 1,000 TB in pieces of the usual size."""


class ShardStore:
    """The files of several tars; paths begin with the tar's path below the folder that all lie in.

    `names` has the shards for keys, sorted. The list of a tar's members is read when something of it is first asked
    for. `beside` is the folder itself: class names lie there. `fetch` gives the path of a shard on this machine.
    """

    readers = 0

    def __init__(self, location: str, names: Sequence[str], *, beside: Store, fetch: Callable[[str], Path]) -> None:
        self.location = location
        self.names = dict.fromkeys(sorted(names, key=lambda name: f"{name}/"))
        self.beside = beside
        self._fetch = fetch
        self._members: dict[str, Members] = {}
        self._open: OrderedDict[str, Reader] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> Entries:
        """All files sorted by path."""
        return [Entry(f"{name}/{one.path}", one.size) for name in self.names for one in self.list_shard(name)]

    def list_shard(self, name: str) -> Entries:
        """The files in one tar, sorted by their path in it."""
        return self._open_shard(name)[0].list()

    def read(self, path: str) -> bytes:
        """The bytes of one file. `SourceError` where its tar is damaged, as for every archive."""
        end = path.find(".tar/") + 4
        while end > 3 and path[:end] not in self.names:  # a folder may be called so too
            end = path.find(".tar/", end) + 4
        if end <= 3:
            raise missing(path)
        members, reader = self._open_shard(path[:end])
        try:
            return members.read(reader, path[end + 1 :])
        except FileNotFoundError as error:
            raise missing(path) from error
        except OSError as error:
            raise damaged(path, str(error.strerror)) from error

    def _open_shard(self, name: str) -> tuple[Members, Reader]:
        with self._lock:
            if name not in self._members:
                self._members[name] = Members(self._fetch(name))
            reader = self._open.pop(name, None) or Reader(self._fetch(name))
            self._open[name] = reader  # the one that was asked for last is last
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)  # closed when the last thread that reads from it lets it go
            return self._members[name], reader


def is_pattern(location: str) -> bool:
    """Does the text name several tars?

    >>> is_pattern("shards/train-{00..12}.tar"), is_pattern("shards/*.tar"), is_pattern("shards/train-00.tar")
    (True, True, False)
    """
    return location.endswith(".tar") and _PATTERN.search(location) is not None


def split_pattern(location: str) -> tuple[str, str]:
    """The folder that all shards lie in, and the pattern below it.

    >>> split_pattern("s3://bucket/set/*/train-{00..12}.tar")
    ('s3://bucket/set', '*/train-{00..12}.tar')
    """
    match = _PATTERN.search(location)
    start = location.rfind("/", 0, match.start() if match else len(location))
    return (location[:start] or "/") if start >= 0 else "", location[start + 1 :]


def name_shards(pattern: str, beside: Store) -> list[str]:
    """The shards that a pattern below the folder `beside` names, sorted; `SourceError` where there is none.

    Without a `*`, every shard that the pattern names is meant, and each must be there.
    """
    wanted = expand_braces(pattern)
    there = [entry.path for entry in beside.list() if entry.path.endswith(".tar")]
    if "*" not in pattern:
        lost = sorted(set(wanted) - set(there))
        if lost:
            raise SourceError(
                f"{len(lost):,} of the {len(wanted):,} shards that {pattern!r} names are not there: {lost[0]!r}.",
                expected=f"All of them in {beside.location!r}.",
                do="Correct the numbers in the pattern, or copy the missing shards.",
            )
        return sorted(set(wanted))
    expression = re.compile("|".join(_as_expression(one) for one in wanted), re.DOTALL)
    found = [path for path in there if expression.fullmatch(path)]
    if not found:
        raise SourceError(
            f"No shard in {beside.location!r} fits {pattern!r}.",
            expected="At least one tar.",
            do="Check the pattern and the folder.",
        )
    return found


def expand_braces(pattern: str) -> list[str]:
    """Every text that a pattern with braces stands for.

    >>> expand_braces("{train,val}-{08..10}.tar")[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    pieces = re.split(r"\{([^{}/]+)\}", pattern)
    choices = [[piece] if number % 2 == 0 else _choices(piece) for number, piece in enumerate(pieces)]
    count = 1
    for one in choices:
        count *= len(one)
    if count > _MOST:
        raise _explain_many(pattern, count)
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(inside: str) -> Sequence[str]:
    match = _RANGE.fullmatch(inside)
    if not match:
        return inside.split(",")
    start, end = int(match[1]), int(match[2])
    if abs(end - start) >= _MOST:
        raise _explain_many(f"{{{inside}}}", abs(end - start) + 1)
    step = 1 if end >= start else -1
    return [str(number).zfill(len(match[1])) for number in range(start, end + step, step)]


def _explain_many(pattern: str, count: int) -> SourceError:
    return SourceError(
        f"The pattern {pattern!r} names {count:,} shards.",
        expected=f"At most {_MOST:,}.",
        do="Correct the numbers in the braces.",
    )


def _as_expression(pattern: str) -> str:
    """`**/` is any number of folders, `*` anything but a `/`."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    return "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
