"""Which samples belong together, from pairs of them: connected components, and groups that no chain can stretch."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

REACH: Final = 1.5
"""How much farther than a pair a member may be from the middle of its group, as a multiple of the pair's distance."""

_BLOCK: Final = 65_536
"""Rows whose points are looked at as larger numbers at once."""

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio, which mixes well in a product (Knuth, volume 3, section 6.4)."""

Rows = NDArray[np.int64]
Points = NDArray[np.int8]
Flip = Callable[[Points], Points]


def connect(count: int, left: Rows, right: Rows) -> Rows:
    """For each of `count` rows the smallest row that pairs connect it with; int64 `[count]`.

    Every round gives each pair the smaller of its two labels and then follows the labels to their ends (Shiloach &
    Vishkin, "An O(log n) parallel connectivity algorithm", 1982): a few rounds, also for long chains.

    >>> connect(5, np.array([0, 1]), np.array([1, 3])).tolist()
    [0, 0, 2, 0, 4]
    """
    label = np.arange(count)
    while True:
        low = np.minimum(label[left], label[right])
        # Hang the roots, not only the rows, below the smaller one.
        np.minimum.at(label, label[left], low)
        np.minimum.at(label, label[right], low)
        while True:
            shorter = label[label]
            if np.array_equal(shorter, label):
                break
            label = shorter
        if np.array_equal(label[left], label[right]):
            return label


def same_values(column: Any) -> tuple[Rows, Rows]:
    """Pairs of rows that connect all rows with the same value in an Arrow column; nulls are like no other."""
    rows = np.flatnonzero(column.is_valid().to_numpy())
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width % 8 == 0:
        codes = _number_bytes(column)
    else:
        codes = column.combine_chunks().dictionary_encode().indices.drop_null().to_numpy()
    order = np.argsort(codes, kind="stable")
    same = np.flatnonzero(codes[order[1:]] == codes[order[:-1]])
    return rows[order[same]], rows[order[same + 1]]


def same_numbers(numbers: Rows) -> tuple[Rows, Rows]:
    """Pairs of rows that connect all rows with the same number; -1 is like no other."""
    rows = np.flatnonzero(numbers >= 0)
    order = rows[np.argsort(numbers[rows], kind="stable")]
    same = numbers[order[1:]] == numbers[order[:-1]]
    return order[:-1][same], order[1:][same]


def first_with(keys: Rows, there: NDArray[np.bool_]) -> Rows:
    """For every row the first of those `there` with the same key; -1 where there is none, or the key is -1."""
    rows = np.flatnonzero(there & (keys >= 0))
    keys = keys.astype(np.int64, copy=False)
    first = np.full(int(keys.max(initial=-1)) + 2, -1, np.int64)  # the last place is that of the key -1
    first[keys[rows][::-1]] = rows[::-1]  # the first one is written last
    return first[keys]


def _number_bytes(column: Any) -> NDArray[np.uint64]:
    """A number for each value that is there, mixed from its bytes: a quarter of the memory of a dictionary.

    Two different values share it with a chance of 3e-6 among 10 million.
    """
    width = column.type.byte_width
    pieces = [np.zeros(0, np.uint64)]
    for chunk in column.chunks:
        kept = chunk.drop_null()
        start = kept.offset * width
        data = np.frombuffer(kept.buffers()[1] or b"", np.uint8)[start : start + len(kept) * width]
        words = np.ascontiguousarray(data).view(np.uint64).reshape(-1, width // 8)
        mixed = np.zeros(len(words), np.uint64)
        for word in words.T:
            mixed = (mixed ^ word) * _ODD
            mixed ^= mixed >> np.uint64(29)
        pieces.append(mixed)
    return np.concatenate(pieces)


def number_groups(label: Rows) -> Rows:
    """Groups of at least two as 0, 1, ... in the order of their first rows; -1 for what is alone.

    >>> number_groups(np.array([0, 1, 0, 3, 3])).tolist()
    [0, -1, 0, 1, 1]
    """
    _, first, group, sizes = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    several = np.flatnonzero(sizes > 1)
    number = np.full(len(sizes), -1, np.int64)
    number[several[np.argsort(first[several])]] = np.arange(len(several))
    return number[group]


def cut_chains(
    count: int, left: Rows, right: Rows, points: Points, farthest: float, *, flip: Flip | None = None
) -> Rows:
    """As `connect`, but no member of a group is farther than `farthest` from its middle one.

    `points` int8 `[count, width]` are where the rows lie, in the same unit as `farthest`; with `flip` a row lies also
    where that puts it, and the nearer place counts. The middle one of a group is the row with the most pairs. A group
    that is too wide is a chain: a resembles b, b resembles c, and a has nothing to do with c. It is cut into stars:
    rows go to the row among their direct pairs that has the most pairs.
    """
    label = connect(count, left, right)
    links = np.bincount(left, minlength=count) + np.bincount(right, minlength=count)
    paired = np.flatnonzero(links > 0)
    wide = _wide(label[paired], paired, links, lambda one, other: _is_far(points[one], points[other], farthest, flip))
    if not len(wide):
        return label
    number = np.full(count, -1, np.int64)
    number[wide] = np.arange(len(wide))
    inside = number[left] >= 0
    # Chance decides between rows with as many pairs: by row number a film's frames would be taken one by one. It is
    # drawn from the point, so that the order of the rows does not matter.
    rank = np.empty(len(wide), np.int64)
    rank[np.lexsort((_draw(points, wide), -links[wide]))] = np.arange(len(wide))
    label[wide] = wide[_into_stars(rank, number[left[inside]], number[right[inside]])]
    return label


def _wide(label: Rows, rows: Rows, links: Rows, are_far: Callable[[Rows, Rows], NDArray[np.bool_]]) -> Rows:
    """Those of `rows` that are in a group with a member too far from its middle."""
    # Within a group the row with the most links comes first, of several the lowest.
    order = np.lexsort((rows, -links[rows], label))
    groups, start, group = np.unique(label[order], return_index=True, return_inverse=True)
    middle = rows[order][start][group]
    members = rows[order]
    too_far = np.zeros(len(groups), bool)
    for begin in range(0, len(members), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        too_far[group[part][are_far(members[part], middle[part])]] = True
    return members[too_far[group]]


def _is_far(points: Points, others: Points, farthest: float, flip: Flip | None) -> NDArray[np.bool_]:
    """Whether each point is farther than `farthest` from the other one, and from where that is flipped to."""
    far = np.ones(len(points), bool)
    for place in (others, flip(others)) if flip else (others,):
        apart = points.astype(np.float32) - place.astype(np.float32)
        far &= (apart * apart).sum(axis=1) > farthest * farthest
    return far


def _draw(points: Points, rows: Rows) -> Rows:
    """A number for each of `rows` that looks drawn by chance, and is the same for equal points."""
    weights = np.random.default_rng(0).integers(0, 2**62, points.shape[1])
    drawn = np.empty(len(rows), np.int64)
    for begin in range(0, len(rows), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        drawn[part] = points[rows[part]].astype(np.int64) @ weights  # wraps around
    return drawn


def _into_stars(rank: Rows, left: Rows, right: Rows) -> Rows:
    """For each row its middle: again and again the rows with a lower rank than all free rows that they are paired with
    become middles, and take those."""
    label = np.arange(len(rank))
    free = np.ones(len(rank), bool)
    while len(left):
        best = rank.copy()
        np.minimum.at(best, left, rank[right])
        np.minimum.at(best, right, rank[left])
        middle = free & (best == rank)
        for one, other in ((left, right), (right, left)):
            joins = middle[one] & ~middle[other]
            order = np.argsort(-rank[one[joins]], kind="stable")  # the best middle is written last
            label[other[joins][order]] = one[joins][order]
            free[other[joins]] = False
        free[middle] = False
        open_ = free[left] & free[right]
        left, right = left[open_], right[open_]
    return label
