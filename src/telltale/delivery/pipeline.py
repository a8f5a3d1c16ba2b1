"""`train`: from a source to a run folder with everything in it, the main job from end to end."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from telltale.data.decoding import decode
from telltale.data.index import Index, describe_reasons, identical_pictures, scan
from telltale.data.source import Columns, Source, open_source
from telltale.data.splits import Splits, split
from telltale.delivery.report import MOST_MISTAKES, ReportContent, thumbnail, write_report
from telltale.device import choose_device
from telltale.errors import ImageError
from telltale.evaluation.evaluation import Evaluation, printable
from telltale.evaluation.picture import draw_confusion
from telltale.evaluation.scoring import evaluate
from telltale.files import write_atomic
from telltale.model.backbone import PendingBackbone, request_backbone
from telltale.model.classifier import Classifier
from telltale.model.features import Extractor, FeatureStream
from telltale.model.zoo import check_network
from telltale.progress import Note, Tell, silent
from telltale.training.fitting import fit, versions
from telltale.training.recipe import Recipe
from telltale.training.run import Run, create_run


@dataclass(frozen=True)
class Training:
    """What `train` made: the classifier, its run folder, and how good it is."""

    classifier: Classifier
    run: Run
    splits: Splits
    validation: Evaluation
    test: Evaluation
    seconds: float


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
    with _backbone(recipe) as pending:
        opened = open_source(source, columns or Columns(), tell=tell)
        if recipe.how == "scratch":
            check_network(recipe.model, recipe.img_size)
        with _new_run(opened.name, output) as run:
            index, extractor = _scan(opened, recipe, pending, device=device, tell=tell)
            splits = split(index, seed=recipe.seed, val=recipe.val_split, test=recipe.test_split)
            tell_data(index, splits, tell)
            classifier, run = fit(splits, recipe, run=run, device=device, extractor=extractor, tell=tell)
            validation = evaluate(classifier, splits.validation, seed=recipe.seed, tell=tell)
            test = evaluate(classifier, splits.test, seed=recipe.seed, tell=tell)
            training = Training(classifier, run, splits, validation, test, time.perf_counter() - start)
            save_results(training)
    return training


@contextlib.contextmanager
def _backbone(recipe: Recipe) -> Iterator[PendingBackbone | None]:
    """The frozen network of a probe: its conversion, where needed, runs beside the scan and ends with this block."""
    if recipe.how != "probe":
        yield None
        return
    pending = request_backbone(recipe.model, weights=recipe.weights, size=recipe.img_size)
    try:
        yield pending
    finally:
        pending.stop()


@contextlib.contextmanager
def _new_run(name: str, output: str | Path | None) -> Iterator[Run]:
    """A run folder made at once, so that a forbidden place is known early; gone again if nothing was learned in it."""
    there = output is not None and Path(output).is_dir()
    run = create_run(name, output)
    try:
        yield run
    except BaseException:
        # It was new or empty. Settings and splits alone are worth nothing; weights are kept.
        if not run.bundle.exists() and not any(run.weights.glob("*")):
            shutil.rmtree(run.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                if there:
                    run.folder.mkdir()
                elif output is None:
                    run.folder.parent.rmdir()  # only where it holds no other run
        raise


def _scan(
    opened: Source, recipe: Recipe, pending: PendingBackbone | None, *, device: str, tell: Tell
) -> tuple[Index, Extractor | None]:
    """Look at the pictures and, for a probe, compute their features in the same pass."""
    if pending is None:
        return scan(opened, tell=tell), None
    if pending.converting:
        tell(Note(f"The network {recipe.model} is prepared for this machine, once, beside the first look."))
    stream = FeatureStream(
        pending, size=recipe.img_size, resize=recipe.resize, precision=recipe.precision, device=device
    )
    try:
        index = scan(opened, watcher=stream, tell=tell)
        return index, stream.finish()
    except BaseException:
        stream.flush()  # what was computed before Ctrl-C need not be computed again
        raise


def tell_data(index: Index, splits: Splits, tell: Tell) -> None:
    """Say what was found in the data and how it was split."""
    counts = [f"{count:,} {printable(name, 30)}" for name, count in index.counts.items()]
    more = f" and {len(counts) - 10} more classes" if len(counts) > 10 else ""
    name, share = index.majority
    tell(Note(f"{len(index):,} pictures ({index.layout}): {', '.join(counts[:10])}{more}."))
    tell(Note(f"Always saying {printable(name, 30)!r} would be right for {share:.1%}."))
    for note in index.notes:
        tell(Note(note))
    if len(index.quarantined):
        tell(
            Note(
                f"{len(index.quarantined):,} pictures cannot be used: {describe_reasons(index.quarantined)}.",
                warning=True,
            )
        )
    parts = f"{len(splits.train):,} train, {len(splits.validation):,} validation, {len(splits.test):,} test"
    tell(Note(f"Split: {parts}."))
    for note in splits.notes:
        tell(Note(note, warning=bool(splits.leaks) and "same pixels" in note))


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
        thumbnails=_thumbnails(splits.test, [mistake.path for mistake in mistakes]),
        created=training.classifier.facts["trained"],
    )


def _thumbnails(index: Index, paths: list[str]) -> dict[str, bytes]:
    """Small JPEGs of pictures of `index`."""
    found = {}
    for path in paths:
        with contextlib.suppress(ImageError, OSError):
            found[path] = thumbnail(decode(index.store.read(path)).pixels)
    return found
