"""Balanced accuracy and macro F1: means over classes, with intervals that hold where classes are few, many or tiny.

A mean over classes is no share of anything. But what one picture changes in it is known (its influence, the derivative
of the figure), so its variance is, and with it the number of pictures of which a share of the same value would be as
uncertain. Wilson's interval at that number is the interval (as Korn and Graubard do for shares in surveys, see
`clustered.py`), with three things that simulation asked for (benchmarks/RESULTS.md#intervals):

* A class of which all three pictures were right is not certain. Variances are those with half a picture more in each
  class, right and wrong as the pictures are altogether.
* Where a tiny class has most of the variance, that is known from few pictures: Student's t, with as many degrees of
  freedom as Satterthwaite's rule gives ("An approximate distribution of estimates of variance components", 1946).
* F1 = 2 hits / (support + said) is too low on average by F1 (1 - F1) / (support + said), the second order of a ratio
  (W. G. Cochran, "Sampling Techniques", 1977, section 6.8). The interval is moved up by that: of 120 classes with 17
  pictures each, 10 of 100 intervals missed the truth without, 6 with it.

With clusters the effective number is divided by the design effect as for shares.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.clustered import Ends, Judged, between, blend, pair, touch
from telltale.evaluation.metrics import Interval, Ints, count, f1, share, wilson_ends
from telltale.evaluation.student import t_quantile

_MORE: Final = 0.5
"""Imagined pictures of each class."""

_Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Mean:
    """A mean over the classes that have pictures, and how uncertain it is where pictures are independent."""

    value: float
    influence: _Matrix
    """What a picture of a class (row) that was called so (column) changes, `[classes, classes]`."""
    variance: NDArray[np.float64]
    """The part that each picture of a class has in the variance of the figure, `[classes]`."""
    images: float
    """Of so many pictures a share of the same value is as uncertain."""
    reach: NDArray[np.float64]
    """Standard errors from the value to an end, by Student's t; a scalar."""


def balanced_accuracy(confusion: Ints, judged: Judged | None = None) -> Interval:
    """Mean recall of the classes that have pictures; `judged`: the pictures behind `confusion`, if clustered."""
    if not confusion.any():
        return Interval(0.0, 0.0, 1.0)
    return _find_interval(_measure(confusion, _sway_recall), judged)


def macro_f1(confusion: Ints, judged: Judged | None = None) -> Interval:
    """Mean F1 of the classes that have pictures; `judged`: the pictures behind `confusion`, if clustered."""
    if not confusion.any():
        return Interval(0.0, 0.0, 1.0)
    counts = count(confusion)
    present, values, touched = counts.support > 0, f1(counts), counts.support + counts.said
    lost = share(values * (1 - values), touched)[present].mean()
    lost_clustered = _lose(judged, values, touched)[present].mean() if judged else 0.0
    return _find_interval(_measure(confusion, _sway_f1), judged, (float(lost), float(lost_clustered)))


def _sway_recall(cells: _Matrix) -> tuple[NDArray[np.float64], _Matrix]:
    """Recall of every class, and what a picture in each cell of the confusion matrix changes in the sum of all."""
    support = cells.sum(axis=1)
    values = share(np.diagonal(cells), support)
    sway = np.repeat(share(-values, support)[:, None], len(cells), axis=1)
    sway[np.diag_indices(len(cells))] += share(np.ones(len(cells)), support)
    return values, sway


def _sway_f1(cells: _Matrix) -> tuple[NDArray[np.float64], _Matrix]:
    """The same for F1, in which a mistake changes two classes."""
    touched = cells.sum(axis=1) + cells.sum(axis=0)
    values = share(2 * np.diagonal(cells), touched)
    each = share(values, touched)
    sway = -(each[:, None] + each)
    sway[np.diag_indices(len(cells))] += share(np.full(len(cells), 2.0), touched)
    return values, sway


