"""Figures of merit, each with a 95 % interval: numpy only, equal to scikit-learn where both define a figure.

Everything but the log loss and the top-k accuracy is a function of the confusion matrix (rows: true, columns: said).

Rules:

* A share of nothing (precision of a class that was never said, recall of a class without pictures) is 0 with the
  interval [0, 1]: scikit-learn's `zero_division=0`, and an interval that admits that nothing is known.
* Classes without pictures do not count in balanced accuracy and macro F1 (scikit-learn's balanced accuracy does so).
* Equal probabilities: the class that comes first is said, in top-k too.

Intervals, where pictures count one by one (`clustered.py` has those by group, `means.py` those of means over classes):

* Shares (accuracy, top-k, precision and recall of a class): Wilson's.
* F1 of a class is 2j / (1 + j) with j = hits / (hits + misses + false alarms), a share: Wilson's for j, mapped.
* Log loss: `log_loss` says how.

Of 100 such intervals 93 to 97 hold the truth (benchmarks/RESULTS.md#intervals).
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.student import Z, t_quantile

Ints: TypeAlias = NDArray[np.integer[Any]]
Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]

WORST: Final = float(-np.log(np.finfo(np.float64).eps))
"""The largest log loss that a picture can have: 36.04."""

_CHUNK: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its 95 % interval.

    >>> print(Interval(0.962, 0.941, 0.976), -Interval(0.962, 0.941, 0.976))
    0.962 [0.941, 0.976] -0.962 [-0.976, -0.941]
    """

    value: float
    low: float
    high: float

    def __neg__(self) -> "Interval":
        return Interval(-self.value, -self.high, -self.low)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a confusion matrix says about each class; arrays `[classes]`."""

    hits: NDArray[np.int64]
    """Pictures of the class that were called so."""
    support: NDArray[np.int64]
    """Pictures of the class."""
    said: NDArray[np.int64]
    """Pictures that were called so."""


def confusion_matrix(labels: Ints, probabilities: Floats) -> NDArray[np.int64]:
    """Pictures by true class (row) and most probable class (column).

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])).tolist()
    [[1, 0], [1, 1]]
    """
    classes = probabilities.shape[1]
    cells = labels.astype(np.int64) * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def count(confusion: Ints) -> Counts:
    """Hits, support and times said of every class."""
    whole = confusion.astype(np.int64)
    return Counts(np.diagonal(whole).copy(), whole.sum(axis=1), whole.sum(axis=0))


def f1(counts: Counts) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall."""
    return share(2 * counts.hits, counts.support + counts.said)


def share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, and 0 where there is nothing to divide by."""
    shares = np.zeros(np.shape(whole), np.float64)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


def wilson(part: NDArray[Any], whole: NDArray[Any]) -> list[Interval]:
    """Shares with Wilson's interval, one for each pair of counts; [0, 1] where `whole` is 0.

    >>> print(wilson(np.array([10]), np.array([10]))[0])
    1.000 [0.722, 1.000]
    """
    shares = share(part, whole)
    return as_intervals(shares, *wilson_ends(shares, whole))


def wilson_ends(
    shares: NDArray[np.float64], whole: NDArray[Any], quantile: NDArray[np.float64] | float = Z
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high ends of Wilson's interval for `shares` of `whole` (counts, or effective numbers of observations).

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    total, squared = np.maximum(whole, 1.0), np.square(quantile)
    middle = shares + squared / (2 * total)
    reach = quantile * np.sqrt(shares * (1 - shares) / total + np.square(quantile / (2 * total)))
    # The ends at 0 and 1 are exact in theory; rounding must not move them.
    low = np.where(shares <= 0, 0.0, (middle - reach) / (1 + squared / total))
    high = np.where((shares >= 1) | (whole <= 0), 1.0, (middle + reach) / (1 + squared / total))
    return low, high


def as_intervals(*columns: NDArray[np.float64]) -> list[Interval]:
    """Arrays of values, low and high ends as intervals."""
    return [Interval(*map(float, ends)) for ends in zip(*columns, strict=True)]


def f1_intervals(counts: Counts) -> list[Interval]:
    """F1 of every class, with Wilson's interval of hits / (hits + misses + false alarms) mapped to F1."""
    touched = counts.support + counts.said - counts.hits
    return as_f1(f1(counts), wilson(counts.hits, touched))


def as_f1(values: NDArray[np.float64], parts: list[Interval]) -> list[Interval]:
    """F1 `values` with the intervals of hits / (hits + misses + false alarms), mapped."""
    return [
        Interval(float(value), 2 * part.low / (1 + part.low), 2 * part.high / (1 + part.high))
        for value, part in zip(values, parts, strict=True)
    ]


