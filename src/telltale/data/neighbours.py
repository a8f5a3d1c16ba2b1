"""`find_pairs`: which of many vectors lie close together, without comparing each with each.

Up to `EXACT` vectors all pairs are compared. Beyond, trees of random projections (Dasgupta & Freund, "Random
projection trees and low dimensional manifolds", STOC 2008) divide the vectors at medians into leaves of at most
`LEAF`, and only within a leaf all pairs are compared: n log n work, and what one tree tears apart another one holds
together. Memory is bounded by the vectors, one tree's order, and the pairs found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

EXACT: Final = 12_000
"""Vectors up to which every pair is compared: 72 million pairs, 1 s on one core."""

COMPARED: Final = 10**10
"""Comparisons of a query with a point up to which each is made: 10 s."""

LEAF: Final = 1_024
"""Vectors of a tree's leaf, at most."""

TREES: Final = 16
"""How often the vectors are divided anew. What it finds: benchmarks/RESULTS.md#near-duplicates."""

MOST_NEIGHBOURS: Final = 32
"""Pairs per vector and leaf, the closest ones: where thousands look alike, these still connect them all."""

_BLOCK: Final = 512
"""Rows that are compared at once with all others: 24 MB of products for `EXACT` vectors."""

_ROWS: Final = 262_144
"""Vectors that are projected at once."""

_TERMS: Final = 8


