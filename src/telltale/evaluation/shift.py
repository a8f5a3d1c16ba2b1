"""`measure_shift`: how a further set of pictures differs from the test part, and which classes suffer from it.

Four looks at the two sets, all among pictures of the same class:

* a linear classifier on the network's own features is asked which set a picture is from, out of fold, with copies in
  one fold (`predict_held_out`; a classifier two-sample test, Lopez-Paz and Oquab, ICLR 2017, arXiv:1610.06545). Where
  its AUC is 0.5, the network sees no difference;
* light, sharpness, size and file (`find_differences`), which give the difference a name;
* recall of each class in both sets, and the drop;
* the pictures themselves: mistakes that this classifier finds most unlike the reference, and its most typical pictures.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.duplicates import find_duplicates
from telltale.data.index import Index
from telltale.data.sampling import sample_evenly
from telltale.data.splits import deal_folds, find_units
from telltale.errors import UserError
from telltale.evaluation.differences import FEWEST, Difference, find_differences, format_value
from telltale.evaluation.evaluation import NAMES, Evaluation
from telltale.evaluation.held_out import LEAST_FOLDS, predict_held_out
from telltale.evaluation.metrics import Interval, subtract
from telltale.evaluation.separation import CHANCE, rank_in_folds, separate
from telltale.evaluation.student import Z
from telltale.model.features import Extractor, features
from telltale.progress import Tell, silent
from telltale.words import enumerate_words, printable

FOLDS: Final = 5

OUT_OF_FOLD: Final = 1 / (1 + FOLDS / (FOLDS - 1))
"""An out-of-fold AUC varies as if so small a share of the pictures were there: the heads of the folds learn from the
same pictures (Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003). Without it 5 to
8 of 100 random pairs of sets from the same photos were called different, with it at most 2."""

MOST: Final = 5_000
"""Pictures of each set that are looked at, evenly from the classes: an AUC is then sure to ±0.01."""

KEPT: Final = 24
"""Pictures that explain the shift: so many mistakes, and so many typical ones."""

TOLD: Final = 3
"""Differences that the verdict names."""


@dataclass(frozen=True, slots=True)
class ClassDrop:
    """Recall of one class in both sets, and `drop`: reference minus other, above 0 where it does worse there."""

    name: str
    reference: Interval
    other: Interval
    drop: Interval


@dataclass(frozen=True, slots=True)
class Telling:
    """A picture of the other set: what it is, what it was called with `probability`, and how foreign it looks.

    `chance` is the out-of-fold probability that it is from the other set, where both sets are as likely.
    """

    path: str
    true: str
    predicted: str
    probability: float
    chance: float


@dataclass(frozen=True)
class Shift:
    """How the other set differs from the reference, what the classifier makes of it, and the verdict in words."""

    auc: Interval | None
    """How well a classifier on the features tells the sets apart, 0.5 where not at all; None where that is unknown."""
    pictures: tuple[int, int]
    """How many were looked at, of the reference and of the other set."""
    changes: dict[str, Interval]
    """By the names of the metrics: other minus reference."""
    differences: tuple[Difference, ...] = ()
    drops: tuple[ClassDrop, ...] = ()
    """Classes with pictures in both sets, those that surely lose most first."""
    telling: tuple[Telling, ...] = ()
    """Mistakes in the other set, the most foreign first."""
    typical: tuple[Telling, ...] = ()
    """Pictures of the other set, right or wrong, the most foreign first; of copies one."""
    unsaid: tuple[str, ...] = ()
    """What cannot be said, and why, as sentences."""
    verdict: str = ""


@dataclass(frozen=True)
class _Both:
    """Pictures of both sets in one table, the reference first; all arrays `[n]`."""

    table: pa.Table
    second: NDArray[np.bool_]
    classes: NDArray[np.int32]
    units: NDArray[np.int64]

    @property
    def share(self) -> float:
        """Of the pictures, the share that are no copies of others."""
        return len(np.unique(self.units)) / len(self.units)


def measure_shift(
    reference: Index,
    other: Index,
    extractor: Extractor | None,
    *,
    evaluations: tuple[Evaluation, Evaluation],
    seed: int = 0,
    tell: Tell = silent,
) -> Shift:
    """How the pictures of `other` differ from those of `reference`, where a classifier has these `evaluations` on them.

    Of each set at most `MOST` pictures are looked at, taken by `seed`. Without an `extractor`, and where features
    cannot be computed because the pictures are gone, `auc` is None; where a set has fewer than `FEWEST` pictures, or
    the sets have no class in common, nothing is said about the pictures either. `unsaid` tells. Nothing is raised for
    data that are too few.
    """
    names = evaluations[0].classes
    sides = _choose(reference, names, seed), _choose(other, names, seed)
    changes = {
        name: subtract(evaluations[1].metrics[name], evaluations[0].metrics[name])
        for name in NAMES
        if name in evaluations[0].metrics and name in evaluations[1].metrics
    }
    shift = Shift(None, (len(sides[0]), len(sides[1])), changes, drops=_find_drops(*evaluations))
    if why := _explain_few(sides, names):
        shift = replace(shift, unsaid=(why,))
    else:
        both = _join(*sides, names)
        shift = replace(shift, differences=find_differences(both.table, both.second, both.classes, share=both.share))
        shift = _tell_apart(shift, both, sides, extractor, evaluations[1], seed=seed, tell=tell)
    return replace(shift, verdict=describe_shift(shift, evaluations))


def _choose(index: Index, names: tuple[str, ...], seed: int) -> Index:
    """Readable pictures of these classes, at most `MOST`."""
    usable = index.readable
    usable = usable.take(np.flatnonzero(_number(usable, names) >= 0))
    return usable.take(sample_evenly(_number(usable, names), MOST, seed=seed))


def _number(index: Index, names: tuple[str, ...]) -> NDArray[np.int32]:
    """Number of each sample's class in `names`, -1 where it has none of them."""
    found = pc.index_in(index.table.column("label"), value_set=pa.array(names, pa.string()))
    return found.fill_null(-1).to_numpy().astype(np.int32)  # type: ignore[no-any-return]


