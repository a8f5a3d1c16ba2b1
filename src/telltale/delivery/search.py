"""`search`: candidates trained on one split, ranked on its validation part, and the winner tested once."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from telltale.data.index import Index
from telltale.data.source import Columns, Source, open_source
from telltale.data.splits import Splits
from telltale.delivery.first_look import adopt_start, prepare_network, scan_with
from telltale.delivery.outcome import Tools, Training
from telltale.delivery.partition import divide, find_copies, tell_data, tell_splits
from telltale.delivery.results import save_results
from telltale.delivery.resuming import check_same, describe_origin, is_finished, note_finished
from telltale.delivery.search_outcome import Contender, LeftOut, Search, group_left_out, rank, to_csv
from telltale.delivery.search_page import write_search_page
from telltale.delivery.search_plan import (
    Candidate,
    SearchSettings,
    find_differences,
    plan_candidates,
    split_settings,
)
from telltale.delivery.trial import Bench, explain_failure, try_all
from telltale.device import choose_device
from telltale.errors import BundleError, ChangedDataError, Interrupted, ModelError, RecipeError, UserError
from telltale.evaluation.clustered import find_clusters, number_clusters
from telltale.evaluation.comparison import Answered, Paired, compare_pair, correct
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.scoring import evaluate
from telltale.files import create_folder, locked, read_json, write_atomic, write_json
from telltale.model.bundle import load
from telltale.model.zoo import describe_network
from telltale.progress import Note, Tell, silent
from telltale.training.fitting import check_recipe, request_start
from telltale.training.ledger import LEDGER, read_looks, record_look
from telltale.training.recipe import LEARNED, Recipe
from telltale.training.run import Run

SEARCH: Final = "search.json"
"""In the folder of a search, what it is about; written when its split is."""

RESULT: Final = "comparison.json"
_VERSION: Final = 1
_SHOWN: Final = 8


def search(
    source: str | Path,
    settings: SearchSettings,
    *,
    columns: Columns | None = None,
    output: str | Path | None = None,
    device: str = "auto",
    tell: Tell = silent,
) -> Search:
    """Train each candidate of `settings` on the same split, rank them on its validation part, test the first, once.

    Everything lies in a folder (`output`, default `comparisons/NAME`): the split, a run of each candidate, and
    comparison.json, comparison.csv and report.html. Where `output` holds such a comparison of these pictures already,
    what is finished in it is not trained again, and what was begun goes on. A candidate that fails is reported with
    its reason, and the others go on.

    With a time limit the candidates are tried cheapest first, each with a fair share of what is left; what does not
    fit is not tried. With `halving` each round of networks that are trained does a third of the epochs of the next,
    and the best third goes on. Each round is a training of its own, with the schedule for its number of epochs: so
    what it is ranked by is what `train` gives for so many epochs, and the winner is what `train` makes of its recipe.
    That costs up to half as much again as going on with what the earlier round learned. Probes are computed whole.

    Raises `RecipeError` for candidates that cannot be compared, `ModelError` where none could be trained,
    `ChangedDataError` where `output` is about other pictures, and `Interrupted` (with the folder) after Ctrl-C or
    SIGTERM.
    """
    start, columns = time.perf_counter(), columns or Columns()
    device = choose_device(device)
    opened = open_source(source, columns, tell=tell)
    candidates = plan_candidates(settings, device=device, pictures=len(opened.samples))
    _tell_plan(candidates, settings, tell)
    with _open_folder(opened.name, output) as folder:
        able, failed = _prepare(candidates, len(opened.classes), tell)
        if not able:
            raise _explain_none(failed)
        splits = _divide(folder, opened, able, device=device, tell=tell)
        origin = describe_origin(source, columns)
        write_json(folder / SEARCH, "search", _VERSION, {**asdict(origin), "split": split_settings(able[0].recipe)})
        bench = Bench(splits, folder, settings, origin, start, device, tell, left_out=failed)
        try:
            try_all(bench, able)
            return _finish(bench, candidates)
        except KeyboardInterrupt as error:
            if not _has_learned(folder):
                raise
            raise _explain_stop(bench, candidates, error) from error


def _tell_plan(candidates: Sequence[Candidate], settings: SearchSettings, tell: Tell) -> None:
    """Say what is tried, and which settings that are varied make no difference."""
    names = ", ".join(one.name for one in candidates[:_SHOWN])
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    tell(Note(f"{len(candidates)} candidates: {names}{more}."))
    probes = [one for one in candidates if one.recipe.how == "probe"]
    for name in find_differences([one.recipe for one in probes]):
        if name in LEARNED:
            text = f"{name} has no effect on a probe: it is for --fit finetune and --fit scratch."
            tell(Note(text, warning=True))


@contextlib.contextmanager
def _open_folder(name: str, output: str | Path | None) -> Iterator[Path]:
    """The folder of the search, new or to go on in; a new one is gone again if nothing was learned in it."""
    there = output is not None and Path(output).is_dir()
    known = output is not None and (Path(output) / SEARCH).is_file()
    folder = Path(output) if known and output is not None else create_folder("comparisons", name, output)
    inside = False
    try:
        with locked(folder):
            inside = True
            yield folder
    except BaseException:
        if inside and not known and not _has_learned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                if there:
                    folder.mkdir()
                elif output is None:
                    folder.parent.rmdir()  # only where it holds nothing else
        raise


def _has_learned(folder: Path) -> bool:
    return any(any(folder.glob(place)) for place in ("*/weights/*", "*/model.telltale"))


def _prepare(candidates: Sequence[Candidate], classes: int, tell: Tell) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates with resolved recipes whose networks and weights are there, and those that cannot be trained."""
    able, failed, known = list[Candidate](), list[LeftOut](), set[object]()
    for one in candidates:
        try:
            recipe = adopt_start(one.recipe.resolved, tell)
            check_recipe(recipe, classes)
            key = (recipe.model, recipe.weights, recipe.img_size, recipe.pool, recipe.start_from)
            if recipe.how != "scratch" and key not in known:
                _prepare_network(recipe, tell)
                known.add(key)
            able.append(Candidate(one.name, recipe))
        except UserError as error:
            why = explain_failure(error)
            if why is None:
                raise
            failed.append(LeftOut(one.name, one.recipe.resolved, True, why))
    for names, left in group_left_out(failed):
        tell(Note(f"{names} cannot be trained: {left.why}", warning=True))
    return able, failed


