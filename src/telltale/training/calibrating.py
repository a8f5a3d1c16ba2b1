"""`calibrate`: how sure a classifier may be, and when it says "unknown", from pictures that it has not learned from.

A probe costs no further pictures: the heads of `cross_fit` are like the final one, and each speaks of training pictures
that it has not seen. What belongs together (copies, look-alikes, groups) is in one fold. The same holds for the
familiarity: the strangeness of each fold is told by one fitted on the others. Where a class is a single picture, or
pictures that belong together, nobody who has not seen them knows it, and the validation pictures are asked, which chose
the penalty. A network that was trained knows its training pictures, so other ones are needed: a part kept for that,
else those that chose the epoch.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.duplicates import find_duplicates, find_exact
from telltale.data.index import Index
from telltale.data.sampling import sample_evenly
from telltale.data.splits import Splits, deal_folds, find_units
from telltale.errors import RecipeError
from telltale.evaluation.calibration import expected_error, fit_temperature
from telltale.evaluation.conformal import find_set_threshold
from telltale.evaluation.held_out import MOST, cross_fit
from telltale.evaluation.selective import choose_threshold
from telltale.model.familiarity import Familiarity, find_limit, fit_familiarity
from telltale.model.features import Extractor, features
from telltale.model.head import Floats, Head, softmax
from telltale.model.rejection import RejectRule
from telltale.progress import Tell, silent

FOLDS: Final = 5
"""Each head learns from four fifths of what the final one learned from."""

FAMILIAR: Final = 5_000
"""Training pictures that a trained network is run over for the familiarity; 666 tell as much
(benchmarks/RESULTS.md#unknown)."""


@dataclass(frozen=True, slots=True)
class Aims:
    """What is wanted of the answers."""

    precision: float = 0.99
    """Share right among the answers that are accepted."""
    coverage: float = 0.95
    """Share of prediction sets that have the true class in them."""
    seed: int = 0
    """Deals the folds."""

    def __post_init__(self) -> None:
        for name in ("precision", "coverage"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise RecipeError(
                    f"The {name} that is wanted is {value}.",
                    expected="A share between 0 and 1, such as 0.99.",
                    do="Give another share. No number of pictures shows that nothing is ever wrong.",
                )


@dataclass(frozen=True)
class Calibrated:
    """The head with its temperature, what to accept, what known pictures are like, and facts for the record."""

    head: Head
    rule: RejectRule
    familiarity: Familiarity
    facts: dict[str, Any]


@dataclass(frozen=True)
class _HeldOut:
    """What is said of pictures that nothing was learned from: logits `[n, classes]`, strangeness and labels `[n]`."""

    logits: Floats
    strangeness: Floats
    labels: NDArray[np.int32]
    source: str


def calibrate(
    splits: Splits,
    extractor: Extractor,
    head: Head,
    *,
    penalty: float | None,
    aims: Aims | None = None,
    tell: Tell = silent,
) -> Calibrated:
    """The temperature, the reject rule and the familiarity of the classifier that `extractor` and `head` make.

    `penalty` is that of a probe's head, which is cross-fitted on the training part. Where it is None, the network has
    been trained, and the calibration part of `splits` is asked; where there is none, the validation part, and the facts
    say that it chose the epoch too. So it is for a probe where a class has fewer than two training pictures that do not
    belong together: the validation part chose its penalty. `aims` say what is wanted (default: 0.99 right, sets of
    0.95).
    """
    aims = aims or Aims()
    found = None if penalty is None else _cross_fit(splits, extractor, penalty, aims.seed, tell)
    if found is None:
        chose = "the epoch and the settings" if penalty is None else "the penalty"
        found = _ask_other(splits, extractor, head, chose, tell)
    familiarity, held_out = found
    temperature = fit_temperature(held_out.logits, held_out.labels)
    probabilities = softmax(held_out.logits / np.float32(temperature))
    rule = _set_rule(held_out, probabilities, aims)
    facts = _facts(held_out, probabilities, temperature, rule)
    return Calibrated(replace(head, temperature=temperature), rule, familiarity, facts)


def _cross_fit(
    splits: Splits, extractor: Extractor, penalty: float, seed: int, tell: Tell
) -> tuple[Familiarity, _HeldOut] | None:
    """What is said of the training part by heads that have learned from others only; None where that cannot be."""
    train, classes = splits.train, len(splits.index.classes)
    rows = sample_evenly(train.codes, MOST, seed=seed)
    if len(rows) < len(train):
        train = train.take(rows)
    folds = _deal(train, splits.radius, seed)
    if folds is None:
        return None
    known, labels = features(train, extractor, tell=tell), train.codes
    logits = cross_fit(known, labels, folds, penalty=penalty, classes=classes)
    strangeness = np.empty(len(labels), np.float32)
    for number in np.unique(folds).tolist():
        mine = folds == number
        strangeness[mine] = fit_familiarity(known[~mine], labels[~mine], classes=classes).score(known[mine])
    source = f"{len(labels):,} training pictures, each judged by a head that has learned from others only"
    return fit_familiarity(known, labels, classes=classes), _HeldOut(logits, strangeness, labels, source)


def _deal(train: Index, radius: float, seed: int) -> NDArray[np.int64] | None:
    """Fold of each training picture, so that what belongs together is in one, and every class is outside of each fold.

    None where a class has fewer than two units: outside of their fold there is nothing of it to learn from.
    """
    units = find_units(train, find_duplicates(train) if radius > 0 else find_exact(train))
    codes, members = np.unique(np.stack([train.codes.astype(np.int64), units]), axis=1)
    present, counts = np.unique(codes, return_counts=True)
    if not len(counts) or counts.min() < 2:
        return None
    folds = deal_folds(units, train.codes, min(FOLDS, len(np.unique(units))), seed=seed)
    for code in present.tolist():
        if len(np.unique(folds[train.codes == code])) < 2:
            # Chance put them together. A unit by itself takes from no class the last that is outside of its fold.
            folds[units == members[codes == code][0]] = folds.max() + 1
    return folds


def _ask_other(
    splits: Splits, extractor: Extractor, head: Head, chose: str, tell: Tell
) -> tuple[Familiarity, _HeldOut]:
    """What `head` says of the calibration part, or else of the validation part, which `chose` something before."""
    part = splits.calibration
    if len(part):
        source = f"{len(part):,} calibration pictures, used for nothing else"
    else:
        part = splits.validation
        source = f"{len(part):,} validation pictures, which chose {chose} too"
    classes = len(splits.index.classes)
    sample = splits.train.take(sample_evenly(splits.train.codes, FAMILIAR))
    familiarity = fit_familiarity(features(sample, extractor, tell=tell), sample.codes, classes=classes)
    asked = features(part, extractor, tell=tell)
    return familiarity, _HeldOut(head.logits(asked), familiarity.score(asked), part.codes, source)


def _set_rule(held_out: _HeldOut, probabilities: Floats, aims: Aims) -> RejectRule:
    limit = find_limit(held_out.strangeness)
    known = held_out.strangeness <= limit
    right = probabilities.argmax(axis=1) == held_out.labels
    threshold, assured = choose_threshold(probabilities.max(axis=1)[known], right[known], aims.precision)
    return RejectRule(
        precision=aims.precision,
        threshold=threshold,
        unlike_above=limit,
        coverage=aims.coverage,
        set_threshold=find_set_threshold(probabilities, held_out.labels, aims.coverage),
        pictures=len(held_out.labels),
        assured=assured,
    )


def _facts(held_out: _HeldOut, probabilities: Floats, temperature: float, rule: RejectRule) -> dict[str, Any]:
    """Plain values: what the held-out pictures showed."""
    labels = held_out.labels
    accepted = (probabilities.max(axis=1) >= rule.threshold) & (held_out.strangeness <= rule.unlike_above)
    right = probabilities.argmax(axis=1) == labels
    return {
        "source": held_out.source,
        "pictures": len(labels),
        "temperature": round(temperature, 4),
        "ece_before": round(expected_error(softmax(held_out.logits), labels), 5),
        "ece_after": round(expected_error(probabilities, labels), 5),
        "accepted": round(float(accepted.mean()), 4),
        "accepted_accuracy": round(float(right[accepted].mean()), 4) if accepted.any() else None,
        "assured": rule.assured,
        **{name: _plain(getattr(rule, name)) for name in ("threshold", "unlike_above", "set_threshold")},
    }


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
