"""Which pictures are for training, for validation and for the test, and what is said about it."""

from typing import Final

from telltale.data.duplicates import Duplicates, add_pairs, find_duplicates, find_exact
from telltale.data.index import Index, describe_reasons
from telltale.data.splits import Splits, reserve_calibration, split
from telltale.delivery.first_look import tell_notes
from telltale.model.features import Extractor
from telltale.model.lookalikes import find_lookalikes
from telltale.progress import Note, Tell
from telltale.training.recipe import Recipe
from telltale.words import printable

SHOWN_LEAKS: Final = 3
"""Pairs of leaking pictures that are named while training; `telltale inspect` shows them all."""


def find_copies(index: Index, recipe: Recipe, extractor: Extractor | None, tell: Tell) -> Duplicates:
    """What is kept on one side of a split, as the recipe has it."""
    found = find_duplicates(index, mirrored=recipe.mirrored_duplicates) if recipe.near_duplicates else find_exact(index)
    if recipe.lookalikes and extractor is not None:
        found = add_pairs(found, find_lookalikes(index, extractor, tell=tell))
    return found


def divide(index: Index, recipe: Recipe, duplicates: Duplicates, tell: Tell) -> Splits:
    """The split that `recipe` asks for, with copies on one side, and said aloud."""
    splits = split(
        index,
        seed=recipe.seed,
        val=recipe.val_split,
        test=recipe.test_split,
        duplicates=duplicates,
        fix_leaks=recipe.fix_leaks,
    )
    if recipe.fix_leaks and index.table.column("split").null_count == len(index):
        tell(Note("--fix-leaks has no effect: the source has no split of its own.", warning=True))
    if recipe.how != "probe":  # a probe is calibrated with heads that have not seen the training picture in question
        splits = reserve_calibration(splits, seed=recipe.seed)
    tell_splits(splits, tell)
    return splits


def tell_data(index: Index, duplicates: Duplicates, tell: Tell) -> None:
    """Say what was found in the data."""
    counts = [f"{count:,} {printable(name, 30)}" for name, count in index.counts.items()]
    more = f" and {len(counts) - 10} more classes" if len(counts) > 10 else ""
    name, share = index.majority
    tell(Note(f"{len(index):,} pictures ({index.layout}): {', '.join(counts[:10])}{more}."))
    tell(Note(f"Always saying {printable(name, 30)!r} would be right for {share:.1%}."))
    tell_notes(index, tell)
    if len(index.quarantined):
        tell(
            Note(
                f"{len(index.quarantined):,} pictures cannot be used: {describe_reasons(index.quarantined)}.",
                warning=True,
            )
        )
    together = int((duplicates.near >= 0).sum())
    if together:
        groups = int(duplicates.near.max()) + 1
        kept = f"{groups:,} group{'s' * (groups != 1)}, kept together"
        tell(Note(f"{together:,} pictures are the same as others, or look the same: {kept}."))


def tell_splits(splits: Splits, tell: Tell) -> None:
    """Say how the data were split, and which pictures of validation and test are not new."""
    tell(Note(f"Split: {', '.join(f'{len(part):,} {name}' for name, part in splits.named.items())}."))
    for note in splits.notes:
        tell(Note(note, warning=len(splits.leaks) > 0 and "are not new" in note))
    for leak in splits.leaks.slice(0, SHOWN_LEAKS).to_pylist():
        one, other = (printable(splits.index.paths[leak[name]], 60) for name in ("row", "other"))
        tell(Note(f"  {one} {leak['kind']}: {other}", warning=True))
