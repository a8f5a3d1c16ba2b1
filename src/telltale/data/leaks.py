"""`find_leaks`: which pictures of validation and test are copies of pictures that are learned from, and of which."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.data.duplicates import Duplicates
from telltale.data.groups import first_with

LEAKS: Final = pa.schema([("row", pa.int64()), ("other", pa.int64()), ("kind", pa.string())])
"""A picture of validation or test, the one that it is a copy of in an earlier part, and how they are the same."""

PIXELS: Final = "same pixels"
LOOKS: Final = "looks the same"
GROUP: Final = "same group"

Rows = NDArray[np.int64]


def find_leaks(parts: NDArray[np.int8], units: Rows, duplicates: Duplicates) -> pa.Table:
    """One row of `LEAKS` for each sample whose unit also has samples in an earlier part, by part and row.

    `parts` int8 `[n]` is 0 for training, 1 for validation, 2 for test, -1 for none. Of several partners the one with
    the same pixels counts, then the closest one that looks the same, then any one of the unit. A test picture that is
    in training and in validation is a copy of the one in training.
    """
    found: list[tuple[int, int, str]] = []
    for part in (1, 2):
        open_ = np.isin(units, np.unique(units[(parts >= 0) & (parts < part)])) & (parts == part)
        partner = np.full(len(parts), -1, np.int64)
        kinds = np.full(len(parts), 3, np.int8)
        for earlier in range(part):
            for kind, candidates in enumerate(_partners(parts, earlier, units, duplicates)):
                new = open_ & (partner < 0) & (candidates >= 0)
                partner[new], kinds[new] = candidates[new], kind
        names = (PIXELS, LOOKS, LOOKS, GROUP)
        found += [(row, int(partner[row]), names[kinds[row]]) for row in np.flatnonzero(open_).tolist()]
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    return pa.table([pa.array(values, one.type) for values, one in zip(columns, LEAKS, strict=True)], schema=LEAKS)


def _partners(parts: NDArray[np.int8], earlier: int, units: Rows, duplicates: Duplicates) -> Iterator[Rows]:
    """For every row a partner in part `earlier`, -1 where there is none: by pixels, by pair, by looks, by unit."""
    there = parts == earlier
    yield first_with(duplicates.exact, there)
    yield _closest(duplicates, there)
    yield first_with(duplicates.near, there)
    yield first_with(units, there)


def _closest(duplicates: Duplicates, there: NDArray[np.bool_]) -> Rows:
    """For every row the closest of those `there` that it forms a pair with; -1 where there is none."""
    pairs = duplicates.pairs
    one, other = np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left])
    distance = np.concatenate([pairs.distance, pairs.distance])
    order = np.argsort(-distance, kind="stable")
    order = order[there[other[order]]]
    found = np.full(len(there), -1, np.int64)
    found[one[order]] = other[order]  # the closest one is written last
    return found