def _prepare_network(recipe: Recipe, tell: Tell) -> None:
    """Have the pretrained network converted for this machine; `ModelError` where that cannot be."""
    pending = request_start(recipe)
    try:
        if pending.converting:
            if not recipe.start_from:
                describe_network(recipe.model)  # a wrong name is known sooner here than in the other process
            size = f" for {recipe.img_size} pixels" if recipe.img_size else ""
            tell(Note(f"The network {recipe.model}{size} is prepared for this machine, once."))
        pending.result()
    finally:
        pending.stop()


def _divide(folder: Path, opened: Source, able: Sequence[Candidate], *, device: str, tell: Tell) -> Splits:
    """Look at the pictures, and split them as the folder has them split already, or else anew."""
    first = able[0].recipe
    with prepare_network(first) as pending:
        index, extractor = scan_with(opened, first, pending, device=device, tell=tell)
    if (folder / SEARCH).is_file():
        _check_known(folder, index, first)
        splits = Splits.load(folder / "splits.arrow", index)
        tell_splits(splits, tell)
        return splits
    duplicates = find_copies(index, first, extractor, tell)
    tell_data(index, duplicates, tell)
    # Where one of them is trained step by step, the split has what that needs.
    splits = divide(index, next((one.recipe for one in able if one.recipe.how != "probe"), first), duplicates, tell)
    index.save(folder / "index.arrow")
    splits.save(folder / "splits.arrow")
    return splits


def _check_known(folder: Path, index: Index, first: Recipe) -> None:
    """Raise where the search in `folder` is about other pictures, or another split of them."""
    try:
        check_same(Run(folder), index)
    except ChangedDataError as error:
        raise ChangedDataError(
            error.given,
            expected="The same files with the same labels: all candidates are ranked on the same pictures.",
            do="Put the data back as they were, or give another --output.",
        ) from error
    before, now = read_json(folder / SEARCH, "search", _VERSION).get("split"), split_settings(first)
    for name, value in now.items():
        if not isinstance(before, dict) or before.get(name) != value:
            was = before.get(name) if isinstance(before, dict) else None
            raise RecipeError(
                f"{name} is {value!r}, and the comparison in {str(folder)!r} began with {was!r}.",
                expected="The same split for all candidates.",
                do=f"Give --set {name}={was}, or another --output.",
            )


