"""`try_all`: the candidates of a search, one after the other, each in a run folder of its own."""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from telltale.data.splits import Splits
from telltale.delivery.resuming import Origin, lasting, note_origin
from telltale.delivery.search_cost import (
    estimate_seconds,
    measure_predictions,
    measure_rate,
    name_work,
)
from telltale.delivery.search_outcome import Contender, LeftOut, rank
from telltale.delivery.search_plan import Candidate, SearchSettings, plan_rungs, shorten_recipe
from telltale.errors import BundleError, DataError, OutputError, UserError
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.predictions import read_predictions
from telltale.evaluation.scoring import evaluate
from telltale.files import create_folder, measure_folder, read_json, write_json
from telltale.model.classifier import Classifier
from telltale.progress import Note, Tell
from telltale.training.fitting import fit
from telltale.training.recipe import Recipe, read_time
from telltale.training.run import Run, identify

CANDIDATE: Final = "candidate.json"
"""In the run of a candidate: which one it is, and its figures once it is done."""

ANSWERS: Final = "validation_predictions.parquet"
_VERSION: Final = 1

_LEARNED_IN: Final = 0.9
"""Share of a candidate's time in which it may learn; the rest is for its validation and for saving it."""


@dataclass(eq=False)
class Bench:
    """What all candidates of a search share, and what came of those that were tried."""

    splits: Splits
    folder: Path
    settings: SearchSettings
    origin: Origin
    """Where the pictures come from."""
    start: float
    """`time.perf_counter()` when the search began: its time counts from here."""
    device: str
    tell: Tell
    ranked: dict[str, Contender] = field(default_factory=dict)
    """By name; of a candidate that was trained more than once the longest training."""
    left_out: list[LeftOut] = field(default_factory=list)
    speeds: dict[object, float] = field(default_factory=dict)
    """Pictures per second of predictions, by the kind of network and its preprocessing: measured once for all such."""

    @property
    def left(self) -> float:
        """Seconds; infinite where there is no limit."""
        return self.start + self.settings.seconds - time.perf_counter()


@dataclass(frozen=True, slots=True)
class _Turn:
    """A candidate's training in one round: its recipe there, which share of the epochs that is, and what it costs."""

    candidate: Candidate
    recipe: Recipe
    share: float
    cost: float


def try_all(bench: Bench, candidates: Sequence[Candidate]) -> None:
    """Train and score the candidates (with resolved recipes); what came of each is in `bench` afterwards."""
    costs = _estimate(bench, candidates)
    # Only a training has epochs to divide.
    staged = [one for one in candidates if bench.settings.halving and one.recipe.how != "probe"]
    rungs = plan_rungs(len(staged), min((one.recipe.epochs for one in staged), default=0)) if staged else ()
    if bench.settings.halving and len(rungs) < 2:
        why = "epochs are too few to be divided" if len(staged) > 1 else "probes are computed whole"
        bench.tell(Note(f"Successive halving has no effect: {why}."))
        staged, rungs = [], ()
    whole = [one for one in candidates if one not in staged and one.name in costs]
    weight_after = sum(rung.count * rung.share for rung in rungs)
    _try_round(bench, [_Turn(one, one.recipe, 1.0, costs[one.name]) for one in whole], weight_after)
    staged = [one for one in staged if one.name in costs]
    for number, rung in enumerate(rungs, 1):
        weight_after -= rung.count * rung.share
        turns = [
            _Turn(one, shorten_recipe(one.recipe, rung.share), rung.share, rung.share * costs[one.name])
            for one in staged[: rung.count]
        ]
        if not turns:
            break
        epochs = "the whole of the epochs" if rung.share == 1 else f"1/{round(1 / rung.share)} of the epochs"
        bench.tell(
            Note(f"Round {number} of {len(rungs)}: {len(turns)} candidate{'s' * (len(turns) != 1)} with {epochs}.")
        )
        _try_round(bench, turns, weight_after)
        done = [bench.ranked[one.candidate.name] for one in turns if one.candidate.name in bench.ranked]
        order = [one.name for one in rank([one for one in done if one.share == rung.share], bench.settings.by)]
        staged = sorted((one for one in staged if one.name in order), key=lambda one: order.index(one.name))


