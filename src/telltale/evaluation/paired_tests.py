"""Tests and intervals for two classifiers that answered the same pictures: numpy only.

Two accuracies measured on the same pictures are not independent: most pictures are right for both or wrong for both.
Only those that one gets right and the other wrong tell the two apart, so everything here begins with the difference
per picture: 1 where only the second is right, -1 where only the first is, 0 elsewhere.

* Whether there is a difference: McNemar's exact test (`flip_test`). The exact one, not the mid-p one that is often
  advised for more power (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013): who chooses
  between two models is harmed by a difference that is not there, not by one that needs a few more pictures to be seen.
* How large it is: Newcombe's method 10 (`accuracy_difference`; Statistics in Medicine 17, 2635-2650, 1998), which needs
  no draws and does not end at a point where the two never differ.
* The difference of log loss: a bootstrap over pictures, each drawn with both its losses (`mean_difference`).
* Pictures of one group (patient, scene, burst) are no independent witnesses: groups are then what is flipped and drawn,
  and Newcombe's counts are divided by the design effect (Korn and Graubard, Survey Methodology 24, 193-201, 1998).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.metrics import WORST, Floats, Interval, Ints, wilson
from telltale.evaluation.student import Z, t_quantile

POWER: Final = 0.8
"""The chance to find what is there for which `pictures_needed` asks."""

RESAMPLES: Final = 1000
"""Draws of a bootstrap; the ends of an interval then vary by about 4 % of its half width between seeds."""

NORMAL_ABOVE: Final = 20_000
"""Pictures above which the mean is as good as normally distributed, and resampling only costs time."""

_CELLS: Final = 20_000
"""Sums of flipped groups up to which their distribution is computed whole; above it is as good as normal."""

_CHUNK: Final = 1_000_000


def flip_test(sums: Ints) -> float:
    """Probability of a difference at least this large, either way, if both were equally good: exact.

    `sums` int `[groups]` is the difference of each group. If both were equally good, each group could as well have had
    the opposite sign: p is the share of all ways to put the signs whose total is at least as far from 0. With single
    pictures as groups this is McNemar's exact test.

    >>> round(flip_test(np.array([1] * 12 + [-1] * 5)), 4)
    0.1435
    """
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    total, reach = abs(int(sums.sum())), int((sizes * counts).sum())
    if not total:
        return 1.0
    if len(sizes) == 1:
        times = int(counts[0])
        tail = _binomial(times)[: (times - total // int(sizes[0])) // 2 + 1].sum()
        return min(1.0, 2 * float(tail))
    if reach > _CELLS:
        # 1 for the totals between: they are whole numbers.
        return math.erfc(max(0.0, total - 1) / math.sqrt(2 * float((counts * sizes.astype(np.float64) ** 2).sum())))
    chances = np.ones(1)
    for size, times in zip(sizes.tolist(), counts.tolist(), strict=True):
        steps = np.zeros(2 * size * times + 1)
        steps[:: 2 * size] = _binomial(times)
        chances = np.convolve(chances, steps)
    return min(1.0, 2 * float(chances[: reach - total + 1].sum()))


def _binomial(count: int) -> NDArray[np.float64]:
    """Probabilities float64 `[count + 1]` of 0 to `count` heads."""
    ways = np.arange(1, count + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((count + 1 - ways) / ways))])
    return np.exp(logs - count * math.log(2))


def accuracy_difference(first: NDArray[np.bool_], second: NDArray[np.bool_], groups: Ints | None = None) -> Interval:
    """Accuracy of the second minus that of the first, with a 95 % interval; bool `[n]` says what each got right.

    `groups` int `[n]`, numbers from 0, are drawn as wholes where they are given.

    >>> right = np.arange(250) < 200
    >>> print(accuracy_difference(np.roll(right, 5), np.roll(right, -7)))
    0.000 [-0.040, 0.040]
    """
    shrink = 1.0 if groups is None else _effective_share(second.astype(np.int64) - first, groups)
    cells = [first & second, first & ~second, second & ~first, ~first & ~second]
    both, only_first, only_second, neither = (shrink * float(cell.sum()) for cell in cells)
    return newcombe(both, only_first, only_second, neither)


def newcombe(both: float, only_first: float, only_second: float, neither: float) -> Interval:
    """Newcombe's interval (method 10) for the difference of two paired shares, second minus first.

    >>> print(newcombe(20, 2, 12, 16))
    0.200 [0.056, 0.329]
    """
    total = both + only_first + only_second + neither
    ones = np.array([both + only_first, both + only_second])
    one, two = wilson(ones, np.full(2, total))
    product = (ones * (total - ones)).prod()
    bond = both * neither - only_first * only_second
    bond = max(bond - total / 2, 0) if bond > 0 else bond
    bond = bond / math.sqrt(product) if product > 0 else 0.0
    down = (two.value - two.low, one.high - one.value)
    up = (two.high - two.value, one.value - one.low)
    low, high = (math.sqrt(max(0.0, a * a - 2 * bond * a * b + b * b)) for a, b in (down, up))
    middle = two.value - one.value
    return Interval(middle, max(-1.0, middle - low), min(1.0, middle + high))


def mean_difference(values: Floats, groups: Ints | None = None, seed: int = 0) -> Interval:
    """Mean of float `[n]` with a 95 % interval: bootstrap, above 20,000 pictures the normal approximation.

    The bootstrap's percentiles are widened by what they lack with few groups: Student's t for the normal distribution,
    and n - 1 for n (Hesterberg, The American Statistician 69, 371-386, 2015). Of a single group the interval is all
    that can be: -36.04 to 36.04.
    """
    sums, sizes = _gather(values, groups)
    count, mean = len(sums), float(sums.sum() / sizes.sum())
    if count < 2:
        return Interval(mean, -WORST, WORST)
    if count > NORMAL_ABOVE:
        error = math.sqrt(count / (count - 1) * float(np.square(sums - sizes * mean).sum())) / float(sizes.sum())
        return Interval(mean, mean - Z * error, mean + Z * error)
    generator, drawn = np.random.default_rng([seed, 3]), []
    step = max(1, _CHUNK // count)
    for start in range(0, RESAMPLES, step):
        rows = generator.integers(0, count, size=(min(step, RESAMPLES - start), count), dtype=np.int32)
        drawn.append(sums[rows].sum(axis=1) / sizes[rows].sum(axis=1))
    wider = student(count - 1) / Z * math.sqrt(count / (count - 1))
    low, high = (mean + wider * (float(end) - mean) for end in np.quantile(np.concatenate(drawn), [0.025, 0.975]))
    return Interval(mean, min(low, mean), max(high, mean))


def _gather(values: NDArray[Any], groups: Ints | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the values and number of pictures of each group."""
    if groups is None:
        return values.astype(np.float64), np.ones(len(values), np.float64)
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.bincount(groups, weights=values.astype(np.float64)).astype(np.float64)
    return sums[sizes > 0], sizes[sizes > 0]


