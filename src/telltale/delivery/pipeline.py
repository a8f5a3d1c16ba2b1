"""`train`: from a source to a run folder with everything in it, the main job from end to end."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.decoding import decode
from telltale.data.download import is_url
from telltale.data.index import Index, identical_pictures
from telltale.data.source import Columns, open_source
from telltale.data.splits import Splits
from telltale.delivery.crossvalidation import cross_validate
from telltale.delivery.first_look import adopt_start, prepare_network, scan_with
from telltale.delivery.outcome import Tools, Training, train_once
from telltale.delivery.page import thumbnail
from telltale.delivery.partition import divide, find_copies, tell_data, tell_splits
from telltale.delivery.report import MOST_MISTAKES, ReportContent, write_report
from telltale.delivery.restoring import bring_back, fetched_run, find_same, tell_known
from telltale.delivery.resuming import (
    ELSEWHERE,
    change_recipe,
    check_length,
    check_same,
    explain_place,
    is_finished,
    load_splits,
    note_finished,
    note_origin,
    read_origin,
    resolve_mirrors,
    resolve_paths,
)
from telltale.device import choose_device
from telltale.errors import BundleError, ChangedDataError, ImageError, Interrupted
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.grid import MOST as MOST_SHOWN, draw_grid
from telltale.evaluation.picture import draw_confusion
from telltale.files import locked, write_atomic
from telltale.model.bundle import load
from telltale.progress import Note, Tell, silent
from telltale.storage.place import Place
from telltale.training.fitting import PREVIEW, check_recipe, versions
from telltale.training.recipe import Recipe
from telltale.training.recording import Recording, check_apart, open_mirrors, recorded
from telltale.training.run import Run, create_run
from telltale.training.trackers import check_trackers
from telltale.training.trackers.tracker import Outcome

CONFUSION: Final = "confusion_matrix.png"


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

    `output` is the run folder (default `runs/NAME`). The test part is scored once, at the end. Where Ctrl-C or SIGTERM
    comes while a network is trained, `Interrupted` says where it stopped, and `resume` goes on from there.
    """
    recipe = adopt_start((recipe or Recipe()).resolved, tell)
    columns = columns or Columns()
    device = choose_device(device)
    check_trackers(recipe.trackers, tell)
    places = open_mirrors(recipe.mirrors, tell)
    if not is_url(str(source)):
        check_apart(places, Path(source), "the data")
    for holdings in find_same(places, source, columns, recipe):
        tell_known(holdings, tell)
        try:
            with fetched_run(holdings, output, tell) as known:
                # It may have been extended since; where it is written down is as the command says.
                again = replace(known.recipe.resolved, **{name: getattr(recipe, name) for name in ELSEWHERE})
                return _go_on(known, source, again, places, Tools(device, None, tell))
        except ChangedDataError as error:
            tell(Note(f"{error.given} So this is a new training.", warning=True))
    with prepare_network(recipe) as pending:
        opened = open_source(source, columns, tell=tell)
        check_recipe(recipe, len(opened.classes))
        with _new_run(opened.name, output) as run, _resumable(run):
            check_apart(places, run.folder, "the run folder")
            note_origin(run, source, columns, recipe)
            with recorded(run, recipe, places, tell) as recording:
                index, extractor = scan_with(opened, recipe, pending, device=device, tell=tell)
                return _complete(index, recipe, recording, Tools(device, extractor, tell))


