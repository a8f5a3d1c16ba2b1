"""Figures of merit, each with a 95 % interval: numpy only, equal to scikit-learn where both define a figure.

Everything but the log loss and the top-k accuracy is a function of the confusion matrix (rows: true, columns: said).

Rules:

* A share of nothing (precision of a class that was never said, recall of a class without pictures) is 0 with the
  interval [0, 1]: scikit-learn's `zero_division=0`, and an interval that admits that nothing is known.
* Classes without pictures do not count in balanced accuracy and macro F1 (scikit-learn's balanced accuracy does so).
* Equal probabilities: the class that comes first is said, in top-k too.

Intervals:

* Shares (accuracy, top-k, precision and recall of a class): Wilson's.
* F1 of a class is 2j / (1 + j) with j = hits / (hits + misses + false alarms), a share: Wilson's for j, mapped.
* Balanced accuracy and macro F1: percentile bootstrap over the cells of the confusion matrix (`resample`), with two
  repairs. It is moved back by the bias that the draws show: F1 of 120 classes with 17 pictures each is drawn too low,
  and 18 of 100 intervals missed the truth without, 7 with it. It is widened where the classes' own intervals reach
  further (`combine`), because a bootstrap alone is certain of a class of which all three pictures were right.
* Log loss: percentile bootstrap, above `NORMAL_ABOVE` pictures mean ± 1.96 standard errors.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.integer[Any]]
Floats: TypeAlias = NDArray[np.floating[Any]]

RESAMPLES: Final = 1000
"""Draws of a bootstrap; the ends of an interval then vary by about 4 % of its half width between seeds."""

NORMAL_ABOVE: Final = 20_000
"""Pictures above which the mean loss is as good as normally distributed, and resampling only costs time."""

Z: Final = 1.959963984540054
"""97.5 % of a normal distribution lie below this many standard deviations."""

_FEWEST: Final = 250
_CELL_DRAWS: Final = 3_000_000  # about 0.3 s: above 3,000 filled cells there are fewer than RESAMPLES draws
_CHUNK: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its 95 % interval.

    >>> print(Interval(0.962, 0.941, 0.976))
    0.962 [0.941, 0.976]
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a confusion matrix says about each class; arrays `[classes]`, or `[draws, classes]` from `resample`."""

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


