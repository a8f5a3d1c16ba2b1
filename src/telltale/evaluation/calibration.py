"""Calibration: does a probability of 0.9 mean 90 % right? The temperature that sees to it, and the check.

The temperature divides the logits and is the one with the least log loss on held-out pictures (Guo, Pleiss, Sun and
Weinberger, "On calibration of modern neural networks", ICML 2017). It never changes which class is most probable.

The expected calibration error (ECE) is the mean distance between the probability of the most probable class and the
share right, over `BINS` bins of equally many pictures, ordered by that probability. With equally wide bins most would
be nearly empty: of a good classifier's pictures nine in ten lie in the last. Even the ECE of a perfectly calibrated
classifier is above 0, by chance, the more so the fewer the pictures; its interval allows for that.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.metrics import Floats, Interval, Ints, wilson
from telltale.threads import pieces

BINS: Final = 15
"""As in the paper above; fewer where a bin would have less than `_FEWEST` pictures."""

RANGE: Final = (0.05, 20.0)
"""Temperatures that are possible: beyond, all is certain or all alike."""

RESAMPLES: Final = 1000
"""Draws of a bootstrap; the ends of an interval then vary by about 4 % of its half width between seeds."""

NORMAL_ABOVE: Final = 20_000
"""Pictures above which fewer draws say as much."""

_FEWEST: Final = 5
_BLOCK: Final = 16_384
_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures of similar confidence: from `low` to `high`, on average `confidence`, and the share right."""

    low: float
    high: float
    confidence: float
    accuracy: Interval
    pictures: int


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """The ECE and its bins before and after the division of the logits by `temperature`."""

    temperature: float
    ece_before: float
    ece_after: Interval
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature with the least log loss of held-out `logits` `[n, classes]`; 1.0 where it is no sure gain.

    A gain is sure where the mean of the differences of the log losses of the same pictures is more than its standard
    error. Of logits that are calibrated already 1 in 20 draws shows such a gain by chance, so calibration hardly ever
    makes anything worse.

    >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]] * 30)
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1] * 30)), 2)  # 0.88 is said, 0.75 are right
    1.82
    """
    if len(labels) < 2:
        return 1.0
    low, high = 1 / RANGE[1], 1 / RANGE[0]
    scale = 1.0
    for _ in range(_ROUNDS):  # Newton's method for the inverse, in which the loss is convex, kept between bounds
        slope, bend = _derivatives(logits, labels, scale)
        low, high = (scale, high) if slope < 0 else (low, scale)
        step = scale - slope / bend if bend > 0 else scale
        new = step if low < step < high else float(np.sqrt(low * high))
        if abs(new - scale) < 1e-5 * scale:
            break
        scale = new
    gains = _losses(logits, labels, 1.0) - _losses(logits, labels, scale)
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5
    return 1 / scale if float(gains.mean()) > error else 1.0


def check_calibration(labels: Ints, probabilities: Floats, temperature: float, *, seed: int = 0) -> CalibrationCheck:
    """How well `probabilities` `[n, classes]` are calibrated against `labels` `[n]`.

    They are those after the division by `temperature`; those before it are computed from them. `seed` is that of the
    bootstrap. Without pictures there are no bins, and the ECE is 0 [0, 1].
    """
    right = probabilities.argmax(axis=1) == labels
    after, value = _bin(probabilities.max(axis=1).astype(np.float64), right)
    before = after
    value_before = value
    if temperature != 1.0:
        before, value_before = _bin(_undo(probabilities, temperature), right)
    interval = _interval(probabilities.max(axis=1).astype(np.float64), right, value, seed)
    return CalibrationCheck(temperature, value_before, interval, before, after)


def expected_error(probabilities: Floats, labels: Ints) -> float:
    """The ECE of `probabilities` `[n, classes]`, as `check_calibration` says it.

    >>> expected_error(np.array([[0.75, 0.25]] * 40), np.array([0, 0, 1, 1] * 10))
    0.25
    """
    return _bin(probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels)[1]


def _derivatives(logits: Floats, labels: Ints, scale: float) -> tuple[float, float]:
    """First and second derivative of the mean log loss of `scale * logits` with respect to `scale`."""
    slope = bend = 0.0
    for part in pieces(len(labels), _BLOCK):
        block = logits[part.start : part.stop].astype(np.float64)
        odds = np.exp(scale * (block - block.max(axis=1, keepdims=True)))
        chances = odds / odds.sum(axis=1, keepdims=True)
        mean = (chances * block).sum(axis=1)
        slope += float((mean - block[np.arange(len(block)), labels[part.start : part.stop]]).sum())
        bend += float((chances * np.square(block - mean[:, None])).sum())
    return slope / len(labels), bend / len(labels)


def _losses(logits: Floats, labels: Ints, scale: float) -> NDArray[np.float64]:
    """The log loss of each picture for `scale * logits`."""
    losses = np.empty(len(labels))
    for part in pieces(len(labels), _BLOCK):
        block = scale * logits[part.start : part.stop].astype(np.float64)
        block -= block.max(axis=1, keepdims=True)
        own = block[np.arange(len(block)), labels[part.start : part.stop]]
        losses[part.start : part.stop] = np.log(np.exp(block).sum(axis=1)) - own
    return losses


def _undo(probabilities: Floats, temperature: float) -> NDArray[np.float64]:
    """The largest probability of each row, had the logits not been divided by `temperature`."""
    largest = np.empty(len(probabilities))
    for part in pieces(len(probabilities), _BLOCK):
        block = probabilities[part.start : part.stop].astype(np.float64)
        # Relative to the largest, so that it is 1 / the sum; a probability of 0 stays one.
        odds = (block / np.maximum(block.max(axis=1, keepdims=True), 1e-300)) ** temperature
        largest[part.start : part.stop] = 1 / odds.sum(axis=1)
    return largest


def _edges(count: int) -> NDArray[np.int64]:
    """Where the bins of `count` sorted pictures begin and end."""
    bins = int(np.clip(count // _FEWEST, 1, BINS))
    return np.linspace(0, count, bins + 1).round().astype(np.int64)


def _bin(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[tuple[Bin, ...], float]:
    """The bins, and the ECE."""
    count = len(right)
    if not count:
        return (), 0.0
    order = np.argsort(confidence, kind="stable")
    sorted_confidence, hit = confidence[order], right[order]
    edges = _edges(count)
    sizes = np.diff(edges)
    means = np.add.reduceat(sorted_confidence, edges[:-1]) / sizes
    hits = np.add.reduceat(hit.astype(np.int64), edges[:-1])
    bins = tuple(
        Bin(float(sorted_confidence[start]), float(sorted_confidence[end - 1]), float(mean), accuracy, int(end - start))
        for start, end, mean, accuracy in zip(edges, edges[1:], means, wilson(hits, sizes), strict=False)
    )
    return bins, float(np.abs(hits / sizes - means) @ sizes / count)


def _interval(confidence: NDArray[np.float64], right: NDArray[np.bool_], value: float, seed: int) -> Interval:
    """The ECE with a percentile bootstrap over the pictures of each bin, moved back by the bias that the draws show.

    Its low end is 0 where a perfectly calibrated classifier would show as much in more than 1 of 40 sets of pictures
    with these probabilities (Bröcker and Smith, "Increasing the reliability of reliability diagrams", 2007).
    """
    count = len(right)
    if not count:
        return Interval(0.0, 0.0, 1.0)
    order = np.argsort(confidence, kind="stable")
    sorted_confidence, gaps = confidence[order], right[order] - confidence[order]
    generator = np.random.default_rng([seed, 5])
    drawn, perfect = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    edges = _edges(count)
    for start, end in zip(edges.tolist(), edges[1:].tolist(), strict=False):
        share = (end - start) / count
        chances, gap = sorted_confidence[start:end], gaps[start:end]
        drawn += share * np.abs(_draw_means(gap, generator, count))
        perfect += share * np.abs(_draw_perfect(chances, generator, count))
    bias = float(drawn.mean()) - value
    low, high = (float(end) - bias for end in np.quantile(drawn, [0.025, 0.975]))
    low = 0.0 if value <= float(np.quantile(perfect, 0.975)) else low
    return Interval(value, max(0.0, min(low, value)), min(1.0, max(high, value)))


def _draw_means(gaps: NDArray[np.float64], generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Means of `RESAMPLES` draws with replacement from `gaps`; of very many pictures they are normally distributed."""
    if count > NORMAL_ABOVE:
        return generator.normal(gaps.mean(), gaps.std() / len(gaps) ** 0.5, RESAMPLES)
    drawn: NDArray[Any] = gaps[generator.integers(0, len(gaps), (RESAMPLES, len(gaps)), dtype=np.int32)]
    return drawn.mean(axis=1)  # type: ignore[no-any-return]


def _draw_perfect(chances: NDArray[np.float64], generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Mean gaps of `RESAMPLES` sets of pictures of which each is right with its probability."""
    if count > NORMAL_ABOVE:
        return generator.normal(0, (chances * (1 - chances)).sum() ** 0.5 / len(chances), RESAMPLES)
    hits = generator.random((RESAMPLES, len(chances)), np.float32) < chances.astype(np.float32)
    return hits.mean(axis=1) - float(chances.mean())  # type: ignore[no-any-return]
