"""The rows of a Hugging Face data set as a store of pictures: `train/0000123.jpg`, or `train/` and the file's own name.

The rows lie in Arrow files that are mapped into memory; a picture's bytes are copied when it is read, never decoded.
"""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from telltale.data.decoding import EXTENSIONS
from telltale.data.names import Names
from telltale.data.store import Entries, Entry, FolderStore, damaged, is_hidden, missing, most_bytes
from telltale.data.table import NAMES

WHOLE: Final = "rows"
"""The folder of a data set that is not divided into splits."""

_STEP: Final = 1000
_HEADS: Final = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
}
"""First bytes of a picture to its ending: a number alone would leave the reader, and `Check`s, without one."""


class RowStore:
    """The pictures of a data set's rows; `parts` are its splits by name.

    Paths are `SPLIT/NAME`, and `SPLIT/COLUMN/NAME` for another column than the first with pictures. The name is the
    file's own where every row of the split has a different one, else the number of the row. A picture that the data
    set names without holding its bytes is read only from below `folders`.
    """

    readers = 0

    def __init__(self, location: str, parts: Mapping[str, Any], folders: Sequence[Path]) -> None:
        self.location = location
        self.parts = dict(parts)
        self._folders = tuple(folders)
        self._names: dict[tuple[str, str], Names | None] = {}
        self._pictures: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def list(self) -> Entries:
        """The pictures in the first column that holds some, sorted by path."""
        paths = [path for part in self.parts for path in self.name_rows(part)]
        return [Entry(path, -1) for path in sorted(paths)]

    def read(self, path: str) -> bytes:
        """The bytes of one picture."""
        part, _, rest = path.partition("/")
        if part not in self.parts:
            raise missing(path)
        column, _, name = rest.rpartition("/")
        column = column or self.default(part)
        if column not in picture_columns(self.parts[part]):
            raise missing(path)
        row = self._find_row(part, column, name)
        if row < 0:
            raise missing(path)
        found = self._select(part, column)[row].column(column)[0].as_py()
        data = found.get("bytes") if isinstance(found, dict) else found
        if data is None:
            return self._read_file(path, str((found or {}).get("path") or ""))
        if len(data) > most_bytes(path):
            raise damaged(path, f"it has {len(data):,} bytes, more than {most_bytes(path):,}")
        return bytes(data)

    def default(self, part: str) -> str:
        """The column whose pictures are meant where none is named: a usual name first, then the first; else empty."""
        columns = picture_columns(self.parts[part])
        return next((name for name in NAMES["image"] if name in columns), columns[0] if columns else "")

    def name_rows(self, part: str, column: str = "") -> Sequence[str]:
        """The path of every row's picture, in the order of the rows."""
        column = column or self.default(part)
        if not column:
            return []
        folder = f"{part}/" if column == self.default(part) else f"{part}/{column}/"
        names = self._own_names(part, column)
        if names is not None:
            ordered = [""] * len(names)
            for name, row in zip(names.sorted(), names.order.tolist(), strict=True):
                ordered[row] = name
            return [folder + name for name in ordered]
        endings = (ending for piece in self._pieces(part, column) for ending in _endings(piece))
        return [f"{folder}{row:07d}{ending}" for row, ending in enumerate(endings)]

    def _find_row(self, part: str, column: str, name: str) -> int:
        names = self._own_names(part, column)
        if names is not None:
            return names.find(name)
        number = re.fullmatch(r"(\d{7,})\.\w+", name)
        return int(number[1]) if number and int(number[1]) < len(self.parts[part]) else -1

    def _own_names(self, part: str, column: str) -> Names | None:
        """The files' own names where they can be told apart by them."""
        with self._lock:
            if (part, column) not in self._names:
                self._names[part, column] = self._collect_names(part, column)
            return self._names[part, column]

    def _collect_names(self, part: str, column: str) -> Names | None:
        names = []
        for piece in self._pieces(part, column):
            found = _child(piece, "path")
            if found is None or found.null_count:
                return None
            names += [re.split(r"[/\\]", name)[-1] for name in found.to_pylist()]
            if not all(os.path.splitext(name)[1].lower() in EXTENSIONS for name in names[-len(piece) :]):
                return None
        plain = len(set(names)) == len(names) and not any(is_hidden(name) or "\0" in name for name in names)
        return Names(names) if plain else None

    def _pieces(self, part: str, column: str) -> Iterator[Any]:
        """The column in slices, which are views of the memory map."""
        rows = self._select(part, column)
        for start in range(0, len(rows), _STEP):
            yield rows[start : start + _STEP].column(column).combine_chunks()

    def _select(self, part: str, column: str) -> Any:
        if (part, column) not in self._pictures:
            self._pictures[part, column] = self.parts[part].select_columns([column]).with_format("arrow")
        return self._pictures[part, column]

    def _read_file(self, path: str, place: str) -> bytes:
        """A picture that lies beside the rows. A data set may come from anywhere: it may not name any file of yours."""
        for folder in self._folders:
            root = os.path.realpath(folder)
            real = os.path.realpath(os.path.join(root, place))
            if place and real.startswith(root + os.sep):
                return FolderStore(Path(root)).read(os.path.relpath(real, root))
        raise damaged(path, "the data set neither holds its bytes nor has the file below its own folder")


def picture_columns(rows: Any) -> list[str]:
    """The columns of a data set that hold pictures: bytes, or bytes with a path."""
    schema: pa.Schema = rows.data.schema
    return [field.name for field in schema if _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _child(column: Any, name: str) -> Any:
    """The `bytes` or `path` of a column of pictures; None where it has no such part."""
    if not pa.types.is_struct(column.type):
        return column if name == "bytes" else None
    return pc.struct_field(column, name) if column.type.get_field_index(name) >= 0 else None


def _endings(piece: Any) -> list[str]:
    heads = pc.binary_slice(_child(piece, "bytes"), 0, 4).to_pylist()
    paths = _child(piece, "path")
    named = paths.to_pylist() if paths is not None else [None] * len(heads)
    return [_ending(head or b"", name or "") for head, name in zip(heads, named, strict=True)]


def _ending(head: bytes, name: str) -> str:
    """The ending that the file's own name has, else what its first bytes say."""
    own = os.path.splitext(name)[1].lower()
    return own if own in EXTENSIONS else next((end for start, end in _HEADS.items() if head.startswith(start)), ".jpg")
