"""`scan` looks at every picture once and makes an `Index`: an immutable Arrow table of samples.

One pass on all cores: read, hash, decode, hash the pixels. What was seen is kept by content, so that a picture is
decoded once, whatever its name. A picture that cannot be used stays in the table with its reason.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from telltale.arrow import UNREADABLE, read_arrow, write_arrow
from telltale.cache import DIGEST_BYTES, DigestCache
from telltale.data.archive import Store, open_store
from telltale.data.decoding import VERSION as DECODER, Picture, decode
from telltale.data.source import Columns, Source, open_source
from telltale.device import workers
from telltale.errors import BundleError, ImageError
from telltale.files import cache_folder, sha256
from telltale.progress import Advance, Tell, silent
from telltale.threads import map_in_order, pieces

FORMAT_VERSION: Final = 1

_FACTS: Final = pa.schema(
    [
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("orientation", pa.int8()),
        ("frames", pa.int32()),
        ("pixels", pa.binary(16)),
        ("error", pa.string()),
        ("detail", pa.string()),
    ]
)
_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("path", "label", "split", "group")),
        ("bytes", pa.int64()),
        ("digest", pa.binary(DIGEST_BYTES)),
        *_FACTS,
    ]
)
_KEEP_EVERY: Final = 20_000
"""Pictures whose facts may be lost when the machine dies: 20 s of work on 2 cores."""

Seen: TypeAlias = tuple[int, bytes, int, tuple[Any, ...] | None]
"""Of one picture: size in bytes, digest, row of its facts in the cache (-1: none), and its facts where they are new."""

_CHUNK: Final = 16
"""Pictures per piece of work: enough to fill a few batches of a network, few enough to share the last ones fairly."""


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

    `table` has one row per sample: path, label, split, group, bytes, digest (SHA-256 of the bytes), width, height,
    format, mode, orientation, frames, pixels (XXH3-128 of the upright RGB pixels), error and detail (null where the
    picture is fine). `location` is the folder or archive that the paths are relative to.
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
            facts = Path(self.location).stat()
        except OSError:
            return open_store(Path(self.location))
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
        """The most frequent class, and the share of pictures that always naming it would get right."""
        counts = self.counts
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


@lru_cache(maxsize=8)
def _open_store(location: str, size: int, changed: int) -> Store:
    """One store for the parts of an index: the list of an archive's members is read once (0.04 s for 2,500)."""
    return open_store(Path(location))


def facts_folder() -> Path:
    """Where it is kept what this version of the decoder found in pictures."""
    return cache_folder(f"facts/{sha256(DECODER.encode()).hex()[:16]}")


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
    facts = DigestCache(facts_folder(), _FACTS)
    paths = source.samples.column("path").to_pylist()

    def look(rows: range) -> list[Seen]:
        return _look([paths[row] for row in rows], source.store, facts, watcher)

    seen: list[Seen] = []
    kept = 0
    try:
        for found in map_in_order(look, pieces(len(paths), _CHUNK), threads=threads or workers()):
            seen += found
            tell(Advance("look at the pictures", len(seen), len(paths)))
            if len(seen) - kept >= _KEEP_EVERY:
                kept = _keep(seen, kept, facts)
    finally:
        _keep(seen, kept, facts)
    described = _describe(seen, facts)
    columns_found = {"bytes": pa.array([size for size, _, _, _ in seen], pa.int64())}
    table = source.samples.select(["path", "label", "split", "group"])
    for name, values in (columns_found | {one: described.column(one) for one in described.column_names}).items():
        table = table.append_column(name, values)
    return Index(
        table.select(_SCHEMA.names).cast(_SCHEMA),
        source.classes,
        os.path.abspath(source.store.location),
        source.name,
        source.layout,
        source.notes,
    )


def _look(paths: list[str], store: Store, facts: DigestCache, watcher: Watcher | None) -> list[Seen]:
    """What was seen at each path; pictures that are wanted go to the watcher."""
    found: list[Seen] = []
    digests: list[bytes] = []
    reduced: list[NDArray[np.uint8]] = []
    for path in paths:
        try:
            data = store.read(path)
        except FileNotFoundError:
            found.append((0, bytes(DIGEST_BYTES), -1, _failed("missing", "There is no such file.")))
            continue
        except OSError as error:
            found.append(
                (0, bytes(DIGEST_BYTES), -1, _failed("unreadable", f"It could not be read ({error.strerror})."))
            )
            continue
        digest = sha256(data)
        row = facts.find_one(digest)
        wanted = watcher is not None and watcher.wants(digest)
        new = None
        if row < 0 or wanted:
            picture, new = _examine(data)
            if wanted and watcher is not None and picture is not None:
                digests.append(digest)
                reduced.append(watcher.reduce(picture.pixels))
        found.append((len(data), digest, row, new if row < 0 else None))
    if watcher is not None and digests:
        watcher.receive(digests, reduced)
    return found


def _examine(data: bytes) -> tuple[Picture | None, tuple[Any, ...]]:
    """The picture, and its row of `_FACTS`."""
    try:
        picture = decode(data)
    except ImageError as error:
        return None, _failed(error.reason, error.detail)
    pixels = xxhash.xxh3_128(np.array(picture.pixels.shape, np.int64).tobytes())
    pixels.update(picture.pixels.data)
    facts = (picture.width, picture.height, picture.format, picture.mode, picture.orientation, picture.frames)
    return picture, (*facts, pixels.digest(), None, None)


def _failed(reason: str, detail: str) -> tuple[Any, ...]:
    return (None, None, None, None, None, None, None, reason, detail)


def _keep(seen: list[Seen], start: int, facts: DigestCache) -> int:
    """Write what is new of the pictures from `start` on; files that were not read have nothing to keep."""
    new = [(digest, found) for _, digest, _, found in seen[start:] if found is not None and any(digest)]
    digests = pa.array([digest for digest, _ in new], pa.binary(DIGEST_BYTES))
    facts.write(_tabulate([found for _, found in new]).add_column(0, pa.field("digest", digests.type), digests))
    return len(seen)


def _describe(seen: list[Seen], facts: DigestCache) -> pa.Table:
    """Digest and facts of every picture, in order."""
    known = np.array([row for _, _, row, _ in seen], np.int64)
    old, new = np.flatnonzero(known >= 0), np.flatnonzero(known < 0)
    both = pa.concat_tables([facts.take(known[old]).select(_FACTS.names), _tabulate([seen[row][3] for row in new])])
    order = np.empty(len(seen), np.int64)
    order[np.concatenate([old, new])] = np.arange(len(seen))
    digests = pa.array([digest for _, digest, _, _ in seen], pa.binary(DIGEST_BYTES))
    return both.take(pa.array(order)).add_column(0, "digest", digests)


def _tabulate(facts: list[tuple[Any, ...] | None]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(_FACTS.names, one or (), strict=True)) for one in facts], schema=_FACTS)
