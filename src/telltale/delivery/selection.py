"""Which pictures of a collection a reader is shown: samples of each class, copies side by side, leaking pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.data.checks import CHECKS
from telltale.data.duplicates import Duplicates
from telltale.data.findings import Findings
from telltale.data.index import Index

CLASSES: Final = 12
"""Classes of which samples are shown; of more, the first."""

EACH: Final = 8
"""Samples of a class."""

GROUPS: Final = 12
"""Groups of copies, and pairs across a split, that are shown."""

TOGETHER: Final = 4
"""Pictures of one group of copies that are shown."""

FOUND: Final = 12
"""Pictures of one check that are shown."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture to show: where it is, the label it has (empty: none), and words beside it."""

    path: str
    label: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Copies:
    """A group of pictures that show the same: some of them, and how many there are."""

    pictures: tuple[Shown, ...]
    count: int
    equal: bool
    """All have the same pixels."""
    mixed: bool
    """They have different labels."""


@dataclass(frozen=True, slots=True)
class CopyCounts:
    """How many copies there are."""

    groups: int
    """Pictures that are there more than once."""
    surplus: int
    """Files left over if one of each is kept."""
    mixed: int
    """Groups whose pictures have different labels."""


@dataclass(frozen=True, slots=True)
class Wall:
    """What one check found: the worst of it, and how many there are."""

    name: str
    says: str
    pictures: tuple[Shown, ...]
    count: int

    @property
    def anchor(self) -> str:
        """Where the report shows it."""
        return anchor(self.name)


def anchor(name: str) -> str:
    """The place in the report of what a check found.

    >>> anchor("wrong extension")
    'check-wrong-extension'
    """
    return f"check-{name.replace(' ', '-')}"


def show(index: Index, rows: Sequence[int] | Rows, words: Sequence[str] = ()) -> list[Shown]:
    """The samples with these row numbers as pictures to show."""
    table = index.table.select(["path", "label"]).take(pa.array(rows, pa.int64())).to_pylist()
    said = words or [""] * len(table)
    return [Shown(row["path"], row["label"] or "", text) for row, text in zip(table, said, strict=True)]


def pick_samples(index: Index, *, classes: int = CLASSES, each: int = EACH, seed: int = 0) -> dict[str, list[Shown]]:
    """Up to `each` readable pictures, drawn by `seed`, of each of the first `classes` classes that have any."""
    usable = index.table.column("error").is_null().to_numpy()
    found = {}
    for code, name in enumerate(index.classes):
        rows = np.flatnonzero(usable & (index.codes == code))
        if len(rows):
            drawn = np.random.default_rng([seed, code]).permutation(rows)[:each]
            found[name] = show(index, np.sort(drawn))
        if len(found) == classes:
            break
    return found


def pick_findings(findings: Findings, most: int = FOUND, *, without: Sequence[str] = ()) -> list[Wall]:
    """What each check but those in `without` found, in their order, the worst first."""
    walls = []
    for check in CHECKS:
        if findings.counts[check.name] and check.name not in without:
            found = findings.of(check.name)
            rows = found.slice(0, most).select(["path", "label", "detail"]).to_pylist()
            pictures = tuple(Shown(row["path"], row["label"] or "", row["detail"] or "") for row in rows)
            walls.append(Wall(check.name, check.says, pictures, len(found)))
    return walls


def pick_leaks(index: Index, leaks: pa.Table, most: int = GROUPS) -> list[tuple[Shown, Shown, str]]:
    """Pictures of validation or test, the earlier ones that they copy, and how they are the same: spread over all."""
    rows = np.unique(np.linspace(0, max(0, len(leaks) - 1), min(most, len(leaks))).round().astype(np.int64))
    chosen = leaks.take(pa.array(rows))
    parts = index.table.column("split")

    def side(column: str) -> list[Shown]:
        numbers = chosen.column(column).to_pylist()
        return show(index, numbers, [parts[number].as_py() or "" for number in numbers])

    return list(zip(side("row"), side("other"), chosen.column("kind").to_pylist(), strict=True))


def pick_copies(index: Index, duplicates: Duplicates, most: int = GROUPS) -> list[Copies]:
    """Groups of copies: those with different labels first, then the largest."""
    order, starts = _grouped(duplicates)
    sizes = np.diff(starts, append=len(order))
    mixed = _differ(index.codes[order], starts)
    alone = duplicates.exact[order] < 0
    equal = ~_differ(duplicates.exact[order], starts) & ~_any(alone, starts)
    found = []
    for group in np.lexsort((starts, -sizes, ~mixed))[:most].tolist():
        members = _each_label_first(index, order[starts[group] : starts[group] + sizes[group]])
        pictures = tuple(show(index, members[:TOGETHER]))
        found.append(Copies(pictures, int(sizes[group]), equal=bool(equal[group]), mixed=bool(mixed[group])))
    return found


def count_copies(index: Index, duplicates: Duplicates) -> CopyCounts:
    """How many copies there are."""
    order, starts = _grouped(duplicates)
    return CopyCounts(len(starts), len(order) - len(starts), int(_differ(index.codes[order], starts).sum()))


def _grouped(duplicates: Duplicates) -> tuple[Rows, Rows]:
    """Row numbers of all pictures that are in a group, group by group, and where each group starts."""
    rows = np.flatnonzero(duplicates.near >= 0)
    order = rows[np.lexsort((rows, duplicates.near[rows]))]
    return order, np.flatnonzero(np.diff(duplicates.near[order], prepend=-1))


def _any(values: NDArray[np.bool_], starts: Rows) -> NDArray[np.bool_]:
    """Whether any value from each start to the next is true."""
    return np.asarray(np.logical_or.reduceat(values, starts) if len(starts) else values, np.bool_)


def _differ(values: NDArray[Any], starts: Rows) -> NDArray[np.bool_]:
    """Whether the known values (0 and more) from each start to the next differ."""
    if not len(starts):
        return np.zeros(0, np.bool_)
    highest = np.maximum.reduceat(values, starts)
    lowest = np.minimum.reduceat(np.where(values < 0, np.iinfo(values.dtype).max, values), starts)
    return np.asarray(lowest < highest, np.bool_)


def _each_label_first(index: Index, members: Rows) -> Rows:
    """The members with one of each label before the others of the same label."""
    codes = index.codes[members]
    _, first = np.unique(codes, return_index=True)
    later = np.setdiff1d(np.arange(len(members)), first)
    return np.asarray(members[np.concatenate([np.sort(first), later])], np.int64)
