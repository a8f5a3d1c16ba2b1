"""Saying "unknown": how accurate the accepted answers are at each coverage, and from which probability on to accept.

`choose_threshold` accepts as many pictures as it can be answered for: the largest set of the surest held-out pictures
of which so many are right that the wanted precision is surpassed with 95 % confidence (Clopper and Pearson's bound, as
in Geifman and El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017).

Measured on draws from a model of photos of cats and dogs (benchmarks/RESULTS.md#unknown), wanted 0.99, with 500, 2,000
and 10,000 held-out pictures: the largest set of which 0.99 are right holds on new pictures in 55, 53 and 56 of 100
draws, so it misses what was asked for about as often as not. With the bound it is 96, 96 and 97, at a coverage of 0.79,
0.86 and 0.90 of at most 0.92. That paper's correction for having tried many thresholds holds in 99 and more, at 0, 0.81
and 0.89: it costs more than it gives, so it is left away, and 95 % is meant for the threshold that was chosen.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.clustered import number_clusters, share_right
from telltale.evaluation.metrics import Floats, Interval, Ints, wilson
from telltale.model.rejection import ACCEPTED, UNLIKE, UNSURE, RejectRule

CONFIDENCE: Final = 0.95
"""With which the wanted precision must be surpassed for a threshold to be assured."""

NEVER: Final = 2.0
"""A threshold above every probability: nothing is accepted."""

POINTS: Final = 60
"""At most so many points of a curve."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """With this threshold the share `coverage` of all pictures is accepted, and of these `accuracy` are right."""

    coverage: float
    accuracy: Interval
    threshold: float


@dataclass(frozen=True, slots=True)
class Selective:
    """What a reject rule does: how many pictures it accepts, and how many of those are right."""

    precision: float
    """What was wanted."""
    threshold: float
    coverage: Interval
    """Share of the pictures that is accepted."""
    accuracy: Interval
    """Share right of the accepted ones."""
    accepted: int
    unsure: int
    unlike: int
    curve: tuple[CurvePoint, ...]
    """From the strictest threshold to one that accepts all that is not unlike; at most 60 points."""


def choose_threshold(confidence: Floats, right: NDArray[np.bool_], precision: float) -> tuple[float, bool]:
    """The least probability to accept, and whether it is assured: from held-out `confidence` and `right`, `[n]` each.

    Where no threshold is assured (fewer than 299 pictures can never show 0.99), the best that there is: the largest
    set of which the share `precision` is right and, where any set reaches that, has it as its mean confidence too.
    Calibrated probabilities say more than a handful of pictures. Where not even the surest pictures reach the
    precision, `NEVER`.

    >>> choose_threshold(np.array([0.6, 0.8, 0.9, 0.99] * 100), np.array([False, True, True, True] * 100), 0.95)
    (0.8, True)
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    accepted = np.arange(1, len(order) + 1)
    wrong = np.cumsum(~right[order], dtype=np.int64)
    # A threshold accepts all pictures of equal confidence or none of them.
    ends = np.ones(len(order), bool)
    ends[:-1] = ordered[:-1] > ordered[1:]
    reached = ends & (wrong <= (1 - precision) * accepted + 1e-9)
    if not reached.any():
        return NEVER, False
    last = _find_assured(accepted, wrong, reached, precision)
    if last >= 0:
        return float(ordered[last]), True
    means = np.cumsum(ordered, dtype=np.float64) / accepted
    both = reached & (means >= precision)
    return float(ordered[np.flatnonzero(both if both.any() else reached)[-1]]), False


def check_selective(
    labels: Ints,
    probabilities: Floats,
    verdicts: NDArray[np.int8],
    rule: RejectRule,
    clusters: Ints | None = None,
) -> Selective:
    """What `rule` did with calibrated `probabilities` `[n, classes]` of pictures of the classes `labels` `[n]`.

    `verdicts` int8 `[n]` are those of `judge`. Pictures that are unlike those learned from are accepted nowhere on the
    curve, so it ends at their share. `clusters` int `[n]` has the same number for pictures that are not independent:
    intervals then allow for it (`clustered.py`). None: all are independent.
    """
    right = probabilities.argmax(axis=1) == labels
    accepted, unsure, unlike = (int((verdicts == kind).sum()) for kind in (ACCEPTED, UNSURE, UNLIKE))
    taken = verdicts == ACCEPTED
    coverage = share_right(taken, number_clusters(clusters))
    accuracy = share_right(right[taken], _cut(clusters, taken))
    known = verdicts != UNLIKE
    curve = _draw_curve(probabilities.max(axis=1)[known], right[known], len(labels), _cut(clusters, known))
    return Selective(rule.precision, rule.threshold, coverage, accuracy, accepted, unsure, unlike, curve)


def _cut(clusters: Ints | None, rows: NDArray[Any]) -> Ints | None:
    """The clusters of these rows; None where each of them is alone."""
    return None if clusters is None else number_clusters(clusters[rows])


def _draw_curve(
    confidence: Floats, right: NDArray[np.bool_], whole: int, clusters: Ints | None
) -> tuple[CurvePoint, ...]:
    count = len(confidence)
    if not count:
        return ()
    order = np.argsort(-confidence, kind="stable")
    ordered, hits = confidence[order], np.cumsum(right[order])
    wanted = np.unique(np.linspace(count / POINTS, count, POINTS).round().astype(np.int64).clip(1))
    # To the end of the pictures of equal confidence: those before it can be accepted by no threshold.
    ascending = ordered[::-1]
    taken = np.unique(count - np.searchsorted(ascending, ordered[wanted - 1], side="left"))
    if clusters is None:
        shares = wilson(hits[taken - 1], taken)
    else:
        shares = [share_right(right[order[:last]], _cut(clusters, order[:last])) for last in taken.tolist()]
    return tuple(
        CurvePoint(float(number / whole), share, float(ordered[number - 1]))
        for number, share in zip(taken, shares, strict=True)
    )


def _find_assured(
    accepted: NDArray[np.int64], wrong: NDArray[np.int64], reached: NDArray[np.bool_], precision: float
) -> int:
    """The last place where `wrong` of `accepted` surpass `precision` with `CONFIDENCE`, -1 where there is none."""
    places = np.flatnonzero(reached)[::-1]
    # Of equally many wrong the most accepted show the most.
    _, first = np.unique(-wrong[places], return_index=True)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(accepted[-1]) + 1)))])
    for place in places[first].tolist():
        if _chance_of_so_few(int(wrong[place]), int(accepted[place]), 1 - precision, logs) <= 1 - CONFIDENCE:
            return int(place)
    return -1


def _chance_of_so_few(wrong: int, count: int, rate: float, logs: NDArray[Any]) -> float:
    """Probability of at most `wrong` among `count` at `rate`; `logs[k]` is the logarithm of k factorial."""
    if rate <= 0:
        return 1.0
    few = np.arange(wrong + 1)
    terms = logs[count] - logs[few] - logs[count - few] + few * np.log(rate) + (count - few) * np.log1p(-rate)
    largest = float(terms.max())
    return float(np.exp(largest) * np.exp(terms - largest).sum())
