"""`separate`: how well one number tells two sets of pictures apart, as an AUC with its 95 % interval.

The AUC is the probability that the number is larger for a picture of the second set than for one of the first: 0.5
where it tells nothing, 1 or 0 where it tells all. Only pictures of the same class are compared, so that a set with more
dogs is not taken for a set of other pictures. The classes' AUCs are weighted by how much each can say (van Elteren,
1960).

The interval is that of Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
part 2" (Statistics in Medicine 25, 2006), method 5: the values that the variance of Hanley and McNeil (Radiology 143,
1982) does not rule out. Unlike DeLong's (1988) it says something where the AUC is 1: there DeLong's has no width.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.metrics import Floats, Interval, Ints
from telltale.evaluation.student import Z

CHANCE: Final = 0.5

_STEPS: Final = 50
"""Halvings of the bracket: until nothing is left of it."""


def separate(
    values: Floats, second: NDArray[np.bool_], classes: Ints, *, share: float = 1.0, z: float = Z
) -> Interval | None:
    """How well `values` float `[n]` tell pictures of the `second` set, bool `[n]`, from the others of their class.

    `classes` int `[n]` are numbers from 0. `share` is that of the pictures that count by themselves: below 1 where some
    are copies of others. `z` is the reach of the interval in standard deviations. None where no class has pictures in
    both sets.

    >>> found = separate(np.array([1, 2, 3, 4, 5, 6.0]), np.arange(6) > 2, np.zeros(6, np.int32))
    >>> print(found)
    1.000 [0.501, 1.000]
    """
    weights, areas = [], []
    for rows in _by_class(classes):
        new = int(second[rows].sum())
        old = len(rows) - new
        if new and old:
            ranks = mean_ranks(values[rows])
            areas.append((float(ranks[second[rows]].sum()) - new * (new + 1) / 2) / (new * old))
            weights.append(new * old / len(rows))
    if not weights:
        return None
    area = float(np.average(areas, weights=weights))
    # A single class with so many pictures in each set would be as sure.
    pictures = max(1.0, 2 * share * sum(weights))
    return Interval(area, _end(area, 0.0, pictures, z), _end(area, 1.0, pictures, z))


def mean_ranks(values: Floats) -> NDArray[np.float64]:
    """Rank of each value from 1, equal ones sharing the mean of theirs.

    >>> mean_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def rank_in_folds(values: Floats, folds: Ints) -> NDArray[np.float64]:
    """Values 0 to 1 that say where each stands in its own fold: each fold's head has an offset and a scale of its own.

    >>> rank_in_folds(np.array([5.0, 1.0, 50.0, 10.0]), np.array([0, 0, 1, 1])).tolist()
    [0.75, 0.25, 0.75, 0.25]
    """
    places = np.empty(len(values))
    for rows in _by_class(folds):
        places[rows] = (mean_ranks(values[rows]) - 0.5) / len(rows)
    return places


def _by_class(classes: Ints) -> list[NDArray[np.int64]]:
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(classes[order])) + 1) if len(order) else []


def _end(area: float, bound: float, pictures: float, z: float) -> float:
    """The value between `area` and `bound` that is just not ruled out, by halving."""
    inside, outside = area, bound
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if abs(area - middle) <= z * _spread(middle, pictures):
            inside = middle
        else:
            outside = middle
    return inside


def _spread(area: float, pictures: float) -> float:
    """Standard deviation of an AUC whose true value is `area`, with so many pictures in each set."""
    shape = (1 - area) / (2 - area) + area / (1 + area)
    return float(np.sqrt(area * (1 - area) * (1 + (pictures - 1) * shape))) / pictures
