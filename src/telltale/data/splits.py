"""`split` divides an `Index` into training, validation and test: once, saved, never derived again from a seed.

Pictures with the same pixels, and pictures of one group, stay on one side. What the source has fixed is kept. There
is always a test part: a number that was used to choose something says little about pictures never seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.arrow import UNREADABLE, read_arrow, write_arrow
from telltale.cache import DIGEST_BYTES
from telltale.data.index import Index
from telltale.errors import BundleError, DataError

PARTS: Final = ("train", "validation", "test")
FORMAT_VERSION: Final = 1
_TRAIN, _VALIDATION, _TEST = range(3)
_SCHEMA: Final = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("digest", pa.binary(DIGEST_BYTES)),
        ("part", pa.string()),
    ]
)


@dataclass(frozen=True)
class Splits:
    """The readable samples of an `Index`, each in one part.

    `parts` int8 `[len(index)]`: 0 train, 1 validation, 2 test, -1 in none (unreadable or without a label).
    `notes` are sentences about what was decided; `leaks` counts pictures of validation and test that share pixels or
    group with a training picture because the source fixed it so.
    """

    index: Index
    parts: NDArray[np.int8]
    notes: tuple[str, ...] = ()
    leaks: int = 0

    @cached_property
    def train(self) -> Index:
        """The samples to learn from."""
        return self.index.take(np.flatnonzero(self.parts == _TRAIN))

    @cached_property
    def validation(self) -> Index:
        """The samples to choose with: regularisation, epoch, threshold."""
        return self.index.take(np.flatnonzero(self.parts == _VALIDATION))

    @cached_property
    def test(self) -> Index:
        """The samples to report on, used for nothing else."""
        return self.index.take(np.flatnonzero(self.parts == _TEST))

    def save(self, path: Path) -> Path:
        """Write as an Arrow file: path, label, digest and part of every sample."""
        names = pa.array([*PARTS, None]).take(pa.array(np.where(self.parts < 0, 3, self.parts), pa.int8()))
        table = self.index.table.select(["path", "label", "digest"]).append_column("part", names)
        facts = {"format_version": str(FORMAT_VERSION), "leaks": str(self.leaks)}
        facts |= {f"note:{number}": note for number, note in enumerate(self.notes)}
        return write_arrow(path, table.replace_schema_metadata(facts))

    @classmethod
    def load(cls, path: Path, index: Index) -> "Splits":
        """Read what `save` wrote for this `index`; `BundleError` where it belongs to other data."""
        try:
            table, texts = read_arrow(path)
        except UNREADABLE as error:
            raise BundleError(
                f"The splits {str(path)!r} cannot be read ({error}).",
                expected="A splits.arrow that Telltale wrote.",
                do="Check the path, or split the data again.",
            ) from error
        leaks = texts.get("leaks", "")
        right = table.schema.equals(_SCHEMA) and leaks.isdecimal()
        if not right or texts.get("format_version") != str(FORMAT_VERSION):
            raise BundleError(
                f"The splits {str(path)!r} have format version {texts.get('format_version')!r}.",
                expected=f"Splits of version {FORMAT_VERSION}.",
                do="Split the data again with this version of Telltale.",
            )
        if not table.column("digest").equals(index.table.column("digest")):
            raise BundleError(
                f"The splits {str(path)!r} belong to other pictures than the index of {index.location!r}.",
                expected="The same pictures in the same order.",
                do="Use the index.arrow that lies beside them, or split again.",
            )
        parts = pc.index_in(table.column("part"), value_set=pa.array(PARTS)).fill_null(-1)
        notes = tuple(texts[f"note:{n}"] for n in range(len(texts)) if f"note:{n}" in texts)
        return cls(index, parts.to_numpy().astype(np.int8), notes, int(leaks))

    def __str__(self) -> str:
        rows = [
            f"{len(part):>9,}  {name}"
            for name, part in zip(PARTS, (self.train, self.validation, self.test), strict=True)
        ]
        return "\n".join([*rows, *self.notes])


def split(index: Index, *, seed: int = 0, val: float = 0.15, test: float = 0.15) -> Splits:
    """Training, validation and test parts of `index`: stratified by class, seeded, identical pictures kept together.

    Parts that the source fixes are kept. Where it has no validation part, a share `val` of its training part becomes
    one; where it has no test part, half of its validation part does. Raises `DataError` where a class has too few
    pictures to be learned, chosen and tested on.
    """
    usable = index.table.column("error").is_null().to_numpy() & (index.codes >= 0)
    _check_classes(index, usable)
    units = _units(index)
    dealer = _Dealer(units, index.codes, seed)
    parts = np.where(usable, _given(index), -1).astype(np.int8)
    if (parts < 0).all():
        dealer.divide(parts, usable, (_TRAIN, 1 - val - test), (_VALIDATION, val), (_TEST, test))
        shares = f"{1 - val - test:.0%} train, {val:.0%} validation, {test:.0%} test"
        notes = [f"The source has no split: {shares}, by class."]
    else:
        notes = _complete(parts, usable & (parts < 0), dealer, val)
    counts = np.bincount(index.codes[usable], minlength=len(index.classes)).tolist()
    tiny = [f"{name!r} ({count})" for name, count in zip(index.classes, counts, strict=True) if count < len(PARTS)]
    if tiny:
        notes.append(f"Classes too small to be in all three parts: {_list(tiny)}.")
    leaks = _leaks(units, parts)
    if leaks:
        notes.append(
            f"{leaks:,} pictures of validation and test have the same pixels or group as training pictures, as the "
            "source's own split has it: their scores flatter the model."
        )
    _check_parts(index, parts)
    return Splits(index, parts, tuple(notes), leaks)


def given_part(index: Index, name: str) -> Index:
    """The samples that the source itself puts into part `name`: train, validation or test; all where it is empty."""
    if not name:
        return index
    if name not in PARTS or not (_given(index) == PARTS.index(name)).any():
        known = [part for number, part in enumerate(PARTS) if (_given(index) == number).any()]
        raise DataError(
            f"The data in {index.location!r} have no part {name!r}.",
            expected=f"One of {', '.join(known)}." if known else "Data that are divided into parts.",
            do="Leave --part away to use all pictures, or name another part.",
        )
    return index.take(np.flatnonzero(_given(index) == PARTS.index(name)))


def _complete(parts: NDArray[np.int8], free: NDArray[np.bool_], dealer: "_Dealer", val: float) -> list[str]:
    """Fill what the source's own split leaves open; sentences about it."""
    notes = []
    if free.any():
        bound = [free & np.isin(dealer.units, dealer.units[parts == part]) for part in range(3)]
        parts[free] = _TRAIN
        for part in (_TEST, _VALIDATION, _TRAIN):
            parts[bound[part]] = part
        others = int((parts[free] != _TRAIN).sum())
        apart = f", but for {others:,} that belong with pictures of another part" if others else ""
        notes.append(f"{int(free.sum()):,} samples name no part: they go to training{apart}.")
    has = {part: bool((parts == part).any()) for part in range(3)}
    if not has[_TRAIN]:
        raise DataError(
            f"The source fixes {' and '.join(PARTS[part] for part in range(3) if has[part])}, but nothing to train on.",
            expected="A training part beside them.",
            do="Add one, or rename the folder if it holds the training pictures.",
        )
    if not has[_VALIDATION]:
        dealer.divide(parts, parts == _TRAIN, (_TRAIN, 1 - val), (_VALIDATION, val))
        notes.append(f"The source has no validation part: {val:.0%} of its training pictures become one.")
    if not has[_TEST]:
        dealer.divide(parts, parts == _VALIDATION, (_VALIDATION, 0.5), (_TEST, 0.5))
        whose = "its validation pictures" if has[_VALIDATION] else "these"
        notes.append(f"The source has no test part: half of {whose} become one, used for nothing but the test.")
    return notes


