"""Intervals of shares where pictures come in clusters: of a patient, a scene, a burst, copies of one photo.

Ten pictures of one patient are right or wrong together, and count for less than ten of ten patients. By how much is the
design effect: the variance of a share over clusters, divided by that of as many independent pictures. Wilson's interval
at the effective number of pictures, n / design effect, allows for it (J. N. K. Rao and A. J. Scott, "A simple method
for the analysis of clustered binary data", 1992; E. L. Korn and B. I. Graubard, "Confidence intervals for proportions
with small expected number of positive counts estimated from survey data", 1998).

Four things keep it honest where there are few clusters or few mistakes:

* The variance over clusters is freed of its bias by the leverage of large ones (R. M. Bell and D. F. McCaffrey, "Bias
  reduction in standard errors", 2002), and Student's t has as many degrees of freedom as equally large clusters would
  leave: Kish's effective number of clusters, n² / Σ size², less 1.
* Mistakes in few clusters say little about how they flock. One more cluster with mistakes is imagined, in which the
  correlation of pictures is `FLOCKING`: with no mistake at all it decides alone, with 20 it hardly counts. Without,
  85 of 100 intervals hold the truth where 25 clusters have 97 % right with a correlation of 0.3, with it 97.
* The interval is never narrower than that of independent pictures,
* and never wider than if every cluster were a single picture, which is the most that correlation can do: a share over
  one cluster is as sure as one over one picture.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telltale.data.duplicates import FEW, find_duplicates, find_exact
from telltale.data.index import Index
from telltale.data.splits import find_units
from telltale.evaluation.metrics import (
    Bools,
    Counts,
    Interval,
    Ints,
    as_f1,
    as_intervals,
    f1,
    share,
    wilson,
    wilson_ends,
)
from telltale.evaluation.student import t_quantile

Ends: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

MOST: Final = 20_000
"""Pictures whose looks are compared: that takes 0.3 s for 10,000 and a minute for 100,000."""

FLOCKING: Final = 1 / 3
"""Correlation of the pictures in a cluster that is assumed until mistakes in several clusters show another."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Pictures in clusters, and what was said of them; arrays `[n]`.

    `labels` and `said` are class numbers below `classes`; `clusters` are numbers from 0 (`number_clusters`).
    """

    labels: Ints
    said: Ints
    clusters: Ints
    classes: int

    @property
    def right(self) -> Bools:
        """Whether each picture was called what it is."""
        found: Bools = self.labels == self.said
        return found


def find_clusters(index: Index) -> NDArray[np.int64]:
    """A number for each picture, the same for those that do not count as independent; int64 `[n]`.

    These are pictures of one group of the source, pictures with the same pixels, and pictures that look the same: what
    a split keeps on one side. Looks are compared from `FEW` to `MOST` pictures. Among fewer it is not known how alike
    different pictures of the collection are, and X-rays would be taken for copies; among more it takes too long.
    """
    known = FEW <= len(index) <= MOST
    return find_units(index, find_duplicates(index) if known else find_exact(index))


def number_clusters(clusters: Ints | None) -> NDArray[np.int64] | None:
    """Numbers of clusters from 0, without gaps; None where every picture is a cluster of its own.

    >>> number_clusters(np.array([7, 3, 7])).tolist(), number_clusters(np.array([2, 1]))
    ([1, 0, 1], None)
    """
    if clusters is None:
        return None
    names, numbers = np.unique(clusters, return_inverse=True)
    return numbers.astype(np.int64) if len(names) < len(clusters) else None


def share_right(right: Bools, clusters: Ints | None = None) -> Interval:
    """Share of pictures that are right: Wilson's interval where `clusters` is None, else that by clusters.

    >>> right, patients = np.repeat([True, True, True, False], 10), np.repeat([0, 1, 2, 3], 10)
    >>> print(share_right(right), share_right(right, patients))
    0.750 [0.598, 0.858] 0.750 [0.301, 0.954]
    """
    if clusters is None:
        return wilson(np.array([right.sum()]), np.array([len(right)]))[0]
    return shares(np.zeros(len(right), np.int64), right, clusters, 1)[0]


def precisions(judged: Judged) -> list[Interval]:
    """Precision of every class."""
    return shares(judged.said, judged.right, judged.clusters, judged.classes)


def recalls(judged: Judged) -> list[Interval]:
    """Recall of every class."""
    return shares(judged.labels, judged.right, judged.clusters, judged.classes)


def f1_scores(judged: Judged, counts: Counts) -> list[Interval]:
    """F1 of every class, by way of hits / (hits + misses + false alarms)."""
    return as_f1(f1(counts), shares(*touch(judged), judged.classes))


def touch(judged: Judged) -> tuple[Ints, Bools, Ints]:
    """An entry for each class that a picture is of or was called: class, whether it is a hit, cluster; `[entries]`."""
    wrong = ~judged.right
    keys = np.concatenate([judged.labels, judged.said[wrong]])
    clusters = np.concatenate([judged.clusters, judged.clusters[wrong]])
    return keys, np.concatenate([judged.right, np.zeros(int(wrong.sum()), np.bool_)]), clusters


def shares(keys: Ints, right: Bools, clusters: Ints, count: int) -> list[Interval]:
    """For each key below `count` the share of its entries that are right, with an interval by clusters.

    `keys`, `right` and `clusters` have one value per entry. Memory and time depend on the number of entries only.
    """
    pairs, sizes, hits = pair(keys, right, clusters)

    def add(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(pairs, values, minlength=count).astype(np.float64)

    whole, good = add(sizes), add(hits)
    found = share(good, whole)
    kish = np.maximum(share(add(sizes**2), whole), 1.0)  # the design effect where pictures of a cluster are all alike
    leverage = sizes / whole[pairs]
    apart = np.square(hits - sizes * found[pairs]) / np.where(leverage < 1, 1 - leverage, 1.0)
    effect = share(add(apart), whole * found * (1 - found))
    effect = blend(effect, kish, np.minimum(add(hits > 0), add(hits < sizes)))
    reach = t_quantile(whole / kish - 1)
    alone, together = wilson_ends(found, whole), wilson_ends(found, whole / kish)
    return as_intervals(found, *between(alone, wilson_ends(found, whole / effect, reach), together))


def pair(
    keys: Ints, right: Bools, clusters: Ints
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Every pair of a key and a cluster that occurs: its key, its entries, and how many of them are right."""
    span = int(clusters.max(initial=0)) + 1
    names, numbers = np.unique(keys.astype(np.int64) * span + clusters, return_inverse=True)
    sizes, hits = (np.bincount(numbers, weights, minlength=len(names)) for weights in (None, right))
    return names // span, sizes.astype(np.float64), hits.astype(np.float64)


def blend(effect: NDArray[Any], most: NDArray[Any], clusters: NDArray[Any]) -> NDArray[np.float64]:
    """The design effect to use, at least 1.

    `effect` is that seen, `most` that of pictures that are all alike in their cluster, `clusters` the number of
    clusters that have a part in `effect`: those with mistakes, or those with hits where they are fewer.
    """
    weight = 1 / (clusters + 1)
    blended: NDArray[np.float64] = (1 - weight) * effect + weight * (1 + (most - 1) * FLOCKING)
    return np.maximum(blended, 1.0)


def between(alone: Ends, found: Ends, together: Ends) -> Ends:
    """The ends `found`, but not within `alone` and not beyond `together`."""
    low = np.minimum(alone[0], np.maximum(found[0], together[0]))
    high = np.maximum(alone[1], np.minimum(found[1], together[1]))
    return low, high
