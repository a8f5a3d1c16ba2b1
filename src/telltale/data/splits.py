"""`split` divides an `Index` into training, validation and test: once, saved, never derived again from a seed.

Pictures with the same pixels, pictures that look the same, and pictures of one group stay on one side. What the source
has fixed is kept, and where that leaks it is said which picture is a copy of which. There is always a test part: a
number that was used to choose something says little about pictures never seen.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.arrow import UNREADABLE, read_arrow, write_arrow
from telltale.cache import DIGEST_BYTES
from telltale.data.dealing import deal
from telltale.data.duplicates import Duplicates, find_duplicates
from telltale.data.groups import connect, same_numbers, same_values
from telltale.data.index import Index
from telltale.data.leaks import GROUP, LEAKS, LOOKS, PIXELS, find_leaks
from telltale.errors import BundleError, DataError

PARTS: Final = ("train", "validation", "test")
"""What a source may fix, and every split has."""

FORMAT_VERSION: Final = 2
_TRAIN, _VALIDATION, _TEST, _CALIBRATION = range(4)
_NAMES: Final = (*PARTS, "calibration")

LEAST_CALIBRATION: Final = 100
"""Pictures below which no calibration part is taken from the validation part: a threshold set on fewer says little."""
_SCHEMA: Final = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("digest", pa.binary(DIGEST_BYTES)),
        ("part", pa.string()),
        ("copy_of", pa.int64()),
        ("likeness", pa.string()),
    ]
)


@dataclass(frozen=True)
class Splits:
    """The readable samples of an `Index`, each in one part.

    `parts` int8 `[len(index)]`: 0 train, 1 validation, 2 test, 3 calibration, -1 in none (unreadable or without a
    label). Only some splits have a calibration part (`reserve_calibration`).
    `notes` are sentences about what was decided. `leaks` (columns of `LEAKS`) has a row for every picture of
    validation and test that is a copy, or of the group, of one in an earlier part because the source fixed it so.
    `radius` is the distance of fingerprints up to which pictures counted as looking the same.
    """

    index: Index
    parts: NDArray[np.int8]
    notes: tuple[str, ...] = ()
    leaks: pa.Table = field(default_factory=LEAKS.empty_table)
    radius: float = 0.0

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

    @cached_property
    def calibration(self) -> Index:
        """The samples that probabilities are calibrated with, used for nothing else; often none."""
        return self.index.take(np.flatnonzero(self.parts == _CALIBRATION))

    @property
    def named(self) -> dict[str, Index]:
        """The parts by name, in their order; the calibration part only where it has samples."""
        parts = dict(zip(_NAMES, (self.train, self.validation, self.test, self.calibration), strict=True))
        return {name: part for name, part in parts.items() if len(part) or name in PARTS}

    def save(self, path: Path) -> Path:
        """Write as an Arrow file: path, label, digest and part of every sample, and which one it is a copy of."""
        places = np.where(self.parts < 0, len(_NAMES), self.parts)
        names = pa.array([*_NAMES, None]).take(pa.array(places, pa.int8()))
        table = self.index.table.select(["path", "label", "digest"]).append_column("part", names)
        at = pc.index_in(pa.array(np.arange(len(self.parts))), value_set=self.leaks.column("row"))
        table = table.append_column("copy_of", self.leaks.column("other").take(at))
        table = table.append_column("likeness", self.leaks.column("kind").take(at))
        facts = {"format_version": str(FORMAT_VERSION), "radius": repr(self.radius)}
        facts |= {f"note:{number}": note for number, note in enumerate(self.notes)}
        return write_arrow(path, table.replace_schema_metadata(facts))

    @classmethod
    def load(cls, path: Path, index: Index) -> "Splits":
        """Read what `save` wrote for this `index`; `BundleError` where it belongs to other data."""
        try:
            table, texts = read_arrow(path)
            radius = float(texts.get("radius", "0"))
        except UNREADABLE as error:
            raise BundleError(
                f"The splits {str(path)!r} cannot be read ({error}).",
                expected="A splits.arrow that Telltale wrote.",
                do="Check the path, or split the data again.",
            ) from error
        if not table.schema.equals(_SCHEMA) or texts.get("format_version") != str(FORMAT_VERSION):
            raise BundleError(
                f"The splits {str(path)!r} have format version {texts.get('format_version')!r}.",
                expected=f"Splits of version {FORMAT_VERSION}.",
                do="Split the data again with this version of Telltale.",
            )
        others = table.column("copy_of").drop_null().to_numpy()
        wrong = len(others) > 0 and not 0 <= others.min() <= others.max() < len(index)
        if wrong or not table.column("digest").equals(index.table.column("digest")):
            raise BundleError(
                f"The splits {str(path)!r} belong to other pictures than the index of {index.location!r}.",
                expected="The same pictures in the same order.",
                do="Use the index.arrow that lies beside them, or split again.",
            )
        parts = pc.index_in(table.column("part"), value_set=pa.array(_NAMES)).fill_null(-1)
        notes = tuple(texts[f"note:{n}"] for n in range(len(texts)) if f"note:{n}" in texts)
        rows = np.flatnonzero(
            table.column("copy_of").is_valid().to_numpy() & table.column("likeness").is_valid().to_numpy()
        )
        rows = rows[np.argsort(parts.to_numpy()[rows], kind="stable")]
        columns = [pa.array(rows), *(table.column(name).take(rows) for name in ("copy_of", "likeness"))]
        return cls(index, parts.to_numpy().astype(np.int8), notes, pa.table(columns, schema=LEAKS), radius)

    def __str__(self) -> str:
        rows = [f"{len(part):>9,}  {name}" for name, part in self.named.items()]
        return "\n".join([*rows, *self.notes])


def split(
    index: Index,
    *,
    seed: int = 0,
    val: float = 0.15,
    test: float = 0.15,
    duplicates: Duplicates | None = None,
    fix_leaks: bool = False,
) -> Splits:
    """Training, validation and test parts of `index`: stratified by class, seeded, what belongs together kept together.

    What belongs together are pictures that are the same or look the same (`duplicates`, found anew where none are
    given) and samples of one group. Parts that the source fixes are kept. Where it has no validation part, a share
    `val` of its training part becomes one; where it has no test part, half of its validation part does. With
    `fix_leaks`, pictures of test and validation that are copies of earlier parts' are moved there. Raises `DataError`
    where a class has too few pictures to be learned, chosen and tested on.
    """
    usable = index.table.column("error").is_null().to_numpy() & (index.codes >= 0)
    _check_classes(index, usable)
    duplicates = duplicates or find_duplicates(index)
    units = find_units(index, duplicates)
    dealer = _Dealer(units, index.codes, seed)
    parts = np.where(usable, given_parts(index), -1).astype(np.int8)
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
    leaks = find_leaks(parts, units, duplicates)
    if len(leaks) and fix_leaks:
        rows, others = (leaks.column(name).to_numpy() for name in ("row", "other"))
        parts[rows] = parts[others]
        notes.append(f"{len(leaks):,} pictures were moved out of validation and test: copies of pictures before them.")
        _check_left(parts)
        leaks = LEAKS.empty_table()
    if len(leaks):
        notes.append(describe_leaks(leaks))
    _check_parts(index, parts)
    return Splits(index, parts, tuple(notes), leaks, duplicates.radius)


def split_folds(
    index: Index,
    folds: int,
    *,
    seed: int = 0,
    val: float = 0.15,
    duplicates: Duplicates | None = None,
) -> tuple[Splits, ...]:
    """`folds` splits of `index`, so that every usable picture is in the test part of exactly one of them.

    What belongs together stays together. Of the pictures outside the test part a share `val` is for validation. Parts
    that the source fixes do not count. Raises `DataError` where a class has fewer separate pictures than folds.
    """
    usable = index.table.column("error").is_null().to_numpy() & (index.codes >= 0)
    _check_classes(index, usable)
    duplicates = duplicates or find_duplicates(index)
    units = find_units(index, duplicates)
    _check_folds(index, units, usable, folds)
    rows = np.flatnonzero(usable)
    fold = np.full(len(index), -1, np.int64)
    fold[rows] = deal_folds(units[rows], index.codes[rows], folds, seed=seed)
    found = []
    for number in range(folds):
        parts = np.where(fold == number, _TEST, np.where(usable, _TRAIN, -1)).astype(np.int8)
        _Dealer(units, index.codes, seed).divide(parts, parts == _TRAIN, (_TRAIN, 1 - val), (_VALIDATION, val))
        _check_parts(index, parts)
        note = f"Fold {number + 1} of {folds}: its pictures are the test part, the others are learned from."
        found.append(Splits(index, parts, (note,), radius=duplicates.radius))
    return tuple(found)


def reserve_calibration(splits: Splits, *, seed: int = 0) -> Splits:
    """`splits` with half of the validation part, by class, as a calibration part, which chooses nothing.

    What belongs together stays together. Where a half would be fewer than `LEAST_CALIBRATION` pictures, and where there
    is such a part already, `splits` are given back as they are.
    """
    count = len(splits.validation)
    if len(splits.calibration) or count < 2 * LEAST_CALIBRATION:
        return splits
    rows = np.flatnonzero(splits.parts == _VALIDATION)
    units = find_units(splits.validation, find_duplicates(splits.validation))
    parts = splits.parts.copy()
    parts[rows] = np.array([_VALIDATION, _CALIBRATION], np.int8)[
        deal(units, splits.index.codes[rows], (0.5, 0.5), seed=seed)
    ]
    apart = int((parts == _CALIBRATION).sum())
    note = f"{apart:,} of {count:,} validation pictures only calibrate the probabilities: they choose nothing."
    return replace(splits, parts=parts, notes=(*splits.notes, note))


def find_units(index: Index, duplicates: Duplicates) -> NDArray[np.int64]:
    """Number of the indivisible unit of each sample: same picture, same looks or same group, joined transitively."""
    left, right = same_values(index.table.column("group"))
    pairs = [(left, right), same_numbers(duplicates.exact), same_numbers(duplicates.near)]
    return connect(len(index), *(np.concatenate(side) for side in zip(*pairs, strict=True)))


def deal_folds(units: NDArray[np.int64], codes: NDArray[np.int32], folds: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Fold of each sample, int64 `[n]` from 0: units kept together, every class spread evenly over the folds."""
    return deal(units, codes, (1.0,) * folds, seed=seed, spread=True)