def _measure(confusion: Ints, sway: Callable[[_Matrix], tuple[NDArray[np.float64], _Matrix]]) -> _Mean:
    cells = confusion.astype(np.float64)
    support, right = cells.sum(axis=1), float(np.trace(cells) / cells.sum())
    present = np.flatnonzero(support)
    values, influence = sway(cells)
    value = float(values[present].mean())
    cells[np.ix_(present, present)] += _MORE * (1 - right) / max(1, len(present) - 1)
    cells[present, present] += _MORE * right - _MORE * (1 - right) / max(1, len(present) - 1)
    variance = (cells * np.square(sway(cells)[1])).sum(axis=1) / len(present) ** 2
    variance *= (support + _MORE) / np.maximum(support + _MORE - 1, _MORE)
    # Without any mistake all classes are as good as each other: that is the limit for few mistakes.
    if 0 < value < 1 and variance.any():
        images = value * (1 - value) / float(variance.sum())
    else:
        variance = share(np.ones(len(support)), support)
        images = len(present) ** 2 / float(variance.sum())
    each = share(variance, support)
    reach = t_quantile(np.square(variance.sum()) / (variance * each).sum() - 1)
    return _Mean(value, influence / len(present), each, images, reach)


def _find_interval(found: _Mean, judged: Judged | None, lost: tuple[float, float] = (0.0, 0.0)) -> Interval:
    """The interval, moved up by what is `lost` on average: with independent pictures, and with clusters."""

    def ends(images: float, reach: NDArray[np.float64], lost: float) -> Ends:
        return wilson_ends(np.array(min(1.0, found.value + lost)), np.array(images), reach)

    alone = ends(found.images, found.reach, lost[0])
    if judged is None:
        return _hold(found.value, *alone)
    weights = found.variance[judged.labels]
    most = np.square(np.bincount(judged.clusters, np.sqrt(weights))).sum() / weights.sum()
    right, clusters = judged.right, judged.clusters
    informative = min(len(np.unique(clusters[right])), len(np.unique(clusters[~right])))
    effect = blend(np.array(_design_effect(found, judged)), most, np.array(informative))
    parts = np.bincount(clusters, weights)
    reach = t_quantile(np.square(parts.sum()) / np.square(parts).sum() - 1)
    clustered = ends(float(found.images / effect), reach, lost[1])
    together = ends(found.images / max(1.0, float(most)), found.reach, lost[1])
    return _hold(found.value, *between(alone, clustered, together))


def _hold(value: float, low: NDArray[np.float64], high: NDArray[np.float64]) -> Interval:
    """The interval as it is, or stretched to hold the value where it was moved beyond that."""
    return Interval(value, min(value, float(low)), max(value, float(high)))


def _design_effect(found: _Mean, judged: Judged) -> float:
    """The variance over clusters by that of as many independent pictures; 0 where nothing shows it.

    Classes that have all their pictures in one cluster show none of it, and take that of the others.
    """
    labels, clusters = judged.labels.astype(np.int64), judged.clusters
    pairs = np.unique(labels * (int(clusters.max()) + 1) + clusters, return_inverse=True)[1]
    leverage = np.bincount(pairs)[pairs] / np.bincount(labels)[labels]
    influence = np.where(leverage < 1, found.influence[labels, judged.said], 0.0)
    alone = float(np.square(influence).sum())
    influence /= np.sqrt(np.where(leverage < 1, 1 - leverage, 1.0))
    return float(np.square(np.bincount(clusters, influence)).sum()) / alone if alone else 0.0


def _lose(judged: Judged, values: NDArray[np.float64], touched: Ints) -> NDArray[np.float64]:
    """By how much F1 of each class is too low on average where pictures come in clusters."""
    keys, sizes, hits = pair(*touch(judged))
    sizes += hits  # a hit counts in support and in said
    lost = sizes * (2 * hits - values[keys] * sizes)
    return share(np.bincount(keys, lost, minlength=judged.classes), np.square(touched))
