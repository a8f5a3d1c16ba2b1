"""What long work says while it runs: how far it is, and what a reader should know.

Work takes a `tell` argument and calls it with an `Advance` or a `Note`; a progress bar, a log or a test listens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Advance:
    """`done` of `total` (None: not known yet) in a named stage, counted in `unit`; `detail` is how it stands."""

    stage: str
    done: int
    total: int | None
    unit: str = "images"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence that a reader should see; `warning` where it asks for attention."""

    text: str
    warning: bool = False


Tell: TypeAlias = Callable[[Advance | Note], None]


def silent(message: Advance | Note) -> None:
    """Listen to nothing: the default of every `tell` argument."""