def describe_leaks(leaks: pa.Table) -> str:
    """One sentence that says how many pictures of validation and test are in an earlier part too."""
    counts = {one["values"]: one["counts"] for one in pc.value_counts(leaks.column("kind")).to_pylist()}
    words = {PIXELS: "with the same pixels", LOOKS: "with the same looks", GROUP: "of the same group"}
    kinds = ", ".join(f"{counts[kind]:,} {text}" for kind, text in words.items() if kind in counts)
    return (
        f"{len(leaks):,} pictures of validation and test are not new: {kinds} as a picture in an earlier part. The "
        "source's own split has it so, and scores on them flatter a model; `telltale train --fix-leaks` moves them."
    )


def given_part(index: Index, name: str) -> Index:
    """The samples that the source itself puts into part `name`: train, validation or test; all where it is empty."""
    if not name:
        return index
    if name not in PARTS or not (given_parts(index) == PARTS.index(name)).any():
        known = [part for number, part in enumerate(PARTS) if (given_parts(index) == number).any()]
        raise DataError(
            f"The data in {index.location!r} have no part {name!r}.",
            expected=f"One of {', '.join(known)}." if known else "Data that are divided into parts.",
            do="Leave --part away to use all pictures, or name another part.",
        )
    return index.take(np.flatnonzero(given_parts(index) == PARTS.index(name)))


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
        """Put each unit of the samples `among` into one of the parts in `shares`, every class by its share."""
        rows = np.flatnonzero(among)
        goal = tuple(share for _, share in shares)
        chosen = deal(self.units[rows], self.codes[rows], goal, seed=self.seed)
        parts[rows] = np.array([part for part, _ in shares], np.int8)[chosen]