def _estimate(bench: Bench, candidates: Sequence[Candidate]) -> dict[str, float]:
    """Seconds that each will take, about, cheapest first; 0 for all where there is no limit. Who fails here is out."""
    if bench.left == float("inf"):
        return {one.name: 0.0 for one in candidates}
    costs, rates = dict[str, float](), dict[object, float]()
    for one in candidates:
        work = name_work(one.recipe)
        with _failing(bench, one):
            rates[work] = rates.get(work) or measure_rate(one.recipe, bench.device)
            pictures = len(bench.splits.parts)
            costs[one.name] = estimate_seconds(one.recipe, rates[work], pictures=pictures, device=bench.device)
    costs = dict(sorted(costs.items(), key=lambda pair: pair[1]))
    words = ", ".join(f"{name} {say_seconds(cost)}" for name, cost in costs.items())
    bench.tell(Note(f"Cheapest first; at most about: {words}."))
    return costs


def _try_round(bench: Bench, turns: Sequence[_Turn], weight_after: float) -> None:
    """Each candidate of a round. With a limit, cheapest first; `weight_after` is what comes in later rounds."""
    turns = sorted(turns, key=lambda turn: turn.cost)
    for place, turn in enumerate(turns):
        run = _find_run(bench.folder, turn.recipe)
        found = _reopen(bench, turn, run) if run else None
        if found is not None:
            bench.ranked[turn.candidate.name] = found
            bench.tell(Note(f"{turn.candidate.name}: finished before, {_describe(found)}."))
            continue
        weight = sum(one.share for one in turns[place:]) + weight_after
        seconds = bench.left * turn.share / weight
        why = _find_want(turn, seconds, bench.left)
        if why:
            _leave_out(bench, turn.candidate, why)
            continue
        bench.tell(Note(f"Candidate {turn.candidate.name} ({_words(turn.recipe)})"))
        with _failing(bench, turn.candidate):
            found = _train(bench, turn, run, seconds)
            bench.ranked[turn.candidate.name] = found
            bench.tell(Note(f"{turn.candidate.name}: {_describe(found)}."))


def _find_want(turn: _Turn, seconds: float, left: float) -> str:
    """Why the time does not suffice for a candidate whose fair share is so many `seconds`; empty where it does.

    A probe cannot be cut short, so it may take all that is left; a training must have time for one epoch.
    """
    probe = turn.recipe.how == "probe"
    needed, given = (turn.cost, left) if probe else (turn.cost / max(1, turn.recipe.epochs), seconds)
    if needed <= given:
        return ""
    what = "It takes" if probe else "An epoch takes"
    share = f"{say_seconds(max(0.0, given))} {'are left' if probe else 'are its share of what is left'}"
    return f"{what} about {say_seconds(needed)}, and {share}."


def _leave_out(bench: Bench, candidate: Candidate, why: str) -> None:
    if candidate.name not in bench.ranked:  # else it has figures of an earlier round
        bench.left_out.append(LeftOut(candidate.name, candidate.recipe, False, why))
    bench.tell(Note(f"{candidate.name} is not tried: {why}"))


@contextlib.contextmanager
def _failing(bench: Bench, candidate: Candidate) -> Iterator[None]:
    """What is the candidate's own fault is noted, and the others go on; everything else is raised."""
    try:
        yield
    except (UserError, MemoryError, RuntimeError) as error:
        why = explain_failure(error)
        if why is None:
            raise
    else:
        return
    # Outside the handler, which would keep the failed training's memory.
    if candidate.name not in bench.ranked:
        bench.left_out.append(LeftOut(candidate.name, candidate.recipe, True, why))
    bench.tell(Note(f"{candidate.name} failed: {why}", warning=True))


def explain_failure(error: Exception) -> str | None:
    """Why a candidate failed, in words; None where it is not the candidate's fault: the data, the disk, a mistake."""
    if isinstance(error, UserError):
        if isinstance(error, DataError | OutputError):
            return None
        meant = f"{error.expected} " if error.expected.startswith("Did you mean") else ""
        return f"{error.given} {meant}{error.do}"
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return f"Memory did not suffice ({str(error).partition(chr(10))[0] or type(error).__name__})."
    return None