def _finish(bench: Bench, candidates: Sequence[Candidate]) -> Search:
    """Rank, test the winner and write everything."""
    if not bench.ranked:
        raise _explain_none(bench.left_out)
    ranked = _rank(bench)
    test = _test(bench, ranked[0])
    return _write(bench, candidates, ranked, test)


def _rank(bench: Bench) -> tuple[Contender, ...]:
    """What is done, ranked, with what the paired test says of each against the first."""
    first, *others = rank(list(bench.ranked.values()), bench.settings.by)
    validation = bench.splits.validation
    clusters = dict(zip(validation.paths, find_clusters(validation).tolist(), strict=True)) if others else {}
    pairs = correct([_pair(first, one, clusters) for one in others])
    return (first, *(replace(one, against=pair) for one, pair in zip(others, pairs, strict=True)))


def _pair(first: Contender, other: Contender, clusters: dict[str, int]) -> Paired:
    """The paired test of two candidates on the same validation pictures; `clusters` has a number for each path."""
    one, two = first.validation, other.validation
    groups = number_clusters(np.array([clusters[path] for path in one.paths], np.int64))
    answered = Answered(one.classes, one.labels, one.paths, groups)
    return compare_pair(answered, {first.name: one.probabilities, other.name: two.probabilities})


def _test(bench: Bench, winner: Contender) -> Evaluation:
    """Score the test part for the winner; what was scored before in its run is not scored again."""
    run, splits, tell = winner.run, bench.splits, bench.tell
    with contextlib.suppress(BundleError):
        if is_finished(run, run.recipe):
            tell(Note(f"{winner.name} has won before; its test part is not scored again."))
            return Evaluation.load(run.folder / "evaluation.json")
    tell(Note(f"The test part is scored once, for the winner: {winner.name}."))
    classifier = load(run.bundle, device=bench.device)
    test = evaluate(classifier, splits.test, seen="mark", seed=run.recipe.seed, tell=tell)
    others = sum(len(read_looks(Run(path.parent))) for path in bench.folder.glob(f"*/{LEDGER}"))
    test = replace(test, looks=record_look(run, "telltale compare", test.images) + others)
    training = Training(classifier, run, splits, winner.validation, test, winner.seconds)
    save_results(training, Tools(bench.device, None, tell))
    note_finished(run, run.recipe)
    return test


def _write(
    bench: Bench, candidates: Sequence[Candidate], ranked: tuple[Contender, ...], test: Evaluation | None
) -> Search:
    """comparison.json, comparison.csv and report.html."""
    order = [one.name for one in candidates]
    splits, settings = bench.splits, bench.settings
    left_out = sorted(bench.left_out, key=lambda one: (not one.failed, order.index(one.name)))
    parts = {name: len(part) for name, part in splits.named.items()}
    seconds = time.perf_counter() - bench.start
    data = splits.index.name
    found = Search(bench.folder, data, settings.by, ranked, tuple(left_out), test, parts, seconds, settings.time)
    write_json(bench.folder / RESULT, "comparison", _VERSION, found.to_dict())
    recipes = {one.name: one.recipe.resolved for one in candidates}
    write_atomic(bench.folder / "comparison.csv", to_csv(found, recipes))
    write_search_page(bench.folder / "report.html", found, splits)
    return found


def _explain_stop(bench: Bench, candidates: Sequence[Candidate], error: KeyboardInterrupt) -> Interrupted:
    """What was finished is written down without a test; the error says how much that is."""
    done = len(bench.ranked)
    if done:
        tried = {*bench.ranked, *(one.name for one in bench.left_out)}
        missing = [one for one in candidates if one.name not in tried]
        bench.left_out += [LeftOut(one.name, one.recipe, False, "The search was stopped before.") for one in missing]
        _write(bench, candidates, _rank(bench), None)
    what = f"{error.text} " if isinstance(error, Interrupted) else "Stopped. "
    text = f"{what}{done} of {len(candidates)} candidates are done; all is kept in {bench.folder}."
    return Interrupted(text, str(bench.folder))


def _explain_none(left_out: Sequence[LeftOut]) -> ModelError:
    """No candidate has a result."""
    words = " ".join(f"{names}: {one.why}" for names, one in group_left_out(left_out)[:_SHOWN])
    return ModelError(
        f"None of {len(left_out)} candidates was trained. {words}",
        expected="At least one network that can be trained, in the time that there is.",
        do="Check the names (telltale models) and the weights (TELLTALE_WEIGHTS), or give a longer --time.",
    )
