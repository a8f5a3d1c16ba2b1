"""`scan` looks at every picture once and makes an `Index`: an immutable Arrow table of samples.

One pass on all cores: read, hash, decode, hash the pixels. What was seen is kept by content, so that a picture is
decoded once, whatever its name. A picture that cannot be used stays in the table with its reason.
"""

import contextlib
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.arrow import UNREADABLE, read_arrow, write_arrow
from telltale.cache import DIGEST_BYTES, DigestCache
from telltale.data.archive import Store, open_store
from telltale.data.decoding import decode
from telltale.data.download import is_url
from telltale.data.facts import FACTS, examine, open_facts, tabulate
from telltale.data.hub import is_hub
from telltale.data.markup import lay_out, lay_table, paragraph
from telltale.data.source import Columns, Source, open_source
from telltale.device import workers
from telltale.errors import BundleError, ImageError
from telltale.files import sha256
from telltale.progress import Advance, Tell, silent
from telltale.threads import map_in_order, pieces

FORMAT_VERSION: Final = 2

_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("path", "label", "split", "group")),
        ("bytes", pa.int64()),
        ("digest", pa.binary(DIGEST_BYTES)),
        *FACTS,
    ]
)
_KEEP_EVERY: Final = 20_000
"""Pictures whose facts may be lost when the machine dies: 20 s of work on 2 cores."""

_PACK_EVERY: Final = 512
"""Pictures whose facts are Python's objects, 2.5 kB each, before they become a table."""

_CHUNK: Final = 16
"""Pictures per piece of work: enough to fill a few batches of a network, few enough to share the last ones fairly."""

_SHOWN_CLASSES: Final = 10
"""Classes that a notebook shows of an index."""

_NO_DIGEST: Final = bytes(DIGEST_BYTES)
"""Of a file that could not be read."""


class Watcher(Protocol):
    """Someone who wants the pictures while they are decoded anyway: one pass over the pixels feeds all."""

    def wants(self, digest: bytes) -> bool:
        """Is this picture (SHA-256 of its bytes) still to be seen?"""

    def reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What is to be kept of it, in the worker's thread; the large picture is dropped."""

    def receive(self, digests: Sequence[bytes], reduced: Sequence[NDArray[np.uint8]]) -> None:
        """A piece of work's pictures, in the worker's thread."""


