"""`Subject`: what the checks look at: the facts of all pictures as columns, and which picture is a copy of which."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.duplicates import Duplicates
from telltale.data.fingerprint import SCALE, fingerprint_matrix, mirror
from telltale.data.groups import first_with
from telltale.data.index import Index
from telltale.data.leaks import GROUP, LOOKS, PIXELS, find_leaks
from telltale.data.splits import find_units, given_parts

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

NONE: Final = -1
"""Instead of a row number: there is no partner."""


LIKENESSES: Final = (PIXELS, LOOKS, GROUP)
"""How two pictures can be the same."""


@dataclass(frozen=True)
class Partners:
    """For each row the row that it is a copy of, int64 `[n]`, `NONE` where there is none."""

    other: Rows
    distance: Floats
    """How far apart the two look: 0 for the same pixels; NaN where there is no partner."""
    likeness: NDArray[np.int8]
    """Place in `LIKENESSES` of how the two are the same."""


@dataclass(frozen=True)
class Subject:
    """The pictures of an `Index` with their `Duplicates`, as the checks need them. Everything is computed once."""

    index: Index
    duplicates: Duplicates

    def numbers(self, name: str) -> Floats:
        """A column of the index as float32 `[n]`, NaN where it is null."""
        return read_numbers(self.index, name)

    def words(self, name: str) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """The different texts of a column, and the number of each row's; -1 where it is null."""
        column = self.index.table.column(name).combine_chunks().dictionary_encode()
        return tuple(column.dictionary.to_pylist()), column.indices.fill_null(-1).to_numpy(zero_copy_only=False)

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """Which pictures can be used."""
        return self.index.table.column("error").is_null().to_numpy()  # type: ignore[no-any-return]

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """As `read_parts`."""
        return read_parts(self.index)

    @cached_property
    def common_size(self) -> tuple[int, int, float]:
        """As `find_common_size`, of the usable pictures."""
        return find_common_size(self.numbers("width")[self.readable], self.numbers("height")[self.readable])

    @cached_property
    def copies(self) -> Partners:
        """Of each picture with the same pixels as an earlier one: the first of them."""
        first = first_with(self.duplicates.exact, self.duplicates.exact >= 0)
        other = np.where(first == np.arange(len(first)), NONE, first)
        distance = np.where(other == NONE, np.float32(np.nan), np.float32(0))
        return Partners(other, distance, np.zeros(len(other), np.int8))

    @cached_property
    def lookalikes(self) -> Partners:
        """Of each picture that looks like an earlier one, with other pixels: the closest of them.

        Where it is only through others that a picture belongs to its group: the group's first one.
        """
        near, pairs = self.duplicates.near, self.duplicates.pairs
        alone = self.copies.other == NONE
        other, distance = np.full(len(near), NONE, np.int64), np.full(len(near), np.nan, np.float32)
        order = np.argsort(-pairs.distance, kind="stable")
        left, right = pairs.left[order], pairs.right[order]
        use = alone[left] & alone[right] & (near[left] == near[right])
        other[right[use]], distance[right[use]] = left[use], pairs.distance[order][use]  # the closest is written last
        first = first_with(near, alone & (near >= 0))
        rest = np.flatnonzero(alone & (other == NONE) & (first >= 0) & (first != np.arange(len(near))))
        other[rest], distance[rest] = first[rest], self._apart(rest, first[rest])
        return Partners(other, distance, np.ones(len(near), np.int8))

    @cached_property
    def contradictions(self) -> Partners:
        """Of each picture whose label is not the most frequent one of its duplicates: one that has that."""
        near, codes = self.duplicates.near, self.index.codes
        members = np.flatnonzero((near >= 0) & (codes >= 0))
        usual = _most_frequent(near, codes, members)
        right = np.zeros(len(near), bool)
        right[members] = codes[members] == usual[members]
        wrong = members[~right[members]]
        same = first_with(self.duplicates.exact, right)
        other, distance = np.full(len(near), NONE, np.int64), np.full(len(near), np.nan, np.float32)
        other[wrong] = np.where(same[wrong] >= 0, same[wrong], first_with(near, right)[wrong])
        distance[wrong] = self._apart(wrong, other[wrong])
        return Partners(other, distance, (same < 0).astype(np.int8))

    @cached_property
    def leaks(self) -> Partners:
        """Of each picture of a later part that is in an earlier one too, or one of its group: that one."""
        count = len(self.parts)
        other, distance = np.full(count, NONE, np.int64), np.full(count, np.nan, np.float32)
        likeness = np.zeros(count, np.int8)
        if len(np.unique(self.parts[self.parts >= 0])) > 1:
            found = find_leaks(self.parts, find_units(self.index, self.duplicates), self.duplicates)
            rows = found.column("row").to_numpy()
            other[rows] = found.column("other").to_numpy()
            distance[rows] = self._apart(rows, other[rows])
            likeness[rows] = pc.index_in(found.column("kind"), value_set=pa.array(LIKENESSES)).to_numpy()
        return Partners(other, distance, likeness)

    @cached_property
    def _places(self) -> tuple[Rows, NDArray[np.int8]]:
        return fingerprint_matrix(self.index.table.column("fingerprint"))

    def _apart(self, rows: Rows, others: Rows) -> Floats:
        """How far apart two pictures look, mirrored or not, whichever is less; 0 where one of them is too flat."""
        known, points = self._places
        apart = np.zeros(len(rows), np.float32)
        if not len(known):
            return apart
        at, to = (np.minimum(np.searchsorted(known, one), len(known) - 1) for one in (rows, others))
        both = np.flatnonzero((known[at] == rows) & (known[to] == others))
        one, there = points[at[both]].astype(np.float32), points[to[both]]
        ways = [np.linalg.norm(one - other.astype(np.float32), axis=1) for other in (there, mirror(there))]
        apart[both] = np.minimum(*ways) * SCALE
        return apart