def _explain_few(sides: tuple[Index, Index], names: tuple[str, ...]) -> str:
    few = min(map(len, sides))
    if few < FEWEST:
        return (
            f"With {few:,} {'picture' if few == 1 else 'pictures'} on one side it cannot be said whether the pictures "
            f"differ: at least {FEWEST} are needed."
        )
    if not set(_number(sides[0], names)) & set(_number(sides[1], names)):
        return "The two sets have no class in common, so it cannot be said whether their pictures differ."
    return ""


def _join(reference: Index, other: Index, names: tuple[str, ...]) -> _Both:
    table = pa.concat_tables([reference.table, other.table]).combine_chunks()
    joined = Index(table, names, "", "", "")
    second = np.arange(len(joined)) >= len(reference)
    return _Both(table, second, joined.codes, find_units(joined, find_duplicates(joined)))


def _tell_apart(
    shift: Shift,
    both: _Both,
    sides: tuple[Index, Index],
    extractor: Extractor | None,
    evaluation: Evaluation,
    **how: Any,
) -> Shift:
    """`shift` with what a classifier on features says, or with the reason why it says nothing."""
    if extractor is None:
        return replace(shift, unsaid=("Without the network's features it is not known whether it sees a difference.",))
    try:
        seen = np.concatenate([features(side, extractor, tell=how["tell"]) for side in sides])
    except UserError as error:
        why = f"Whether the network sees a difference cannot be said: {error.given}"
        return replace(shift, unsaid=(why,))
    groups = both.second * np.int32(1 + both.classes.max()) + both.classes
    folds = deal_folds(both.units, groups.astype(np.int32), FOLDS, seed=how["seed"])
    if len(np.unique(folds)) < LEAST_FOLDS:
        return replace(
            shift,
            unsaid=("Nearly all pictures are copies of each other, or of one group: nothing can be told from them.",),
        )
    said = predict_held_out(seen, both.second.astype(np.int32), folds, classes=2, seed=how["seed"])
    odds = np.log(np.maximum(said[:, 1], 1e-30)) - np.log(np.maximum(said[:, 0], 1e-30))
    auc = separate(rank_in_folds(odds, folds), both.second, both.classes, share=OUT_OF_FOLD * both.share)
    # As if both sets had as many pictures: else the larger one is likelier, whatever a picture shows.
    odds = odds[both.second] - np.log(both.second.sum() / (~both.second).sum())
    chance = 1 / (1 + np.exp(-odds))
    telling, typical = _pick(sides[1], chance, both.units[both.second], evaluation)
    return replace(shift, auc=auc, telling=telling, typical=typical)


