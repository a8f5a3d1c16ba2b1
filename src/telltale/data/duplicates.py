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

_CROWD: Final = 20
"""Pictures from which on it counts that most of their pairs are near: they cannot all be copies of one picture."""

_SHELL: Final = 1.25
_STEP: Final = 1.03


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
    """The largest radius from `RADIUS` down to `LEAST` that joins at most `CHANCE` of the pairs of different pictures.

    Pairs somewhat farther apart than the radius (up to 1.56 times) are hardly copies: they show how the number of pairs
    of different pictures grows with the distance d. It grows like d**k; k, and with it the number within the radius,
    follow from two shells. Where that is too much, or where most pairs are as near as that, a smaller radius is
    tried in the same way.
    """
    sample = points
    if len(points) > _SAMPLE:
        sample = points[np.random.default_rng(seed).choice(len(points), _SAMPLE, replace=False)]
    total = max(1.0, len(sample) * (len(sample) - 1) / 2)
    distances = np.sort(_all_distances(sample, RADIUS * _SHELL * _SHELL))
    radius = RADIUS
    while radius > LEAST:
        within, inner, outer = np.searchsorted(distances, radius * np.array([1, _SHELL, _SHELL**2]), side="right")
        if len(sample) < _CROWD or outer <= total / 2:  # else there is no pair left that would show the growth
            if inner == within or outer == inner:
                return radius
            power = max(1.0, float(np.log((outer - inner) / (inner - within)) / np.log(_SHELL)))
            if (inner - within) / (_SHELL**power - 1) <= CHANCE * total:
                return radius
        radius /= _STEP
    return LEAST


def _all_distances(points: NDArray[np.int8], most: float) -> NDArray[np.float32]:
    """Distances up to `most` between all pairs of fingerprints."""
    values = points.astype(np.float32) * np.float32(SCALE)
    squares = np.einsum("nd,nd->n", values, values)
    found = [np.zeros(0, np.float32)]
    for row in range(len(values)):
        squared = squares[row + 1 :] + squares[row] - 2 * (values[row + 1 :] @ values[row])
        found.append(squared[squared <= most * most])
    return np.sqrt(np.maximum(np.concatenate(found), 0))


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
