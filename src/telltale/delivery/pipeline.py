"""`train`: from a source to a run folder with everything in it, the main job from end to end."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from telltale.data.download import is_url
from telltale.data.index import Index
from telltale.data.source import Columns, open_source
from telltale.data.splits import Splits
from telltale.delivery.crossvalidation import cross_validate
from telltale.delivery.first_look import adopt_start, prepare_network, scan_with
from telltale.delivery.outcome import Tools, Training, train_once
from telltale.delivery.partition import divide, find_copies, tell_data, tell_splits
from telltale.delivery.pictures import CONFUSION, PREDICTIONS
from telltale.delivery.restoring import bring_back, fetched_run, find_same, tell_known
from telltale.delivery.results import save_results
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
from telltale.errors import BundleError, ChangedDataError, Interrupted
from telltale.evaluation.evaluation import Evaluation
from telltale.files import locked
from telltale.model.bundle import load
from telltale.progress import Note, Tell, silent
from telltale.storage.place import Place
from telltale.training.fitting import check_recipe
from telltale.training.ledger import TRAIN, read_looks, record_look
from telltale.training.recipe import Recipe
from telltale.training.recording import Recording, check_apart, open_mirrors, recorded
from telltale.training.run import Run, create_run
from telltale.training.trackers import check_trackers
from telltale.training.trackers.tracker import Outcome


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
        validation, test = (Evaluation.load(run.folder / f"{name}.json") for name in ("validation", "evaluation"))
    except BundleError:
        return None
    return validation, replace(test, looks=max(1, len(read_looks(run))))


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
    splits = load_splits(run, index)
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
    training = replace(training, mirrors=recording.settle(), seconds=time.perf_counter() - run.started)
    # Right before it is shown: where the training is killed until here, nobody has seen a score.
    looks = record_look(run, TRAIN, training.test.images)
    training = replace(training, test=replace(training.test, looks=looks))
    save_results(training, tools)
    training = replace(training, seconds=time.perf_counter() - run.started)
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
    samples = (training.run.folder / PREDICTIONS).read_bytes()
    return Outcome("finished", figures["test"], figures["validation"], confusion, samples)


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