def _pick(
    other: Index, chance: NDArray[Any], units: NDArray[np.int64], evaluation: Evaluation
) -> tuple[tuple[Telling, ...], ...]:
    """The mistakes and the pictures that look most foreign; of copies, and of a group, one typical picture."""
    row_of = {path: row for row, path in enumerate(evaluation.paths)}
    predicted = evaluation.probabilities.argmax(axis=1) if len(evaluation.paths) else np.empty(0, np.int64)
    telling, typical = list[Telling](), dict[int, Telling]()
    for place in np.argsort(-chance, kind="stable").tolist():
        row = row_of.get(other.paths[place], -1)
        if row < 0:
            continue
        said, true = int(predicted[row]), int(evaluation.labels[row])
        probability = float(evaluation.probabilities[row, said])
        names = evaluation.classes[true], evaluation.classes[said]
        found = Telling(other.paths[place], *names, probability, float(chance[place]))
        if said != true and len(telling) < KEPT:
            telling.append(found)
        if len(typical) < KEPT:
            typical.setdefault(int(units[place]), found)
    return tuple(telling), tuple(typical.values())


def _find_drops(reference: Evaluation, other: Evaluation) -> tuple[ClassDrop, ...]:
    """Each class with pictures in both, those with the largest drop that is beyond chance first."""
    after = {one.name: one for one in other.per_class if one.support}
    drops = [
        ClassDrop(one.name, one.recall, after[one.name].recall, subtract(one.recall, after[one.name].recall))
        for one in reference.per_class
        if one.support and one.name in after
    ]
    return tuple(sorted(drops, key=lambda one: (-one.drop.low, -one.drop.value, one.name)))


def surely_worse(drops: tuple[ClassDrop, ...]) -> tuple[ClassDrop, ...]:
    """The classes whose drop is beyond chance though so many are compared (Bonferroni)."""
    reach = NormalDist().inv_cdf(1 - 0.025 / len(drops)) / Z if drops else 1.0
    return tuple(one for one in drops if one.drop.value - reach * (one.drop.value - one.drop.low) > 0)


def describe_shift(shift: Shift, evaluations: tuple[Evaluation, Evaluation]) -> str:
    """The verdict in sentences: whether the pictures differ and how, what becomes of the accuracy, who suffers."""
    sentences = [_say_difference(shift), *shift.unsaid, _say_change(shift, evaluations), _say_drops(shift)]
    return " ".join(sentence for sentence in sentences if sentence)


def _say_difference(shift: Shift) -> str:
    told = sorted((one for one in shift.differences if one.word), key=lambda one: -abs(one.auc.value - CHANCE))
    words = [
        f"{one.word} ({one.name} {format_value(one.name, one.other)} against "
        f"{format_value(one.name, one.reference)}{f' {one.unit}' if one.unit else ''})"
        for one in told[:TOLD]
    ]
    listed = enumerate_words(words)
    if shift.auc is None:
        return f"The new pictures are {listed}." if listed else ""
    figures = f"AUC {shift.auc.value:.2f} [{shift.auc.low:.2f}, {shift.auc.high:.2f}]"
    if shift.auc.low <= CHANCE:
        said = f"No difference was found between what the network sees in the two sets ({figures}; 0.5 is chance)"
        return f"{said}, but the new pictures are {listed}." if listed else f"{said}."
    how = next(words for below, words in _DEGREES if shift.auc.value < below)
    said = f"From the pictures alone one can {how} the two sets apart ({figures}; 0.5 is chance)"
    if listed:
        return f"{said}: the new ones are {listed}."
    return f"{said}, but not by light, sharpness, size or file." if shift.differences else f"{said}."


_DEGREES: Final = ((0.65, "hardly tell"), (0.8, "often tell"), (0.95, "mostly tell"), (2.0, "tell"))
"""AUC below which it is said so."""


def _say_change(shift: Shift, evaluations: tuple[Evaluation, Evaluation]) -> str:
    before, after = (one.metrics["accuracy"].value for one in evaluations)
    change = shift.changes["accuracy"]
    points = f"{100 * change.low:+.1f} to {100 * change.high:+.1f} points"
    figures = f"from {100 * before:.1f} % to {100 * after:.1f} %"
    if change.low <= 0 <= change.high:
        verb = "stays at" if f"{100 * before:.1f}" == f"{100 * after:.1f}" else "falls" if change.value < 0 else "rises"
        figures = f"{100 * after:.1f} %" if verb == "stays at" else f"{figures}, which may be chance"
        return f"Accuracy {verb} {figures} ({points})."
    return f"Accuracy {'falls' if change.value < 0 else 'rises'} {figures}, more than by chance ({points})."


def _say_drops(shift: Shift) -> str:
    worse = surely_worse(shift.drops)
    if not worse:
        return "No single class surely suffers." if len(shift.drops) > 1 else ""
    first = worse[0]
    recall = f"recall {first.other.value:.3f} against {first.reference.value:.3f}"
    more = f"; {len(worse) - 1} more of {len(shift.drops)} surely lose too" if len(worse) > 1 else ""
    return f"{printable(first.name, 40)!r} suffers most: {recall}{more}."