def subtract(one: Interval, other: Interval) -> Interval:
    """`one` minus `other`, figures of different pictures; each end is as far as both parts' distances together reach.

    Of two shares with Wilson's intervals this is the hybrid score of Newcombe, "Interval estimation for the difference
    between independent proportions" (Statistics in Medicine 17, 1998, method 10); of other figures Zou and Donner's.

    >>> print(subtract(Interval(0.7, 0.567, 0.807), Interval(0.6, 0.472, 0.716)))
    0.100 [-0.076, 0.267]
    """
    value = one.value - other.value
    below = float(np.hypot(one.value - one.low, other.high - other.value))
    above = float(np.hypot(one.high - one.value, other.value - other.low))
    return Interval(value, value - below, value + above)


def among_top(labels: Ints, probabilities: Floats, k: int = 5) -> NDArray[np.bool_]:
    """Whether the true class of each picture is among the `k` most probable."""
    found = np.empty(len(labels), np.bool_)
    step = max(1, _CHUNK // max(1, probabilities.shape[1]))
    before = np.arange(probabilities.shape[1])
    for start in range(0, len(labels), step):
        true = labels[start : start + step, None]
        rows = probabilities[start : start + step]
        own = np.take_along_axis(rows, true, axis=1)
        ahead = (rows > own).sum(axis=1) + ((rows == own) & (before < true)).sum(axis=1)
        found[start : start + step] = ahead < k
    return found


def log_losses(labels: Ints, probabilities: Floats) -> NDArray[np.float64]:
    """Minus the logarithm of the true class's probability, of every picture.

    Probabilities are clipped to [eps, 1 - eps] with the eps of their type (float32 or float64), as scikit-learn does:
    a picture costs at most 15.9 (float32) or 36.0 (float64).
    """
    own = probabilities[np.arange(len(labels)), labels]
    own = own if own.dtype == np.float32 else own.astype(np.float64)
    eps = np.finfo(own.dtype).eps
    losses: NDArray[np.float64] = -np.log(np.clip(own, eps, 1 - eps).astype(np.float64))
    return losses


def log_loss(losses: NDArray[np.float64], clusters: Ints | None = None) -> Interval:
    """Mean of `log_losses`, with an interval that allows for few pictures costing much.

    Losses are so skewed that the mean of 250 of a good classifier is not normally distributed, and a percentile
    bootstrap misses the truth in 9 of 100 cases. Each end is the farther of two: that of Hall's transformation, which
    takes the skewness out of Student's t (P. Hall, "On the removal of skewness by transformation", 1992), and that of
    Student's t for the logarithm. `clusters` int `[n]`, numbers from 0: pictures of one cluster are not independent.
    Then the sums of the clusters are what varies, with the variance of the jackknife and as many degrees of freedom as
    equally large clusters would leave (Kish, "Survey Sampling", 1965); never narrower than without. Of a single
    picture, cluster or none the interval is all that can be: 0 to 36.04.
    """
    mean, images = float(losses.mean()) if len(losses) else 0.0, np.ones(len(losses))
    low, high = _mean_ends(losses - mean, images, mean)
    if clusters is not None:
        sizes = np.bincount(clusters).astype(np.float64)
        ends = _mean_ends(np.bincount(clusters, losses) - sizes * mean, sizes, mean)
        low, high = min(low, ends[0]), max(high, ends[1])
    return Interval(mean, low, high)


def _mean_ends(apart: NDArray[np.float64], sizes: NDArray[np.float64], mean: float) -> tuple[float, float]:
    """The ends of `log_loss` from what each cluster's sum is `apart` from that of as many average pictures."""
    total = float(sizes.sum())
    if np.count_nonzero(sizes) < 2:
        return 0.0, WORST
    squares = float(np.square(apart).sum())
    if not squares or not mean:
        return mean, mean
    error = float(np.sqrt(np.square(apart / (1 - sizes / total)).sum())) / total
    skewness = float((apart**3).sum()) / squares**1.5  # that of the mean, not of one cluster
    reach = float(t_quantile(total**2 / np.square(sizes).sum() - 1))
    low, high = (mean - error * _unskew(one, skewness) for one in (reach, -reach))
    factor = np.exp(min(reach * error / mean, 700.0))
    return max(0.0, min(low, mean / factor)), min(WORST, max(high, mean * float(factor)))


def _unskew(point: float, skewness: float) -> float:
    """The value of Student's t that Hall's transformation takes to `point`."""
    if abs(skewness) < 1e-6:
        return point
    return 3 / skewness * (float(np.cbrt(1 + skewness * (point - skewness / 6))) - 1)
