"""`find_duplicates`: which pictures are the same, and which look the same though their pixels differ.

The same: equal pixels after decoding. Alike: fingerprints at most `RADIUS` apart, as those of one picture are when it
was saved again at quality 40 to 95, scaled to half or double, brightened by 20 %, cropped by 3 % or all of these.

In a collection whose pictures resemble each other anyway (X-rays, digits, drawings) that distance would join different
ones. So the distances of the collection's own pictures are looked at first, and the radius shrinks until less than
one pair in a million is expected to be joined by chance (`fitting_radius`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.fingerprint import SCALE, fingerprint_matrix, mirror
from telltale.data.groups import REACH, connect, cut_chains, number_groups, same_numbers, same_values
from telltale.data.index import Index
from telltale.data.neighbours import NO_PAIRS, Pairs, find_pairs, merge

RADIUS: Final = 0.43
"""Largest distance between the fingerprints of near-duplicates. 98 % of the copies of photos with all changes at their
worst at once are within 0.42; the closest of 7.2 million pairs of different photos are 0.55 apart
(benchmarks/RESULTS.md#near-duplicates)."""

LEAST: Final = 0.05
"""Smallest radius that is tried: 98 % of the copies saved again at quality 40 are within 0.04."""

CHANCE: Final = 1e-6
"""Share of the pairs of different pictures that may be taken for near-duplicates."""

_SAMPLE: Final = 3_000
"""Pictures whose distances are looked at: 4.5 million pairs, 0.2 s."""

_NEAR: Final = 0.003
"""Share of the pairs at which the growth is measured: 13,500 of the 4.5 million of a sample."""

_COPIES: Final = 5
"""Copies that each picture may have at first: in a collection of n they make up that many nths of the pairs."""

_FARTHEST: Final = 0.09
"""Largest share at which the growth is measured."""

_GROWTH: Final = 4.5
"""Growth below which copies are suspected: 4.9 is that of digits, 9 to 20 that of photos and X-rays; 3,000 photos of
which 1,500 are copies of the others in groups of six show 3."""

FEW: Final = 100
"""Different pictures from which on the growth is measured."""


@dataclass(frozen=True)
class Duplicates:
    """Groups of samples of an `Index` that show the same picture.

    `exact` int64 `[n]`: number of the group of samples with equal pixels; `near` int64 `[n]`: of those that look the
    same (with equal pixels or not); -1 where a sample is alone. `pairs` are the pairs of row numbers that look the same
    (columns left, right, distance): nearly all within one group, but for those where a chain was cut. `radius` is the
    distance that was allowed.
    """

    exact: NDArray[np.int64]
    near: NDArray[np.int64]
    pairs: Pairs
    radius: float


def find_duplicates(index: Index, *, mirrored: bool = False) -> Duplicates:
    """The `Duplicates` of `index`; with `mirrored`, pictures that were flipped left to right count as alike too.

    Pictures too flat for a fingerprint (one colour) are duplicates only where their pixels are equal.
    """
    count = len(index)
    left, right = same_values(index.table.column("pixels"))
    exact = connect(count, left, right)
    rows, points = fingerprint_matrix(index.table.column("fingerprint"))
    radius = fitting_radius(points)
    pairs = _look_alike(rows, points, radius, mirrored=mirrored)
    near = _group(count, pairs, rows, points, radius, mirrored=mirrored)
    # Whatever a chain's cut has parted: what is equal stays together.
    equal = pairs.distance == 0
    one, other = (np.concatenate(both) for both in ((left, pairs.left[equal]), (right, pairs.right[equal])))
    near = connect(count, np.concatenate([one, np.arange(count)]), np.concatenate([other, near]))
    return Duplicates(number_groups(exact), number_groups(near), pairs, radius)


def add_pairs(duplicates: Duplicates, pairs: Pairs) -> Duplicates:
    """`duplicates` with further pairs of rows that look the same; their groups grow together."""
    count = len(duplicates.near)
    left, right = same_numbers(duplicates.near)
    near = connect(count, np.concatenate([left, pairs.left]), np.concatenate([right, pairs.right]))
    return Duplicates(duplicates.exact, number_groups(near), merge([duplicates.pairs, pairs]), duplicates.radius)


def find_exact(index: Index) -> Duplicates:
    """The `Duplicates` of `index` where only equal pixels count."""
    exact = number_groups(connect(len(index), *same_values(index.table.column("pixels"))))
    return Duplicates(exact, exact, NO_PAIRS, 0.0)


def fitting_radius(points: NDArray[np.int8], *, seed: int = 0) -> float:
    """The radius, `LEAST` to `RADIUS`, that joins about `CHANCE` of the pairs of different pictures, at most.

    The share of pairs within a distance d grows like d**k. k is measured where pairs are many (at the shares `_NEAR`
    and ten times that), above what copies make up, and followed down to `CHANCE`: so it does not matter how many
    pictures have copies. Where each has so many that k comes out below `_GROWTH`, it is measured at a larger share.
    Below `FEW` different pictures nothing can be measured.
    """
    sample = np.unique(points, axis=0) if len(points) <= _SAMPLE else points
    if len(sample) > _SAMPLE:
        sample = np.unique(sample[np.random.default_rng(seed).choice(len(sample), _SAMPLE, replace=False)], axis=0)
    if len(sample) < FEW:
        return RADIUS
    distances = _all_distances(sample)
    low, power, near = max(_NEAR, _COPIES / len(sample)), 0.0, 0.0
    while power < _GROWTH and low <= _FARTHEST:
        near, far = np.maximum(np.quantile(distances, [low, 10 * low]), 1e-3)
        power = np.log(10) / max(float(np.log(far / near)), 1e-3)
        low *= 2
    low /= 2
    # In a small collection less than a tenth of a pair is as good as none.
    chance = max(CHANCE, 0.1 / len(distances))
    return float(np.clip(near * (chance / low) ** (1 / power), LEAST, RADIUS))


def _all_distances(points: NDArray[np.int8]) -> NDArray[np.float32]:
    """Distances between all pairs of fingerprints."""
    values = points.astype(np.float32) * np.float32(SCALE)
    squares = np.einsum("nd,nd->n", values, values)
    found = np.empty(len(values) * (len(values) - 1) // 2, np.float32)
    done = 0
    for row in range(len(values)):
        squared = squares[row + 1 :] + squares[row] - 2 * (values[row + 1 :] @ values[row])
        found[done : done + len(squared)] = squared
        done += len(squared)
    return np.sqrt(np.maximum(found, 0))


def _look_alike(rows: NDArray[np.int64], points: NDArray[np.int8], radius: float, *, mirrored: bool) -> Pairs:
    """Pairs of `rows` whose fingerprints are near, as they are or mirrored."""
    both = np.concatenate([points, mirror(points)]) if mirrored else points
    pairs = find_pairs(both, radius, scale=SCALE)
    # Of a pair and its mirror image one is enough; and a symmetric picture is near its own mirror image.
    left, right = pairs.left % max(1, len(points)), pairs.right % max(1, len(points))
    apart = (left != right) & (pairs.left < len(points))
    one, other = rows[np.minimum(left, right)[apart]], rows[np.maximum(left, right)[apart]]
    order = np.lexsort((pairs.distance[apart], other, one))
    one, other, distance = one[order], other[order], pairs.distance[apart][order]
    new = np.ones(len(one), bool)
    new[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return Pairs(one[new], other[new], distance[new])


def _group(
    count: int, pairs: Pairs, rows: NDArray[np.int64], points: NDArray[np.int8], radius: float, *, mirrored: bool
) -> NDArray[np.int64]:
    """For each of `count` rows one that stands for its group of look-alikes."""
    left, right = np.searchsorted(rows, pairs.left), np.searchsorted(rows, pairs.right)
    flip = mirror if mirrored else None
    label = np.arange(count)
    label[rows] = rows[cut_chains(len(rows), left, right, points, REACH * radius / SCALE, flip=flip)]
    return label