def group_sums(values: Ints, groups: Ints | None) -> NDArray[np.int64]:
    """Sum of the whole numbers of each group."""
    return np.rint(_gather(values, groups)[0]).astype(np.int64)


def design_effect(values: Ints, groups: Ints) -> float:
    """How many times fewer pictures would say as much if each were a group of its own: 1 or more.

    >>> design_effect(np.array([1, 1, -1, -1, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2, 3, 3]))
    2.333...
    """
    sums, sizes = _gather(values, groups)
    count, mean = len(sums), float(values.mean())
    spread = float(np.square(values - mean).sum()) * len(values) / max(1, len(values) - 1)
    if count < 2 or not spread:
        return len(values) / count  # nothing tells how much pictures of a group are alike: as if wholly
    between = float(np.square(sums - sizes * mean).sum()) * count / (count - 1)
    return max(1.0, between / spread)


def _effective_share(values: Ints, groups: Ints) -> float:
    """What part of the pictures would say as much alone, also for how few groups the design effect was found from."""
    return (Z / student(len(np.unique(groups)) - 1)) ** 2 / design_effect(values, groups)


def student(freedom: int) -> float:
    """97.5 % of Student's t distribution lie below this; without a degree of freedom there is no end.

    >>> round(student(10), 3), student(0)
    (2.228, inf)
    """
    return float(t_quantile(np.array(freedom))) if freedom > 0 else math.inf


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's corrected p values, in the same order: one of several tests is wrong with at most the chance that is said.

    Scandinavian Journal of Statistics 6, 65-70, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    found, largest = [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        found[place] = largest
    return found


def pictures_needed(differing: float, difference: float, *, effect: float = 1.0, comparisons: int = 1) -> int:
    """Pictures for which a `difference` of accuracy is found in 4 of 5 tests; 0 where there is none to find.

    `differing` is the share of pictures that one gets right and the other wrong, `effect` the design effect of their
    groups, `comparisons` how many tests share the 5 % of errors. For McNemar's test (Connor, Biometrics 43, 207-211,
    1987), rounded up to two digits.

    >>> pictures_needed(17 / 250, 7 / 250)
    680
    """
    if not difference:
        return 0
    normal = NormalDist()
    error, power = normal.inv_cdf(1 - 0.025 / comparisons), normal.inv_cdf(POWER)
    reach = error * math.sqrt(differing) + power * math.sqrt(max(0.0, differing - difference**2))
    exact = math.ceil(effect * (reach / difference) ** 2 - 1e-9)
    unit = int(10 ** max(0, len(str(exact)) - 2))
    return -(-exact // unit) * unit