def read_numbers(index: Index, name: str) -> Floats:
    """A column of an index as float32 `[n]`, NaN where it is null."""
    found = index.table.column(name).cast(pa.float32(), safe=False)
    return found.to_numpy().astype(np.float32, copy=False)  # type: ignore[no-any-return]


def find_common_size(width: Floats, height: Floats) -> tuple[int, int, float]:
    """The width and height that most pictures have together, and their share; zeros where there is no picture.

    >>> find_common_size(np.float32([4, 4, 3]), np.float32([3, 3, 4]))[:2]
    (4, 3)
    """
    if not len(width):
        return 0, 0, 0.0
    # Sides are below 2**27 (one pixel high, they make 100 megapixels): both fit into one number.
    kinds, counts = np.unique(width.astype(np.int64) << 32 | height.astype(np.int64), return_counts=True)
    common = int(kinds[counts.argmax()])
    return common >> 32, common & (2**32 - 1), float(counts.max() / len(width))


def read_parts(index: Index) -> NDArray[np.int8]:
    """The part that the source itself puts each usable picture into, int8 `[n]`: its place in `PARTS`, -1 for none."""
    return np.where(index.table.column("error").is_null().to_numpy(), given_parts(index), -1).astype(np.int8)


def _most_frequent(groups: Rows, codes: NDArray[np.int32], members: Rows) -> Rows:
    """For each of `members` the class that most of its group have, of several the one that comes first there."""
    usual = np.full(len(groups), NONE, np.int64)
    if not len(members):
        return usual
    classes = int(codes.max()) + 1
    kinds, first, counts = np.unique(groups[members] * classes + codes[members], return_index=True, return_counts=True)
    order = np.lexsort((-first, counts))  # the most frequent, of equals the first, is written last
    best = np.full(int(groups.max()) + 1, NONE, np.int64)
    best[kinds[order] // classes] = kinds[order] % classes
    usual[members] = best[groups[members]]
    return usual