def _train(bench: Bench, turn: _Turn, run: Run | None, seconds: float) -> Contender:
    """Train where `run` was left, or anew, and score the validation part."""
    start, recipe = time.perf_counter(), turn.recipe
    if run is None:
        run = Run(create_folder(str(bench.folder), _slug(turn)))
        identify(run, run.id)
        write_json(run.folder / CANDIDATE, "candidate", _VERSION, _ask(turn))
    run = Run(run.folder)  # its time counts from now
    if recipe.how != "probe" and seconds != float("inf"):
        limit = max(1.0, _LEARNED_IN * seconds)
        recipe = replace(recipe, time=f"{min(limit, read_time(recipe.time) or limit):.0f}s")
    if not (run.folder / "recipe.toml").is_file():  # else it holds the batch size that was found
        note_origin(run, bench.origin.source, bench.origin.columns, recipe)
    classifier, run = fit(bench.splits, recipe, run=run, device=bench.device, tell=bench.tell)
    validation = evaluate(classifier, bench.splits.validation, seen="mark", seed=recipe.seed, tell=bench.tell)
    took = time.perf_counter() - start
    validation.save(run.folder / "validation.json")
    validation.save_predictions(run.folder / ANSWERS)
    figures = {
        "images_per_second": _find_speed(bench, classifier),
        "size_mb": measure_folder(run.bundle) / 1e6,
        "seconds": took,
    }
    write_json(run.folder / CANDIDATE, "candidate", _VERSION, _ask(turn) | {"figures": figures})
    return _rank(turn, run, validation, figures)


def _find_speed(bench: Bench, classifier: Classifier) -> float:
    extractor = classifier.extractor
    kind = (extractor.backbone.architecture, extractor.preprocess, extractor.arithmetic)
    if kind not in bench.speeds:
        bench.speeds[kind] = measure_predictions(classifier, bench.splits.validation)
    return bench.speeds[kind]


def _rank(turn: _Turn, run: Run, validation: Evaluation, figures: dict[str, float]) -> Contender:
    speed, size, seconds = (float(figures[name]) for name in ("images_per_second", "size_mb", "seconds"))
    return Contender(turn.candidate.name, run, validation, speed, size, seconds, turn.share)


def _ask(turn: _Turn) -> dict[str, Any]:
    return {"name": turn.candidate.name, "settings": lasting(turn.recipe)}


def _slug(turn: _Turn) -> str:
    """A name for a folder, with the epochs of a round that has not all of them."""
    name = turn.candidate.name if turn.share == 1 else f"{turn.candidate.name} epochs={turn.recipe.epochs}"
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", name).strip("._-")[:100] or "candidate"


def _find_run(folder: Path, recipe: Recipe) -> Run | None:
    """The run in the folder of a search that was begun with this recipe."""
    asked = lasting(recipe)
    for path in sorted(folder.glob(f"*/{CANDIDATE}")):
        with contextlib.suppress(BundleError):
            if read_json(path, "candidate", _VERSION).get("settings") == asked:
                return Run(path.parent)
    return None


def _reopen(bench: Bench, turn: _Turn, run: Run) -> Contender | None:
    """What a finished run left; None where it is not finished, or damaged."""
    try:
        figures = read_json(run.folder / CANDIDATE, "candidate", _VERSION).get("figures")
        if not isinstance(figures, dict) or not (run.bundle / "manifest.json").is_file():
            return None
        validation = Evaluation.load(run.folder / "validation.json")
        said = read_predictions(run.folder / ANSWERS)
        if said.paths != tuple(bench.splits.validation.paths) or validation.images != len(said.paths):
            return None
        if said.classes != validation.classes:
            return None
        whole = replace(validation, paths=said.paths, labels=said.labels, probabilities=said.probabilities)
        return _rank(turn, run, whole, figures)
    except (BundleError, KeyError, TypeError, ValueError, OSError):
        return None


def _words(recipe: Recipe) -> str:
    """Network, fit and epochs."""
    size = f" at {recipe.img_size} pixels" if recipe.img_size else ""
    epochs = "" if recipe.how == "probe" else f", {recipe.epochs} epoch{'s' * (recipe.epochs != 1)}"
    return f"{recipe.model}{size}, {recipe.how}{epochs}"


def _describe(found: Contender) -> str:
    return f"validation accuracy {found.accuracy}, log loss {found.log_loss.value:.3f}, {found.speed:,.0f} images/s"


def say_seconds(seconds: float) -> str:
    """A rough time in words.

    >>> say_seconds(0.2), say_seconds(75), say_seconds(600)
    ('1 s', '75 s', '10 min')
    """
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{seconds / 60:.0f} min"