def resume(
    run: str | Path,
    *,
    source: str | Path = "",
    recipe: Recipe | None = None,
    output: str | Path | None = None,
    device: str = "auto",
    tell: Tell = silent,
) -> Training:
    """Go on with the training in `run` as if it had not been stopped, to the end of `train`.

    `run` is a run folder, or the path or URL of a mirror: from there the newest checkpoint that is whole is fetched
    into `output` (default: below `runs/`). `source` is where the pictures are now (default: where they were). `recipe`
    may ask for more epochs, other patience or another time limit, so that a finished training is extended. Raises
    `ChangedDataError` that names the difference where the pictures or labels have changed, `RecipeError` for any other
    setting.
    """
    known = bring_back(run, output, tell)
    saved = known.recipe.resolved
    recipe = change_recipe(saved, (recipe or saved).resolved)
    if recipe.mirrors == saved.mirrors and Path.cwd() != Path(read_origin(known).folder):
        recipe = resolve_mirrors(recipe, read_origin(known).folder)
    check_trackers(recipe.trackers, tell)
    places = open_mirrors(recipe.mirrors, tell)
    return _go_on(known, source, recipe, places, Tools(choose_device(device), None, tell))


def _go_on(run: Run, source: str | Path, recipe: Recipe, places: Sequence[Place], tools: Tools) -> Training:
    """From a run folder to the end of `train`; where it is finished already, only the mirrors are still to be told."""
    check_apart(places, run.folder, "the run folder")
    origin = read_origin(run)
    check_length(run, recipe)
    recipe = resolve_paths(recipe, origin.folder)
    results = read_results(run) if is_finished(run, recipe) else None
    if results is not None:
        with locked(run.folder), recorded(run, recipe, places, tools.tell) as recording:
            return _reopen(recording, *results, tools=tools)
    with prepare_network(recipe) as pending:
        with contextlib.nullcontext() if source else explain_place(run):
            opened = open_source(source or origin.source, origin.columns, tell=tools.tell)
        with locked(run.folder), _resumable(run, begun=True), recorded(run, recipe, places, tools.tell) as recording:
            index, extractor = scan_with(opened, recipe, pending, device=tools.device, tell=tools.tell)
            check_same(run, index)
            if source:
                note_origin(run, source, origin.columns, recipe)
            return _complete(index, recipe, recording, replace(tools, extractor=extractor))


def read_results(run: Run) -> tuple[Evaluation, Evaluation] | None:
    """The evaluations of the validation and the test part of a finished run; None where one is damaged."""
    try:
        return Evaluation.load(run.folder / "validation.json"), Evaluation.load(run.folder / "evaluation.json")
    except BundleError:
        return None


def _reopen(recording: Recording, validation: Evaluation, test: Evaluation, *, tools: Tools) -> Training:
    """What a finished training left, as it lies in its run folder."""
    run = recording.run
    tools.tell(Note("This training is finished, and nothing is left to do. Its test part is not scored again."))
    splits = Splits.load(run.folder / "splits.arrow", Index.load(run.folder / "index.arrow"))
    classifier = load(run.bundle, device=tools.device)
    recording.settle()
    return Training(classifier, run, splits, validation, test, time.perf_counter() - run.started, recording.finish())


def _complete(index: Index, recipe: Recipe, recording: Recording, tools: Tools) -> Training:
    """From pictures that were looked at to everything in the run folder, and in the mirrors."""
    run = recording.run
    splits, looks = load_splits(run, index), _count_looks(run)
    if splits is not None and not recipe.folds:
        tell_splits(splits, tools.tell)
        training = train_once(splits, recipe, run, tools)
    else:
        duplicates = find_copies(index, recipe, tools.extractor, tools.tell)
        tell_data(index, duplicates, tools.tell)
        if recipe.folds:
            training = cross_validate(index, duplicates, recipe, run, tools)
        else:
            training = train_once(divide(index, recipe, duplicates, tools.tell), recipe, run, tools)
    test = replace(training.test, looks=looks + 1)
    training = replace(training, test=test, mirrors=recording.settle(), seconds=time.perf_counter() - run.started)
    save_results(training)
    recording.tell_outcome(_describe_outcome(training))
    note_finished(run, recipe)
    return replace(training, mirrors=recording.finish())


