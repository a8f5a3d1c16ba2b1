"""`Names`: many names in little memory, found by binary search."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Names:
    """Different names, each with its place in the sequence that was given.

    One Arrow column and one number per name: 36 bytes for `n01440764_10026.jpg`, where a dict takes 129 (measured on
    a million). To find one among a million takes 20 µs, little beside reading a picture.

    >>> names = Names(["b.jpg", "a.jpg"])
    >>> names.find("b.jpg"), names.find("c.jpg"), names.sorted()
    (0, -1, ['a.jpg', 'b.jpg'])
    """

    def __init__(self, names: Sequence[str]) -> None:
        column = pa.array(names, pa.large_string())
        self.order = pc.sort_indices(column).to_numpy().astype(np.int64)
        """Place of each name, in the order of the sorted names (by code point, as Python sorts)."""
        self._sorted = column.take(pa.array(self.order))
        _, offsets, letters = self._sorted.buffers()
        self._offsets = memoryview(offsets).cast("q")
        self._letters = memoryview(letters or b"")

    def __len__(self) -> int:
        return len(self._sorted)

    def find(self, name: str) -> int:
        """Place of a name, -1 where it is not among them."""
        wanted = name.encode(errors="surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._encoded(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return int(self.order[low]) if low < len(self) and self._encoded(low) == wanted else -1

    def sorted(self) -> list[str]:
        """All names, sorted."""
        return self._sorted.to_pylist()  # type: ignore[no-any-return]

    def _encoded(self, at: int) -> bytes:
        # Straight from the column's bytes: a scalar of Arrow's takes 3 µs, of which a search needs twenty.
        return bytes(self._letters[self._offsets[at] : self._offsets[at + 1]])