@dataclass(frozen=True)
class _Dealer:
    """Deals samples out to parts: `units` says which must stay together, `codes` which class each is of."""

    units: NDArray[np.int64]
    codes: NDArray[np.int32]
    seed: int

    def divide(self, parts: NDArray[np.int8], among: NDArray[np.bool_], *shares: tuple[int, float]) -> None:
        """Put each unit of the samples `among` into one of the parts in `shares`, class by class.

        Within a class the units come in random order and each goes to the part that is furthest below its share, so
        every part has its share to within the size of one unit; with at least as many units as parts each part gets
        one, and with two units for three parts the last one does. A unit of several classes counts for its most
        frequent one.
        """
        rows = np.flatnonzero(among)
        names, unit, sizes = np.unique(self.units[rows], return_inverse=True, return_counts=True)
        pairs, counts = np.unique(np.stack([unit, self.codes[rows]], axis=1), axis=0, return_counts=True)
        main = np.zeros(len(names), np.int64)
        for row in np.argsort(counts, kind="stable"):
            main[pairs[row, 0]] = pairs[row, 1]
        goal = np.array([share for _, share in shares]) / sum(share for _, share in shares)
        chosen = np.zeros(len(names), np.int8)
        for code in np.unique(main):
            members = np.random.default_rng([self.seed, int(code)]).permutation(np.flatnonzero(main == code))
            chosen[members] = _assign(sizes[members], goal)
        parts[rows] = np.array([part for part, _ in shares], np.int8)[chosen[unit]]