def given_parts(index: Index) -> NDArray[np.int8]:
    """The part that the source fixes for each sample, -1 where it fixes none."""
    found = pc.index_in(index.table.column("split"), value_set=pa.array(PARTS))
    return found.fill_null(-1).to_numpy().astype(np.int8)  # type: ignore[no-any-return]


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


def _check_folds(index: Index, units: NDArray[np.int64], usable: NDArray[np.bool_], folds: int) -> None:
    pairs = np.unique(np.stack([index.codes[usable].astype(np.int64), units[usable]]), axis=1)
    separate = np.bincount(pairs[0], minlength=len(index.classes))
    few = [f"{name!r} ({count})" for name, count in zip(index.classes, separate, strict=True) if 0 < count < folds]
    if folds < 2 or few:
        given = f"{folds} folds" if folds < 2 else f"{folds} folds, but too few separate pictures of {_list(few)}"
        raise DataError(
            f"The data are to be divided into {given}.",
            expected="At least 2 folds, and in every class as many pictures that are no copies of each other.",
            do="Give a smaller --folds, add pictures, or take the class out of the data.",
        )


def _check_left(parts: NDArray[np.int8]) -> None:
    empty = [PARTS[part] for part in (_VALIDATION, _TEST) if not (parts == part).any()]
    if empty:
        raise DataError(
            f"Every {empty[0]} picture is a copy of a picture in an earlier part: none is left.",
            expected="Some pictures that are new.",
            do="Train without --fix-leaks to see which, then divide the data anew: take the split out of the source.",
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