def resample(confusion: Ints, seed: int = 0) -> Counts:
    """The counts of `RESAMPLES` sets of pictures drawn with replacement from the set behind `confusion`.

    Drawing n pictures with replacement and counting them in the matrix is one multinomial draw over its cells with
    their shares as probabilities. So the cells are drawn, not the pictures, and the cost depends on the number of
    filled cells and not on n. Above 3,000 filled cells (about 100 classes) fewer sets are drawn, at least 250.
    """
    classes, images = confusion.shape[0], int(confusion.sum())
    rows, columns = np.nonzero(confusion)
    filled = confusion[rows, columns]
    draws = int(np.clip(_CELL_DRAWS // max(1, len(filled)), _FEWEST, RESAMPLES))
    hits, support, said = (np.zeros((draws, classes), np.int64) for _ in range(3))
    if not images:
        return Counts(hits, support, said)
    generator, shares = np.random.default_rng([seed, 1]), filled / images
    diagonal, by_column = np.nonzero(rows == columns)[0], np.argsort(columns, kind="stable")
    row_names, row_starts = np.unique(rows, return_index=True)
    column_names, column_starts = np.unique(columns[by_column], return_index=True)
    step = max(1, _CHUNK // len(filled))
    for start in range(0, draws, step):
        part = slice(start, min(start + step, draws))
        drawn = generator.multinomial(images, shares, size=part.stop - start)
        hits[part, rows[diagonal]] = drawn[:, diagonal]
        support[part, row_names] = np.add.reduceat(drawn, row_starts, axis=1)
        said[part, column_names] = np.add.reduceat(drawn[:, by_column], column_starts, axis=1)
    return Counts(hits, support, said)


def precision(counts: Counts) -> NDArray[np.float64]:
    """Of the pictures called so, the share that are of the class."""
    return _share(counts.hits, counts.said)


def recall(counts: Counts) -> NDArray[np.float64]:
    """Of the pictures of the class, the share called so."""
    return _share(counts.hits, counts.support)


def f1(counts: Counts) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall."""
    return _share(2 * counts.hits, counts.support + counts.said)


def mean_of_present(values: NDArray[np.float64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over the classes that have pictures; of recall that is balanced accuracy, of F1 macro F1."""
    present = support > 0
    return _share((values * present).sum(axis=-1), present.sum(axis=-1))


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, and 0 where there is nothing to divide by."""
    shares = np.zeros(np.shape(whole), np.float64)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


def wilson(part: NDArray[Any], whole: NDArray[Any]) -> list[Interval]:
    """Shares with Wilson's interval, one for each pair of counts; [0, 1] where `whole` is 0.

    >>> print(wilson(np.array([10]), np.array([10]))[0])
    1.000 [0.722, 1.000]
    """
    share, total = _share(part, whole), np.maximum(whole, 1)
    middle = share + Z**2 / (2 * total)
    reach = Z * np.sqrt(share * (1 - share) / total + (Z / (2 * total)) ** 2)
    # The ends at 0 and 1 are exact in theory; rounding must not move them.
    low = np.where(part == 0, 0.0, (middle - reach) / (1 + Z**2 / total))
    high = np.where(part == whole, 1.0, (middle + reach) / (1 + Z**2 / total))
    return [Interval(*map(float, ends)) for ends in zip(share, low, high, strict=True)]


def f1_intervals(counts: Counts) -> list[Interval]:
    """F1 of every class, with Wilson's interval of hits / (hits + misses + false alarms) mapped to F1."""
    touched = counts.support + counts.said - counts.hits
    return [
        Interval(float(value), 2 * part.low / (1 + part.low), 2 * part.high / (1 + part.high))
        for value, part in zip(f1(counts), wilson(counts.hits, touched), strict=True)
    ]


def accuracy(counts: Counts) -> Interval:
    """Share of pictures that are right."""
    return wilson(counts.hits.sum(keepdims=True), counts.support.sum(keepdims=True))[0]


def balanced_accuracy(counts: Counts, draws: Counts) -> Interval:
    """Mean recall of the classes; `draws` as `resample` gives them."""
    values = mean_of_present(recall(draws), draws.support)
    return _bootstrap(counts, wilson(counts.hits, counts.support), values)


def macro_f1(counts: Counts, draws: Counts) -> Interval:
    """Mean F1 of the classes; `draws` as `resample` gives them."""
    return _bootstrap(counts, f1_intervals(counts), mean_of_present(f1(draws), draws.support))


def _bootstrap(counts: Counts, parts: list[Interval], drawn: NDArray[np.float64]) -> Interval:
    whole = combine([part for part, support in zip(parts, counts.support, strict=True) if support])
    bias = float(drawn.mean()) - whole.value
    low, high = (float(end) - bias for end in np.quantile(drawn, [0.025, 0.975]))
    return Interval(whole.value, max(0.0, min(low, whole.low)), min(1.0, max(high, whole.high)))


def combine(parts: list[Interval]) -> Interval:
    """Mean of independent figures: each end is as far as the root of the summed squares of the parts' distances.

    Zou and Donner's "method of variance estimates recovery" (2008); 0 [0, 1] where there are no parts.

    >>> print(combine([Interval(1.0, 0.5, 1.0), Interval(0.5, 0.2, 0.8)]))
    0.750 [0.458, 0.900]
    """
    if not parts:
        return Interval(0.0, 0.0, 1.0)
    value, low, high = np.array([(part.value, part.low, part.high) for part in parts]).T
    mean = float(value.mean())
    below, above = (float(np.sqrt(np.square(end - value).sum())) / len(parts) for end in (low, high))
    return Interval(mean, max(0.0, mean - below), min(1.0, mean + above))


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


def top_k_accuracy(labels: Ints, probabilities: Floats, k: int = 5) -> Interval:
    """Share of pictures whose true class is among the `k` most probable."""
    hits = 0
    step = max(1, _CHUNK // max(1, probabilities.shape[1]))
    before = np.arange(probabilities.shape[1])
    for start in range(0, len(labels), step):
        true = labels[start : start + step, None]
        rows = probabilities[start : start + step]
        own = np.take_along_axis(rows, true, axis=1)
        ahead = (rows > own).sum(axis=1) + ((rows == own) & (before < true)).sum(axis=1)
        hits += int((ahead < k).sum())
    return wilson(np.array([hits]), np.array([len(labels)]))[0]


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


def log_loss(losses: NDArray[np.float64], seed: int = 0) -> Interval:
    """Mean of `log_losses`. Of a single picture, or none, the interval is all that can be: 0 to 36.04."""
    images = len(losses)
    if images < 2:
        return Interval(float(losses.sum()), 0.0, float(-np.log(np.finfo(np.float64).eps)))
    mean = float(losses.mean())
    if images > NORMAL_ABOVE:
        reach = Z * float(losses.std(ddof=1)) / images**0.5
        return Interval(mean, max(0.0, mean - reach), mean + reach)
    generator, means = np.random.default_rng([seed, 2]), []
    step = max(1, _CHUNK // images)
    for start in range(0, RESAMPLES, step):
        chosen = generator.integers(0, images, size=(min(step, RESAMPLES - start), images), dtype=np.int32)
        means.append(losses[chosen].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(mean, float(low), float(high))
