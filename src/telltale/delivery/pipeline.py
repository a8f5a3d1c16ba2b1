"""`train`: from a source to a run folder with everything in it, the main job from end to end."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from telltale.data.decoding import decode
from telltale.data.duplicates import Duplicates, add_pairs, find_duplicates, find_exact
from telltale.data.fixes import apply_fixes
from telltale.data.index import Index, describe_reasons, identical_pictures
from telltale.data.source import Columns, open_source
from telltale.data.splits import Splits, split
from telltale.delivery.crossvalidation import cross_validate
from telltale.delivery.first_look import prepare_network, scan_with, tell_notes
from telltale.delivery.outcome import Tools, Training, train_once
from telltale.delivery.page import thumbnail
from telltale.delivery.report import MOST_MISTAKES, ReportContent, write_report
from telltale.device import choose_device
from telltale.errors import ImageError
from telltale.evaluation.evaluation import printable
from telltale.evaluation.picture import draw_confusion
from telltale.files import write_atomic
from telltale.model.features import Extractor
from telltale.model.lookalikes import find_lookalikes
from telltale.model.zoo import check_network
from telltale.progress import Note, Tell, silent
from telltale.training.fitting import versions
from telltale.training.recipe import Recipe
from telltale.training.run import Run, create_run

SHOWN_LEAKS: Final = 3
"""Pairs of leaking pictures that are named while training; `telltale inspect` shows them all."""


def train(
    source: str | Path,
    recipe: Recipe | None = None,
    *,
    columns: Columns | None = None,
    output: str | Path | None = None,
    device: str = "auto",
    tell: Tell = silent,
) -> Training:
    """Scan, split, fit, evaluate, report: everything lies in a new run folder afterwards.

    `output` is the run folder (default `runs/NAME`). The test part is scored once, at the end.
    """
    start = time.perf_counter()
    recipe = recipe or Recipe()
    device = choose_device(device)
    with prepare_network(recipe) as pending:
        opened = open_source(source, columns or Columns(), tell=tell)
        if recipe.labels_fix:
            opened = apply_fixes(opened, Path(recipe.labels_fix))
        if recipe.how == "scratch":
            check_network(recipe.model, recipe.img_size)
        with _new_run(opened.name, output) as run:
            index, extractor = scan_with(opened, recipe, pending, device=device, tell=tell)
            duplicates = _find_duplicates(index, recipe, extractor, tell)
            tell_data(index, duplicates, tell)
            if recipe.folds:
                training = cross_validate(index, duplicates, recipe, run, Tools(device, extractor, tell))
            else:
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
                tell_splits(splits, tell)
                training = train_once(splits, recipe, run, Tools(device, extractor, tell))
            training = replace(training, seconds=time.perf_counter() - start)
            save_results(training)
    return training


@contextlib.contextmanager
def _new_run(name: str, output: str | Path | None) -> Iterator[Run]:
    """A run folder made at once, so that a forbidden place is known early; gone again if nothing was learned in it."""
    there = output is not None and Path(output).is_dir()
    run = create_run(name, output)
    try:
        yield run
    except BaseException:
        # It was new or empty. Settings and splits alone are worth nothing; weights are kept.
        learned = [run.bundle, *run.weights.glob("*"), *run.folder.glob("fold-*/model.telltale")]
        if not any(path.exists() for path in learned):
            shutil.rmtree(run.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                if there:
                    run.folder.mkdir()
                elif output is None:
                    run.folder.parent.rmdir()  # only where it holds no other run
        raise


def _find_duplicates(index: Index, recipe: Recipe, extractor: Extractor | None, tell: Tell) -> Duplicates:
    """What is kept on one side of a split, as the recipe has it."""
    found = find_duplicates(index, mirrored=recipe.mirrored_duplicates) if recipe.near_duplicates else find_exact(index)
    if recipe.lookalikes and extractor is not None:
        found = add_pairs(found, find_lookalikes(index, extractor, tell=tell))
    return found


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
    parts = f"{len(splits.train):,} train, {len(splits.validation):,} validation, {len(splits.test):,} test"
    tell(Note(f"Split: {parts}."))
    for note in splits.notes:
        tell(Note(note, warning=len(splits.leaks) > 0 and "are not new" in note))
    for leak in splits.leaks.slice(0, SHOWN_LEAKS).to_pylist():
        one, other = (printable(splits.index.paths[leak[name]], 60) for name in ("row", "other"))
        tell(Note(f"  {one} {leak['kind']}: {other}", warning=True))


def save_results(training: Training) -> None:
    """Write evaluation.json, validation.json, test_predictions.parquet, confusion_matrix.png and report.html."""
    folder = training.run.folder
    training.test.save(folder / "evaluation.json")
    training.validation.save(folder / "validation.json")
    training.test.save_predictions(folder / "test_predictions.parquet")
    write_atomic(folder / "confusion_matrix.png", draw_confusion(training.test))
    write_report(folder / "report.html", _content(training))


def _content(training: Training) -> ReportContent:
    splits, index = training.splits, training.splits.index
    rows = index.quarantined.table.select(["path", "error", "detail"]).to_pylist()
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    counts = {name: part.counts for name, part in parts.items()}
    mistakes = training.test.mistakes(MOST_MISTAKES)
    name, share = index.majority
    return ReportContent(
        title=training.run.name,
        evaluations={"test": training.test, "validation": training.validation},
        facts={
            "data": f"{index.name}: {index.layout}",
            "network": str(training.classifier),
            "majority": f"always saying {name!r} would be right for {share:.1%}",
            "time": f"{training.seconds:.1f} s from the start to the evaluation",
        },
        notes=[*index.notes, *splits.notes],
        quarantine=[(row["path"], row["error"], row["detail"]) for row in rows],
        identical=identical_pictures(index),
        class_counts={label: {part: counts[part][label] for part in parts} for label in index.classes},
        history=training.run.history if training.run.recipe.how == "scratch" else [],
        settings=asdict(training.run.recipe),
        versions=versions(),
        thumbnails=_thumbnails(index, [mistake.path for mistake in mistakes]),
        created=training.classifier.facts["trained"],
    )


def _thumbnails(index: Index, paths: list[str]) -> dict[str, bytes]:
    """Small JPEGs of pictures of `index`."""
    found = {}
    for path in paths:
        with contextlib.suppress(ImageError, OSError):
            found[path] = thumbnail(decode(index.store.read(path)).pixels)
    return found