@dataclass(frozen=True)
class Pairs:
    """Pairs of row numbers, `left` < `right`, each once, in this order, with their `distance` (float32)."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distance: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    def take(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """The pairs that are `chosen`."""
        return Pairs(self.left[chosen], self.right[chosen], self.distance[chosen])


NO_PAIRS: Final = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def find_pairs(vectors: NDArray[np.int8], radius: float, *, scale: float = 1.0, seed: int = 0) -> Pairs:
    """Pairs of rows of int8 `[n, width]` that are at most `radius` apart (Euclidean, of `vectors * scale`).

    Equal rows are all found, each with the first of them. Of the others all up to `EXACT` different rows; beyond,
    nearly all. Of a row with very many neighbours only the `MOST_NEIGHBOURS` closest that come after it in its leaf.
    """
    if not len(vectors):
        return merge([])
    first = _find_equal(vectors)
    others = np.flatnonzero(first != np.arange(len(vectors)))
    equal = Pairs(first[others], others, np.zeros(len(others), np.float32))
    distinct = np.flatnonzero(first == np.arange(len(vectors))).astype(np.int32)
    del first
    if len(distinct) <= EXACT:
        pairs = _in_leaf(vectors, distinct, radius, scale)
    else:
        pairs = NO_PAIRS
        rng = np.random.default_rng(seed)
        for _ in range(TREES):
            pairs = _thin(merge([pairs, *_in_tree(vectors, distinct.copy(), radius, scale, rng)]), len(distinct))
    return merge([pairs, equal])


def find_nearest(
    queries: NDArray[np.int8], points: NDArray[np.int8], radius: float, *, scale: float = 1.0
) -> NDArray[np.int64]:
    """For each row of int8 `[m, width]` the nearest row of `points` `[n, width]` within `radius`; -1 where none is.

    Every query is compared with every point, in blocks: 10,000 with 100,000 in 1 s on one core. Beyond `COMPARED`
    comparisons the trees of `find_pairs` are used, which find nearly all.
    """
    found = np.full(len(queries), -1, np.int64)
    if not len(points):
        return found
    if len(queries) * len(points) > COMPARED:
        pairs = find_pairs(np.concatenate([points, queries]), radius, scale=scale)
        pairs = pairs.take((pairs.left < len(points)) & (pairs.right >= len(points)))
        order = np.argsort(-pairs.distance, kind="stable")
        found[pairs.right[order] - len(points)] = pairs.left[order]  # the nearest is written last
        return found
    for start in range(0, len(queries), _BLOCK):
        part = slice(start, start + _BLOCK)
        least = np.full(len(queries[part]), radius * radius, np.float32)
        ours = queries[part].astype(np.float32) * np.float32(scale)
        for begin in range(0, len(points), _BLOCK):
            theirs = points[begin : begin + _BLOCK].astype(np.float32) * np.float32(scale)
            squared = (ours * ours).sum(axis=1)[:, None] + (theirs * theirs).sum(axis=1) - 2 * (ours @ theirs.T)
            best = squared.argmin(axis=1)
            value = squared[np.arange(len(ours)), best]
            closer = value <= least
            found[part][closer] = best[closer] + begin
            least[closer] = value[closer]
    return found


def _find_equal(vectors: NDArray[np.int8]) -> NDArray[np.int64]:
    """For every row the first row that is equal to it."""
    _, first, same = np.unique(_hash(vectors), return_index=True, return_inverse=True)
    return first[same].astype(np.int64, copy=False)


def _hash(vectors: NDArray[np.int8]) -> NDArray[np.uint64]:
    """A number for each row, by which equal rows are found: an eighth of the memory that rows themselves would take.

    Multiply-add with odd random factors (Dietzfelbinger, 1996) and a final mix: two different rows among 10 million
    share it with a chance of 3e-6, and would only be compared once too little.
    """
    width = -(-vectors.shape[1] // 8)
    factors = np.random.default_rng(7).integers(0, 2**64, width, np.uint64) | np.uint64(1)
    out = np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS]
        words = np.pad(rows, ((0, 0), (0, 8 * width - rows.shape[1]))).view(np.uint64)
        mixed = np.zeros(len(rows), np.uint64)
        for column in range(width):
            mixed = (mixed ^ words[:, column]) * factors[column]
            mixed ^= mixed >> np.uint64(29)
        out[start : start + _ROWS] = mixed
    return out


def _in_tree(
    rows: NDArray[np.int8], order: NDArray[np.int32], radius: float, scale: float, rng: np.random.Generator
) -> Iterator[Pairs]:
    """Pairs within each leaf of one tree over the rows in `order`, which is put into the order of the leaves."""
    depth = max(1, int(np.ceil(np.log2(len(order) / LEAF))))
    ends = [0, len(order)]
    for _ in range(depth):
        along = _project(rows, rng)
        cuts = [0]
        for start, end in pairwise(ends):
            part = order[start:end]
            places = along[part]
            low = places <= np.partition(places, len(places) // 2)[len(places) // 2]
            if low.all():  # more than half are at one place: those below it go aside
                low = places < places.max()
            order[start:end] = np.concatenate([part[low], part[~low]])
            cuts += [start + int(low.sum()), end] if low.any() else [end]
        ends = cuts
    for start, end in pairwise(ends):
        yield _in_leaf(rows, order[start:end], radius, scale)


def _project(rows: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int16]:
    """Every row's place along one random direction that has only `_TERMS` entries, each 1 or -1.

    Sparse directions keep distances nearly as well as dense ones (Li, Hastie & Church, "Very sparse random
    projections", KDD 2006) and take a tenth of the time and half of the memory.
    """
    chosen = rng.choice(rows.shape[1], min(_TERMS, rows.shape[1]), replace=False)
    signs = rng.choice(np.array([-1, 1], np.int16), len(chosen))
    along = np.zeros(len(rows), np.int16)
    for start in range(0, len(rows), _ROWS):
        for column, sign in zip(chosen, signs, strict=True):
            along[start : start + _ROWS] += sign * rows[start : start + _ROWS, column]
    return along


def _in_leaf(rows: NDArray[np.int8], members: NDArray[np.int32], radius: float, scale: float) -> Pairs:
    """Pairs among `members`, the closest ones of each, block by block."""
    points = rows[members].astype(np.float32) * np.float32(scale)
    half = np.multiply(np.einsum("nd,nd->n", points, points)[:, None], -0.5, dtype=np.float32)
    ones = np.ones_like(half)
    # One product gives minus half of every squared distance: x.y - |x|^2 / 2 - |y|^2 / 2.
    ours, theirs = np.hstack([points, half, ones]), np.hstack([points, ones, half]).T
    found = []
    for start in range(0, len(points), _BLOCK):
        product = ours[start : start + _BLOCK] @ theirs[:, start:]  # to the right of the diagonal: each pair once
        left, right = _closest(product, -0.5 * radius * radius)
        squared = np.maximum(-2 * product[left, right], 0)
        one, other = members[left + start].astype(np.int64), members[right + start].astype(np.int64)
        found.append(Pairs(np.minimum(one, other), np.maximum(one, other), np.sqrt(squared)))
    return _join(found)


def _closest(product: NDArray[np.float32], least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places right of the diagonal that are at least `least`; of a row with too many the largest ones."""
    enough = product >= least
    crowded = np.flatnonzero(np.count_nonzero(enough, axis=1) > MOST_NEIGHBOURS)
    nearest = np.zeros((len(crowded), 0), np.int64)
    if len(crowded):
        enough[crowded] = False
        values = np.where(np.arange(product.shape[1]) > crowded[:, None], product[crowded], -np.inf)
        # Dividing takes a tenth of the time of sorting.
        nearest = np.argpartition(values, -MOST_NEIGHBOURS, axis=1)[:, -MOST_NEIGHBOURS:]
    left, right = np.divmod(np.flatnonzero(enough.ravel()), product.shape[1])
    left = np.concatenate([left, np.repeat(crowded, nearest.shape[1])])
    right = np.concatenate([right, nearest.ravel()])
    after = (right > left) & (product[left, right] >= least)
    return left[after], right[after]


def _join(found: list[Pairs]) -> Pairs:
    """All pairs, one list after the other."""
    if not found:
        return NO_PAIRS
    return Pairs(*(np.concatenate([getattr(one, name) for one in found]) for name in ("left", "right", "distance")))


def merge(found: list[Pairs]) -> Pairs:
    """All pairs, each once, by left and right."""
    joined = _join(found)
    if not len(joined):
        return joined
    # One number per pair sorts five times as fast as two columns.
    _, chosen = np.unique(joined.left * (int(joined.right.max()) + 1) + joined.right, return_index=True)
    return Pairs(joined.left[chosen], joined.right[chosen], joined.distance[chosen])


def _thin(pairs: Pairs, count: int) -> Pairs:
    """`pairs` of `count` rows; where they are too many on average, of each left row only the closest ones."""
    if len(pairs) <= 2 * MOST_NEIGHBOURS * count:
        return pairs
    order = np.lexsort((pairs.distance, pairs.left))
    left = pairs.left[order]
    near = np.arange(len(order)) - np.searchsorted(left, left) < MOST_NEIGHBOURS
    chosen = np.zeros(len(order), bool)
    chosen[order[near]] = True
    return pairs.take(chosen)
