"""Prediction sets with a stated coverage: the true class is in the set of, say, 95 % of new pictures.

Split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman, JASA 114, 2019; Vovk, Gammerman
and Shafer, "Algorithmic learning in a random world", 2005): a class is in the set where its probability is at least
that which the true class has on all but a share of held-out pictures. The coverage holds on average over draws of held
out and new pictures that are alike, whatever the classifier; not for each class, and not for pictures of other kinds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.clustered import number_clusters, share_right
from telltale.evaluation.metrics import Bools, Floats, Interval, Ints
from telltale.model.rejection import RejectRule, prediction_sets
from telltale.threads import pieces

_BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class SetCheck:
    """How often the true class is in the set, and how many pictures have a set of which size (size: pictures)."""

    nominal: float
    coverage: Interval
    mean_size: float
    sizes: dict[int, int]


def find_set_threshold(probabilities: Floats, labels: Ints, coverage: float) -> float:
    """The probability from which on a class belongs to the set, from held-out `probabilities` `[n, classes]`.

    It is the k-th largest probability of a true class, k = ceil((n + 1) coverage): then new pictures are covered with
    at least the probability `coverage`, and at most 1 / (n + 1) more where none are equal. With too few pictures for
    that (18 for 0.95) it is 0, and every class is in every set.

    >>> find_set_threshold(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), np.array([0, 0, 1]), 0.75)
    0.4
    """
    if not 0 < coverage < 1:
        raise ValueError(f"a coverage is between 0 and 1, and not {coverage}")
    own = np.sort(probabilities[np.arange(len(labels)), labels])[::-1]
    # Rounded first: (99 + 1) * 0.95 is 95, and not a little more.
    place = math.ceil(round((len(own) + 1) * coverage, 9))
    return float(own[place - 1]) if place <= len(own) else 0.0


def check_sets(labels: Ints, probabilities: Floats, rule: RejectRule, clusters: Ints | None = None) -> SetCheck:
    """The sets that `rule` makes of calibrated `probabilities` `[n, classes]`, against `labels` `[n]`.

    `clusters` int `[n]` has the same number for pictures that are not independent: the interval of the coverage then
    allows for it (`clustered.py`). None: all are independent.
    """
    return summarise_sets(*measure_sets(labels, probabilities, rule), rule.coverage, clusters)


def measure_sets(labels: Ints, probabilities: Floats, rule: RejectRule) -> tuple[NDArray[np.int64], Bools]:
    """How many classes are in each picture's set, int64 `[n]`, and whether the true one is, bool `[n]`."""
    sizes, held = np.empty(len(labels), np.int64), np.empty(len(labels), np.bool_)
    for part in pieces(len(labels), _BLOCK):
        sets = prediction_sets(rule, probabilities[part.start : part.stop])
        sizes[part.start : part.stop] = sets.sum(axis=1)
        held[part.start : part.stop] = sets[np.arange(len(sets)), labels[part.start : part.stop]]
    return sizes, held


def summarise_sets(sizes: Ints, held: Bools, nominal: float, clusters: Ints | None = None) -> SetCheck:
    """The `SetCheck` of what `measure_sets` tells, which may be of several rules with the same `nominal` coverage.

    >>> summarise_sets(np.array([1, 1, 2]), np.array([True, False, True]), 0.9).sizes
    {1: 2, 2: 1}
    """
    kinds, counts = np.unique(sizes, return_counts=True)
    mean = float(sizes.mean()) if len(sizes) else 0.0
    coverage = share_right(held, number_clusters(clusters))
    return SetCheck(nominal, coverage, mean, dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
