"""What a learning curve says about more training pictures, in numbers and in words.

Curves of this kind are near error = a + b * pictures ^ -c (Hestness et al., "Deep Learning Scaling is Predictable,
Empirically", 2017, arXiv:1712.00409): every doubling brings 2 ^ -c times what the one before brought. From a handful of
sizes c cannot be read, so it is taken to be anywhere between 0 and 1, and 1/2 for the value itself. What the next
doubling brings is then the least-squares fit through the last two; earlier ones, where heads learn from few pictures,
bring more than the law says.

The interval is a percentile bootstrap over the validation pictures, which are the same for all sizes, over the repeats
and over c. Four pictures that nobody saw count half each: one that is always right, one always wrong, one that only
the largest size and one that only the others get right (Agresti and Min, "Simple improved confidence intervals for
comparing matched proportions", 2005), so that it does not pretend to be sure where two dozen pictures are all right.
Of 100 such intervals 90 to 100 held what a doubling brought; of those of a power law with a = 0 through the last four
sizes 0 to 90 did (benchmarks/RESULTS.md#learning-curve).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.metrics import Interval
from telltale.words import printable

HARDLY: Final = 0.005
"""A gain of accuracy below half a point is called hardly any."""

_SHRINKS: Final = (0.5, 1.0)
"""2 ^ -c: what a doubling brings for each point that the one before brought, at least and at most."""

_SIZES: Final = 3
"""Sizes that the next doubling is read off, the largest."""

_DRAWS: Final = 500

_SHARE: Final = 0.95


@dataclass(frozen=True)
class Answers:
    """Which validation pictures the heads of each size got right.

    `sizes` ascend; `right` has bool `[repeats, m]` for each; `labels` int `[m]` are numbers of `classes`.
    """

    sizes: tuple[int, ...]
    right: tuple[NDArray[np.bool_], ...]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]


def predict_gain(answers: Answers, *, pictures: int, seed: int = 0) -> Interval:
    """Accuracy that twice `pictures` training pictures would add to that of `pictures`, with its 95 % interval.

    `pictures` may be more than the largest size, where the curve was drawn with a part of them.
    """
    right, rng = answers.right[-_SIZES:], np.random.default_rng([seed, 9])
    count, last = right[0].shape[1], len(right) - 1
    chances = np.concatenate([np.ones(count), np.full(4, 0.5)]) / (count + 2)
    drawn = rng.multinomial(count, chances, size=_DRAWS) / count
    # The first row is what was seen, the others are draws.
    shares = np.empty((_DRAWS + 1, len(right)))
    for place, answer in enumerate(right):
        unseen = np.array([True, False, place == last, place != last])
        parts = drawn @ np.concatenate([answer, np.tile(unseen, (len(answer), 1))], axis=1).T
        chosen = rng.integers(0, len(answer), (_DRAWS, len(answer)))
        shares[1:, place] = np.take_along_axis(parts, chosen, axis=1).mean(axis=1)
        shares[0, place] = answer.mean()
    shrink = np.concatenate([[0.5**0.5], rng.uniform(*_SHRINKS, _DRAWS)])
    gains = _extrapolate(shares, shrink, doublings=math.log2(pictures / answers.sizes[-1]))
    low, high = np.quantile(gains[1:], [(1 - _SHARE) / 2, (1 + _SHARE) / 2])
    return Interval(float(gains[0]), min(float(low), float(gains[0])), max(float(high), float(gains[0])))


def compare_sizes(before: NDArray[np.bool_], after: NDArray[np.bool_], *, comparisons: int = 1) -> Interval:
    """Accuracy that the larger sub-samples have more than the smaller: bool `[repeats, m]` each, the same pictures.

    The interval counts the pictures (Agresti and Min, 2005) and the repeats. Of `comparisons` such intervals all hold
    the truth in 95 of 100 cases (Bonferroni).
    """
    difference = after.mean(axis=0) - before.mean(axis=0)
    count = len(difference) + 2
    middle = difference.sum() / count
    variance = ((np.square(difference).sum() + 1) / count - middle**2) / count
    for answer in (before, after):
        if len(answer) > 1:
            variance += float(answer.mean(axis=1).var(ddof=1)) / len(answer)
    reach = NormalDist().inv_cdf(1 - (1 - _SHARE) / 2 / comparisons) * variance**0.5
    value = float(difference.mean())
    return Interval(value, min(value, float(middle - reach)), max(value, float(middle + reach)))


def describe_curve(answers: Answers, gain: Interval, *, pictures: int) -> str:
    """The answer in sentences: what the last doubling brought, what another would, and which class gained most.

    `gain` is what `predict_gain` says for `pictures`, the number of training pictures that there are.
    """
    said = [_describe_last(answers)]
    if pictures > answers.sizes[-1]:
        said.append(f"The curve was drawn with {answers.sizes[-1]:,} of the {pictures:,} training pictures.")
    said.append(_describe_next(answers, gain))
    return " ".join([*said, *_describe_class(answers)])


def _extrapolate(shares: NDArray[np.float64], shrink: NDArray[np.float64], *, doublings: float) -> NDArray[np.float64]:
    """Gains `[draws]` of one more doubling, `doublings` after the last of shares `[draws, sizes]`, with its shrinking.

    >>> _extrapolate(np.array([[0.1, 0.5, 0.7]]), np.array([0.5]), doublings=0).round(6).tolist()
    [0.1]
    """
    gains = np.diff(shares, axis=1)
    before = np.arange(gains.shape[1])[::-1]
    # Each gain is what the last one is, times this: 1 for the last, more for those before.
    times = shrink[:, None] ** -before
    last = (gains * times).sum(axis=1) / np.square(times).sum(axis=1)
    return np.asarray(np.minimum(last * shrink ** (1 + doublings), 1 - shares[:, -1]))


def _describe_last(answers: Answers) -> str:
    before, after = (answer.mean() for answer in answers.right[-2:])
    sizes = f"from {answers.sizes[-2]:,} to {answers.sizes[-1]:,}"
    change = f"the accuracy from {100 * before:.1f} to {100 * after:.1f} %"
    sure = compare_sizes(*answers.right[-2:])
    if sure.low > 0:
        return f"Doubling the training pictures {sizes} raised {change}."
    if f"{100 * before:.1f}" == f"{100 * after:.1f}":
        return f"Doubling the training pictures {sizes} left the accuracy at {100 * after:.1f} %."
    return f"Doubling the training pictures {sizes} changed {change}, which may be chance."


def _describe_next(answers: Answers, gain: Interval) -> str:
    count = len(answers.labels)
    if answers.right[-1].all():
        return f"All {count:,} validation pictures are right, so they cannot show what more pictures would bring."
    if gain.high < HARDLY or (0 < gain.low and gain.value < HARDLY):
        most = max(gain.high, 0.0)
        words = "More pictures of the same kind will hardly help: twice as many would bring"
        return f"{words} {100 * most:.1f} points at most."
    ends = f"{100 * gain.low:.1f} to {100 * gain.high:.1f}"
    if gain.low > 0:
        return f"Twice as many would probably bring about {100 * gain.value:.1f} points more ({ends})."
    return (
        f"Whether more would help cannot be told from {count:,} validation pictures: twice as many would bring "
        f"{100 * gain.high:.1f} points at most, perhaps none."
    )


def _describe_class(answers: Answers) -> list[str]:
    """The class that gained most by the last doublings, where one surely did and there are others."""
    first, last = answers.right[max(-3, -len(answers.right))], answers.right[-1]
    present = [number for number in range(len(answers.classes)) if (answers.labels == number).any()]
    gains = {}
    for number in present:
        mine = answers.labels == number
        gain = compare_sizes(first[:, mine], last[:, mine], comparisons=len(present))
        if gain.low > 0:
            gains[number] = gain.value
    if not gains or len(present) < 2:
        return []
    best = max(gains, key=lambda number: gains[number])
    mine = answers.labels == best
    sizes = [answers.sizes[max(-3, -len(answers.right))], answers.sizes[-1]]
    before, after = (f"{100 * answer[:, mine].mean():.1f} %" for answer in (first, last))
    name = repr(printable(answers.classes[best], 40))
    return [
        f"Class {name} gained most: {before} of it are right with {sizes[0]:,} pictures, {after} with {sizes[1]:,}."
    ]