@dataclass(frozen=True)
class Index:
    """An immutable table of samples, with class names in alphanumeric order.

    `table` has one row per sample: path, label, split, group, bytes, digest (SHA-256 of the bytes) and the columns of
    `FACTS`: width, height, format, mode, orientation, frames, JPEG quality, exif, pixels (XXH3-128 of the upright RGB
    pixels), what `Measures` has, error and detail (null where the picture is fine). `location` is the folder or
    archive that the paths are relative to.
    """

    table: pa.Table
    classes: tuple[str, ...]
    location: str
    name: str
    layout: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def store(self) -> Store:
        """Where the pictures are read from."""
        try:
            facts = os.stat(self.location)
        except OSError:
            return _open_store(self.location, 0, 0)
        return _open_store(self.location, facts.st_size, facts.st_mtime_ns)

    @cached_property
    def paths(self) -> list[str]:
        """Path of every sample, relative to `location`."""
        return self.table.column("path").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """Number of each sample's class in `classes`; -1 where it has none of them."""
        found = pc.index_in(self.table.column("label"), value_set=pa.array(self.classes, pa.string()))
        return found.fill_null(-1).to_numpy().astype(np.int32)  # type: ignore[no-any-return]

    @cached_property
    def readable(self) -> "Index":
        """The samples whose picture can be used."""
        return self.take(np.flatnonzero(self.table.column("error").is_null().to_numpy()))

    @cached_property
    def quarantined(self) -> "Index":
        """The samples whose picture cannot be used."""
        return self.take(np.flatnonzero(self.table.column("error").is_valid().to_numpy()))

    @property
    def counts(self) -> dict[str, int]:
        """Samples per class."""
        numbers = np.bincount(self.codes[self.codes >= 0], minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class, and the share of usable pictures that always naming it would get right."""
        counts = self.readable.counts
        if not sum(counts.values()):
            return "", 0.0
        name = max(counts, key=lambda one: counts[one])
        return name, counts[name] / sum(counts.values())

    def take(self, rows: NDArray[Any]) -> "Index":
        """The samples with these row numbers, in this order."""
        return Index(
            self.table.take(pa.array(rows, pa.int64())), self.classes, self.location, self.name, self.layout, self.notes
        )

    def save(self, path: Path) -> Path:
        """Write as an Arrow file."""
        facts = {"format_version": FORMAT_VERSION, "location": self.location, "name": self.name, "layout": self.layout}
        metadata = {name: str(value) for name, value in facts.items()}
        for name, values in (("class", self.classes), ("note", self.notes)):
            metadata |= {f"{name}:{number}": value for number, value in enumerate(values)}
        return write_arrow(path, self.table.replace_schema_metadata(metadata))

    @classmethod
    def load(cls, path: Path) -> "Index":
        """Read what `save` wrote, as a memory map; `BundleError` where it is something else."""
        try:
            table, texts = read_arrow(path)
        except UNREADABLE as error:
            raise BundleError(
                f"The index {str(path)!r} cannot be read ({error}).",
                expected="An index.arrow that Telltale wrote.",
                do="Check the path, or scan the data again.",
            ) from error
        right = table.schema.equals(_SCHEMA) and {"location", "name", "layout"} <= texts.keys()
        if not right or texts.get("format_version") != str(FORMAT_VERSION):
            raise BundleError(
                f"The index {str(path)!r} has format version {texts.get('format_version')!r}.",
                expected=f"Version {FORMAT_VERSION}.",
                do="Scan the data again with this version of Telltale.",
            )
        listed = {
            kind: [texts[f"{kind}:{n}"] for n in range(len(texts)) if f"{kind}:{n}" in texts]
            for kind in ("class", "note")
        }
        return cls(
            table, tuple(listed["class"]), texts["location"], texts["name"], texts["layout"], tuple(listed["note"])
        )

    def __str__(self) -> str:
        name, share = self.majority
        lines = [f"{len(self):,} pictures of {len(self.classes)} classes in {self.location} ({self.layout})"]
        lines += [f"  {count:>9,}  {label}" for label, count in self.counts.items()]
        lines.append(f"Always saying {name!r} would be right for {share:.1%}.")
        if len(self.quarantined):
            lines.append(f"{len(self.quarantined):,} cannot be used: {describe_reasons(self.quarantined)}.")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks: the most frequent classes, and what cannot be used."""
        counts = sorted(self.counts.items(), key=lambda one: -one[1])
        rest = len(counts) - _SHOWN_CLASSES
        unusable = f"{len(self.quarantined):,} cannot be used: {describe_reasons(self.quarantined)}."
        name, share = self.majority
        return lay_out(
            f"{len(self):,} pictures of {len(self.classes):,} classes",
            paragraph(f"{self.location} ({self.layout})"),
            lay_table([[label, f"{count:,}"] for label, count in counts[:_SHOWN_CLASSES]], ["class", "pictures"]),
            paragraph(f"{rest:,} more classes with fewer pictures." if rest > 0 else ""),
            paragraph(f"Always saying {name!r} would be right for {share:.1%}." if name else ""),
            paragraph(unusable if len(self.quarantined) else ""),
        )


@lru_cache(maxsize=8)
def _open_store(location: str, size: int, changed: int) -> Store:
    """One store for the parts of an index: the list of an archive's members is read once (0.04 s for 2,500)."""
    return open_store(location)


def absolute(location: str) -> str:
    """The location as it can be opened again from any folder: a path or pattern made absolute, a URL as it is."""
    return location if is_url(location) or is_hub(location) else os.path.abspath(location)


def describe_reasons(quarantined: Index) -> str:
    """`3 truncated, 1 empty`: how many pictures were set aside for each reason.

    Most frequent first.
    """
    counts = pc.value_counts(quarantined.table.column("error")).to_pylist()
    counts.sort(key=lambda one: (-one["counts"], one["values"]))
    return ", ".join(f"{one['counts']:,} {one['values']}" for one in counts)


def identical_pictures(index: Index) -> list[list[str]]:
    """Groups of paths that show the same pixels, whatever their bytes; largest group first."""
    table = index.readable.table.select(["pixels", "path"])
    groups = table.group_by("pixels").aggregate([("path", "list"), ("path", "count")])
    several = groups.filter(pc.greater(groups.column("path_count"), 1)).column("path_list").to_pylist()
    return sorted((sorted(paths) for paths in several), key=lambda paths: (-len(paths), paths))


def scan(
    source: Source | str | Path,
    columns: Columns | None = None,
    *,
    watcher: Watcher | None = None,
    threads: int = 0,
    tell: Tell = silent,
) -> Index:
    """An `Index` of all samples in `source`: a folder, a table, an archive, a URL of these, or an opened `Source`.

    Every picture is read and hashed; one that was never seen before is decoded too, which finds out whether it can be
    used. `watcher` receives the pixels in the same pass. `threads` 0 means as many as this machine can use.
    """
    if not isinstance(source, Source):
        source = open_source(source, columns or Columns(), tell=tell)
    facts = open_facts()
    paths = source.samples.column("path").combine_chunks()

    def look(rows: range) -> _Piece:
        return _look(paths[rows.start : rows.stop].to_pylist(), source.store, facts, watcher)

    seen = _Seen(facts)
    try:
        readers = threads or max(workers(), source.store.readers)
        for piece in map_in_order(look, pieces(len(paths), _CHUNK), threads=readers):
            seen.add(piece)
            tell(Advance("look at the pictures", len(seen), len(paths)))
    finally:
        seen.keep()
    table = source.samples.select(["path", "label", "split", "group"])
    for name, values in seen.columns().items():
        table = table.append_column(name, values)
    return Index(
        table.select(_SCHEMA.names).cast(_SCHEMA),
        source.classes,
        absolute(source.store.location),
        source.name,
        source.layout,
        source.notes,
    )


@dataclass
class _Piece:
    """What was seen at a few paths: size and digest of each, the row of its facts in the cache (-1: they are new)."""

    sizes: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    new: list[dict[str, Any]] = field(default_factory=list)
    """Facts of the pictures with row -1, in order."""

    def add(self, size: int, digest: bytes, row: int, facts: dict[str, Any] | None) -> None:
        self.sizes.append(size)
        self.digests.append(digest)
        self.rows.append(row)
        if facts is not None:
            self.new.append(facts)


class _Seen:
    """All pieces in order, as columns: a picture takes 300 bytes here, as Python's objects it would take 3,000."""

    def __init__(self, facts: DigestCache) -> None:
        self._facts = facts
        self._sizes, self._rows, self._digests = array("q"), array("q"), bytearray()
        self._new: list[pa.Table] = []
        self._rows_waiting: list[dict[str, Any]] = []
        self._tables_waiting: list[pa.Table] = []
        self._digests_waiting: list[bytes] = []

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, piece: _Piece) -> None:
        """Take the next piece; every 20,000 new pictures their facts are written to the cache."""
        self._sizes.extend(piece.sizes)
        self._rows.extend(piece.rows)
        self._digests += b"".join(piece.digests)
        self._rows_waiting += piece.new
        self._digests_waiting += [digest for digest, row in zip(piece.digests, piece.rows, strict=True) if row < 0]
        if len(self._rows_waiting) >= _PACK_EVERY:
            self._pack()
        if len(self._digests_waiting) >= _KEEP_EVERY:
            self.keep()

    def _pack(self) -> None:
        self._tables_waiting.append(tabulate(self._rows_waiting))
        self._rows_waiting = []

    def keep(self) -> None:
        """Write what is new to the cache; of files that were not read there is nothing to keep."""
        self._pack()
        table = pa.concat_tables(self._tables_waiting)
        digests = pa.array(self._digests_waiting, pa.binary(DIGEST_BYTES))
        read = pa.array([any(digest) for digest in self._digests_waiting], pa.bool_())
        self._tables_waiting, self._digests_waiting = [], []
        self._new.append(table.select(FACTS.names).combine_chunks())
        self._facts.write(table.add_column(0, pa.field("digest", digests.type), digests).filter(read))

    def columns(self) -> dict[str, Any]:
        """Size, digest and facts of every picture, in order."""
        rows = np.array(self._rows, np.int64)
        old, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        both = pa.concat_tables([self._facts.take(rows[old], FACTS.names), *self._new])
        order = np.empty(len(rows), np.int64)
        order[np.concatenate([old, new])] = np.arange(len(rows))
        found = both.take(pa.array(order))
        buffers = [None, pa.py_buffer(bytes(self._digests))]
        columns = {
            "bytes": pa.array(np.array(self._sizes, np.int64)),
            "digest": pa.Array.from_buffers(pa.binary(DIGEST_BYTES), len(rows), buffers),
        }
        return columns | {name: found.column(name) for name in FACTS.names}


def _look(paths: list[str], store: Store, facts: DigestCache, watcher: Watcher | None) -> _Piece:
    """What was seen at each path; pictures that are wanted go to the watcher."""
    piece = _Piece()
    digests: list[bytes] = []
    reduced: list[NDArray[np.uint8]] = []
    for path in paths:
        try:
            data = store.read(path)
        except FileNotFoundError:
            piece.add(0, _NO_DIGEST, -1, {"error": "missing", "detail": "There is no such file."})
            continue
        except OSError as error:
            why = f"It could not be read ({error.strerror or error})."
            piece.add(0, _NO_DIGEST, -1, {"error": "unreadable", "detail": why})
            continue
        digest = sha256(data)
        row = facts.find_one(digest)
        wanted = watcher is not None and watcher.wants(digest)
        new, picture = None, None
        if row < 0:
            picture, new = examine(data)
        elif wanted:
            with contextlib.suppress(ImageError):  # as its facts say
                picture = decode(data)
        if wanted and watcher is not None and picture is not None:
            digests.append(digest)
            reduced.append(watcher.reduce(picture.pixels))
        piece.add(len(data), digest, row, new)
    if watcher is not None and digests:
        watcher.receive(digests, reduced)
    return piece