def _assign(sizes: NDArray[np.int64], goal: NDArray[np.float64]) -> NDArray[np.int8]:
    """Number of the part of each unit of one class, in the given order.

    >>> _assign(np.ones(4, np.int64), np.array([0.5, 0.25, 0.25])).tolist()
    [0, 1, 2, 0]
    """
    chosen = np.zeros(len(sizes), np.int8)
    if len(sizes) < len(goal):
        # One to learn from; of two, the other one to test on.
        chosen[1:] = len(goal) - 1
        return chosen
    filled = np.zeros(len(goal))
    total = 0
    for number, size in enumerate(sizes.tolist()):
        total += size
        chosen[number] = best = int(np.argmax(goal * total - filled))
        filled[best] += size
    for part in np.flatnonzero(filled == 0):
        # Take the smallest unit of the fullest part: only reached by classes of a handful of pictures.
        donor = int(np.argmax(np.bincount(chosen, minlength=len(goal))))
        mine = np.flatnonzero(chosen == donor)
        chosen[mine[np.argmin(sizes[mine])]] = part
    return chosen


def _units(index: Index) -> NDArray[np.int64]:
    """Number of the indivisible unit of each sample: same pixels or same group, joined transitively."""
    pixels = pc.fill_null(pc.dictionary_encode(index.table.column("pixels")).combine_chunks().indices, -1).to_numpy()
    groups = pc.fill_null(pc.dictionary_encode(index.table.column("group")).combine_chunks().indices, -1).to_numpy()
    parent = np.arange(len(index))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for keys in (pixels, groups):
        rows = np.flatnonzero(keys >= 0)
        order = rows[np.argsort(keys[rows], kind="stable")]
        for left, right in _same_neighbours(order, keys):
            parent[root(right)] = root(left)
    return np.array([root(row) for row in range(len(index))], np.int64)


def _same_neighbours(order: NDArray[np.int64], keys: NDArray[Any]) -> Iterable[tuple[int, int]]:
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    return zip(order[same].tolist(), order[same + 1].tolist(), strict=True)


def _given(index: Index) -> NDArray[np.int8]:
    """The part that the source fixes for each sample, -1 where it fixes none."""
    found = pc.index_in(index.table.column("split"), value_set=pa.array(PARTS))
    return found.fill_null(-1).to_numpy().astype(np.int8)  # type: ignore[no-any-return]


def _leaks(units: NDArray[np.int64], parts: NDArray[np.int8]) -> int:
    in_training = np.unique(units[parts == _TRAIN])
    return int(np.isin(units[parts > _TRAIN], in_training).sum())


def _check_classes(index: Index, usable: NDArray[np.bool_]) -> None:
    counts = np.bincount(index.codes[usable], minlength=len(index.classes))
    present = [name for name, count in zip(index.classes, counts, strict=True) if count]
    if len(present) < 2:
        raise DataError(
            f"{index.location!r} has pictures of {'only one class: ' + repr(present[0]) if present else 'no class'}.",
            expected="At least two classes: a classifier tells one from another.",
            do="Put the pictures of each class into a folder of its own, or add a label column.",
        )
    few = [f"{name!r} ({count})" for name, count in zip(index.classes, counts, strict=True) if count < 2]
    if few:
        raise DataError(
            f"Too few usable pictures of {_list(few)}.",
            expected="At least 2 of each class, one to learn from and one to test on; 3 or more are better.",
            do="Add pictures, merge the class into another, or take it out of the data.",
        )


def _list(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _check_parts(index: Index, parts: NDArray[np.int8]) -> None:
    for part, name in enumerate(PARTS):
        counts = np.bincount(index.codes[parts == part], minlength=len(index.classes))
        missing = [label for label, count in zip(index.classes, counts, strict=True) if not count]
        if part == _TRAIN and missing:
            raise DataError(
                f"No training pictures of {', '.join(map(repr, missing[:5]))}.",
                expected="Pictures of every class in the training part.",
                do="Move some there, or take the class out of the data.",
            )
        if not (parts == part).any():
            raise DataError(
                f"No pictures are left for the {name} part.",
                expected="Enough different pictures for three parts.",
                do="Add pictures, or give other shares with --val-split and --test-split.",
            )
