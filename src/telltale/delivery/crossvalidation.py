"""`cross_validate`: as many trainings as folds, so that every picture is tested once by a classifier new to it."""

from dataclasses import replace
from typing import Final

import numpy as np

from telltale.data.duplicates import Duplicates
from telltale.data.index import Index
from telltale.data.splits import find_units, reserve_calibration, split_folds
from telltale.delivery.outcome import Tools, Training, train_once
from telltale.evaluation.conformal import measure_sets, summarise_sets
from telltale.evaluation.evaluation import Evaluation, Seen, score
from telltale.evaluation.selective import check_selective
from telltale.files import write_atomic
from telltale.model.bundle import copy_bundle
from telltale.model.rejection import RejectRule
from telltale.progress import Note
from telltale.training.fitting import PREVIEW, introduce
from telltale.training.log import EVENTS, EventLog
from telltale.training.mirroring import Mirrors
from telltale.training.recipe import Recipe
from telltale.training.run import Run, create_run, identify

FOLDS: Final = "folds.csv"


def cross_validate(index: Index, duplicates: Duplicates, recipe: Recipe, run: Run, tools: Tools) -> Training:
    """`recipe.folds` trainings in `fold-1`, `fold-2`, ... of the run folder, and their tests taken together.

    The run's own classifier is a copy of the one with the lowest log loss on its validation part: chosen without a look
    at any test. `folds.csv` has a line for each fold.
    """
    chosen = split_folds(index, recipe.folds, seed=recipe.seed, val=recipe.val_split, duplicates=duplicates)
    if index.table.column("split").null_count < len(index):
        tools.tell(Note("The source's own split does not count in a cross-validation."))
    recipe.save(run.folder / "recipe.toml")
    index.save(run.folder / "index.arrow")
    trainings = []
    for number, splits in enumerate(chosen, 1):
        place = run.folder / f"fold-{number}"
        # A cross-validation that goes on has folds that are done, or half done.
        fold = Run(place) if (place / "recipe.toml").is_file() else create_run("", place)
        if fold.id != run.id:
            identify(fold, run.id)  # so that its checkpoints are known as this training's, wherever it goes on
        # Trackers hear of the whole, not of the same epochs again and again.
        mirrors = tuple(one for one in run.listeners if isinstance(one, Mirrors))
        fold = replace(fold, listeners=(EventLog(fold.folder / EVENTS, tell=tools.tell), *mirrors))
        if recipe.how != "probe":
            splits = reserve_calibration(splits, seed=recipe.seed)
        trainings.append(train_once(splits, replace(recipe, folds=0), fold, tools))
        found = trainings[-1].test.metrics["accuracy"]
        tools.tell(
            Note(f"Fold {number} of {recipe.folds}: accuracy {found} on {trainings[-1].test.images:,} pictures.")
        )
    best = min(trainings, key=lambda one: one.validation.metrics["log_loss"].value)
    tools.tell(Note(f"The classifier is that of {best.run.name}, the lowest validation loss."))
    introduce(run, recipe, best.classifier.facts, index.classes)
    for one in run.listeners:
        one.begin(best.run.history, len(best.run.history))
    _write_folds(run, trainings)
    best.splits.save(run.folder / "splits.arrow")
    copy_bundle(best.run.bundle, run.bundle)
    write_atomic(run.folder / PREVIEW, (best.run.folder / PREVIEW).read_bytes())
    units = dict(zip(index.paths, find_units(index, duplicates).tolist(), strict=True))
    test = _join(trainings, units, best.classifier.rule)
    return Training(best.classifier, run, best.splits, best.validation, test)


def _join(trainings: list[Training], units: dict[str, int], rule: RejectRule | None) -> Evaluation:
    """The tests of the folds, of different pictures by classifiers of the same classes, as one.

    `units` has a number for each path, the same for pictures that belong together. Each picture is accepted or not, and
    has its set, by the rule of its own fold; `rule`, that of the chosen fold, gives the wanted precision and the
    threshold that are named. There is no calibration: each fold has its own temperature.
    """
    tests = [one.test for one in trainings]
    paths = [path for one in tests for path in one.paths]
    clusters = np.array([units[path] for path in paths])
    labels, probabilities, verdicts, strangeness = (
        np.concatenate([getattr(one, name) for one in tests])
        for name in ("labels", "probabilities", "verdicts", "strangeness")
    )
    joined = score(labels, probabilities, tests[0].classes, paths=paths, clusters=clusters)
    learned, alike = (sum(getattr(one.seen, name) for one in tests) for name in ("learned", "alike"))
    joined = replace(joined, seen=Seen(learned, alike))
    if len(strangeness) == len(labels):
        joined = replace(joined, strangeness=strangeness)
    rules = [one.classifier.rule for one in trainings]
    if rule is None or None in rules or len(verdicts) < len(labels):
        return joined
    sets = [measure_sets(one.labels, one.probabilities, own) for one, own in zip(tests, rules, strict=True) if own]
    sizes, held = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    return replace(
        joined,
        verdicts=verdicts,
        selective=check_selective(labels, probabilities, verdicts, rule, clusters),
        sets=summarise_sets(sizes, held, rule.coverage, clusters),
    )


def _write_folds(run: Run, trainings: list[Training]) -> None:
    """A line for each fold: pictures tested, accuracy with its interval, log loss, and log loss on validation."""
    lines = ["fold,pictures,accuracy,accuracy_low,accuracy_high,log_loss,val_log_loss"]
    for number, one in enumerate(trainings, 1):
        accuracy, loss = one.test.metrics["accuracy"], one.test.metrics["log_loss"]
        figures = [accuracy.value, accuracy.low, accuracy.high, loss.value, one.validation.metrics["log_loss"].value]
        lines.append(f"{number},{one.test.images}," + ",".join(f"{figure:.6f}" for figure in figures))
    write_atomic(run.folder / FOLDS, "\n".join(lines) + "\n")