def _describe_outcome(training: Training) -> Outcome:
    """What trackers are told at the end."""
    parts = {"test": training.test, "validation": training.validation}
    figures = {
        part: {name: (one.value, one.low, one.high) for name, one in evaluation.metrics.items()}
        for part, evaluation in parts.items()
    }
    confusion = (training.run.folder / CONFUSION).read_bytes()
    # Decoding and drawing takes 0.2 s: not where nobody is told.
    samples = _draw_samples(training) if training.run.recipe.trackers else b""
    return Outcome("finished", figures["test"], figures["validation"], confusion, samples)


def _draw_samples(training: Training) -> bytes:
    """Some test pictures, evenly from all of them, with what they were called."""
    test, index = training.test, training.splits.index
    rows = np.unique(np.linspace(0, len(test.paths) - 1, MOST_SHOWN).astype(np.int64))
    found = dict[int, NDArray[np.uint8]]()
    for row in rows.tolist():
        with contextlib.suppress(ImageError, OSError):  # gone since it was scored
            found[row] = decode(index.store.read(test.paths[row])).pixels
    called = test.probabilities.argmax(axis=1)
    names = [[test.classes[code] for code in codes[list(found)]] for codes in (test.labels, called)]
    return draw_grid(list(found.values()), true=names[0], predicted=names[1])


def _count_looks(run: Run) -> int:
    """How often the test part of `run` was scored before."""
    path = run.folder / "evaluation.json"
    try:
        return Evaluation.load(path).looks if path.is_file() else 0
    except BundleError:  # damaged; it is written anew
        return 1


@contextlib.contextmanager
def _new_run(name: str, output: str | Path | None) -> Iterator[Run]:
    """A run folder made at once, so that a forbidden place is known early; gone again if nothing was learned in it."""
    there = output is not None and Path(output).is_dir()
    run, inside = create_run(name, output), False
    try:
        with locked(run.folder):
            inside = True
            yield run
    except BaseException:
        if not inside:  # another process works there
            raise
        # It was new or empty. Settings and splits alone are worth nothing; weights are kept.
        if not _has_learned(run):
            shutil.rmtree(run.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                if there:
                    run.folder.mkdir()
                elif output is None:
                    run.folder.parent.rmdir()  # only where it holds no other run
        raise


@contextlib.contextmanager
def _resumable(run: Run, *, begun: bool = False) -> Iterator[None]:
    """Ctrl-C and SIGTERM name `run` as the one to go on with, once it has learned or where it had `begun` before."""
    try:
        yield
    except KeyboardInterrupt as error:
        if not begun and not _has_learned(run):
            raise
        text = error.text if isinstance(error, Interrupted) else "Stopped; what was learned is saved."
        raise Interrupted(text, str(run)) from error


def _has_learned(run: Run) -> bool:
    return run.bundle.exists() or any(
        any(run.folder.glob(place)) for place in ("weights/*", "fold-*/weights/*", "fold-*/model.telltale")
    )


def save_results(training: Training) -> None:
    """Write evaluation.json, validation.json, test_predictions.parquet, confusion_matrix.png and report.html."""
    folder = training.run.folder
    training.test.save(folder / "evaluation.json")
    training.validation.save(folder / "validation.json")
    training.test.save_predictions(folder / "test_predictions.parquet")
    write_atomic(folder / CONFUSION, draw_confusion(training.test))
    write_report(folder / "report.html", _content(training))


def _content(training: Training) -> ReportContent:
    splits, index = training.splits, training.splits.index
    rows = index.quarantined.table.select(["path", "error", "detail"]).to_pylist()
    counts = {name: part.counts for name, part in splits.named.items()}
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
            **({"copies": "; ".join(map(str, training.mirrors))} if training.mirrors else {}),
        },
        notes=[*index.notes, *splits.notes],
        quarantine=[(row["path"], row["error"], row["detail"]) for row in rows],
        identical=identical_pictures(index),
        class_counts={label: {part: counts[part][label] for part in counts} for label in index.classes},
        preview=(training.run.folder / PREVIEW).read_bytes(),
        history=training.run.history if training.run.recipe.how != "probe" else [],
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
