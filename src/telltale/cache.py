"""Rows kept by the SHA-256 of a picture's bytes, in Arrow files that are only ever added.

What was computed from a picture (its size, its features) is found again by content: under another name, in another
folder, or when 100 pictures are added to a million. Safe with two processes (files appear whole, under names of their
own) and safe to delete. Read through memory maps, so that memory stays flat.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.arrow import UNREADABLE, read_arrow, write_arrow
from telltale.files import make_folder

DIGEST_BYTES = 32

_ROWS: Final = 4_096


class DigestCache:
    """The rows of one folder; `schema` names the columns after `digest`, `files` the Arrow files that hold them.

    `find`, `take` and `gather` see what was there when the object was made and what it added itself.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder = make_folder(folder)
        self.schema = pa.schema([pa.field("digest", pa.binary(DIGEST_BYTES)), *schema])
        self.files: list[Path] = []
        self._tables: list[pa.Table] = []
        self._values: dict[tuple[str, int], NDArray[Any]] = {}
        for path in sorted(self.folder.glob("*.arrow")):
            table = _open(path)
            if table is not None and table.schema.equals(self.schema) and table.num_rows:
                self.files.append(path)
                self._tables.append(table)
        self._sort()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Row of each digest (uint8 `[n, 32]`); -1 where there is none."""
        if not len(self) or not len(digests):
            return np.full(len(digests), -1, np.int64)
        keys = _key(digests)
        place = np.minimum(np.searchsorted(self._sorted, keys), len(self) - 1)
        rows = self._order[place]
        same = (self._digests[rows] == digests).all(axis=1)
        return np.where(same, rows, -1)

    def find_one(self, digest: bytes) -> int:
        """Row of one digest, -1 where there is none."""
        return int(self.find(np.frombuffer(digest, np.uint8)[None])[0])

    def take(self, rows: NDArray[np.int64], columns: Sequence[str] = ()) -> pa.Table:
        """The rows with these numbers, in this order; only some `columns` where they are named."""
        whole = pa.concat_tables(self._tables or [self.schema.empty_table()])
        return whole.select(list(columns or self.schema.names)).take(pa.array(rows))

    def gather(self, column: str, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Copy a column into `out` `[len(rows), width]`, straight from the memory maps; safe in several threads.

        The column holds fixed-size lists of float32, or bytes of a fixed size, which `out` takes as uint8. Where a
        row is -1, `out` stays as it is.
        """
        holders = self.locate(rows)
        for number in np.unique(holders[rows >= 0]).tolist():
            mine, matrix = np.flatnonzero(holders == number), self._matrix(column, number)
            for start in range(0, len(mine), _ROWS):  # so that no second copy of all lies in memory
                part = mine[start : start + _ROWS]
                out[part] = matrix[rows[part] - self._starts[number]]

    def locate(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Place in `files` of the file that holds each row; -1 for row -1."""
        return np.searchsorted(self._starts, rows, side="right") - 1

    def add(self, table: pa.Table) -> None:
        """Add rows; they are durable when this returns, and `find` knows them."""
        path = self.write(table)
        if path is not None:
            self.files.append(path)
            self._tables.append(_open(path) or table.cast(self.schema))
            self._sort()

    def write(self, table: pa.Table) -> Path | None:
        """Add rows for objects that are made later; safe while other threads use this one."""
        if not table.num_rows:
            return None
        return write_arrow(self.folder / f"{secrets.token_hex(8)}.arrow", table.cast(self.schema))

    def _matrix(self, column: str, number: int) -> NDArray[Any]:
        """The values of one file as `[rows, width]`, mapped; kept, because Arrow takes 9 us to say where they are."""
        key = (column, number)
        if key not in self._values:
            self._values[key] = _matrix(self._tables[number].column(column))
        return self._values[key]

    def _sort(self) -> None:
        self._starts = np.concatenate([[0], np.cumsum([table.num_rows for table in self._tables])]).astype(np.int64)
        digests = [digest_matrix(table.column("digest")) for table in self._tables]
        self._digests = np.concatenate(digests) if digests else np.zeros((0, DIGEST_BYTES), np.uint8)
        keys = _key(self._digests)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]


def digest_matrix(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """A binary(32) column as uint8 `[n, 32]`."""
    return _bytes_of(column, DIGEST_BYTES)


def _bytes_of(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """A column of bytes of a fixed size as uint8 `[n, width]`; no copy where it is in one piece."""
    parts = [np.zeros((0, width), np.uint8)]
    for chunk in column.chunks:
        data = np.frombuffer(chunk.buffers()[1] or b"", np.uint8)
        start = chunk.offset * width
        parts.append(data[start : start + len(chunk) * width].reshape(-1, width))
    return parts[1] if len(parts) == 2 else np.concatenate(parts)


def _matrix(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_fixed_size_binary(column.type):
        return _bytes_of(column, column.type.byte_width)
    width = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, width) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _key(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()


def _open(path: Path) -> pa.Table | None:
    """The table in a file; None for one that another process has just deleted, or that a disk has damaged."""
    try:
        return read_arrow(path)[0]
    except UNREADABLE:
        return None
