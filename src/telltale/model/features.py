"""Features of pictures by a frozen backbone: computed once, ever, and kept by the picture's content.

`FeatureStream` takes pictures as they are decoded (a `Watcher` of `scan`), runs them through the backbone and keeps
the features. `features` gives the matrix for an `Index`: from the cache, and for what is missing from the files.
"""

import hashlib
import json
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.batches.preprocess import VERSION as RESIZER, Preprocess
from telltale.cache import DIGEST_BYTES, DigestCache, digest_matrix
from telltale.data.decoding import VERSION as DECODER, decode
from telltale.data.index import Index
from telltale.device import workers
from telltale.errors import DataError, ImageError, OutputError
from telltale.files import cache_folder, sha256
from telltale.model.backbone import USUAL_SIZE, Backbone, PendingBackbone
from telltale.model.engine import Engine, best_precision, open_engine
from telltale.progress import Advance, Tell, silent
from telltale.threads import map_in_order, pieces

_PARKED_BYTES: Final = 256 * 2**20
"""Prepared pictures that may wait in memory for a network that is still being converted: 1,780 at 224 x 224."""

_FLUSH_BYTES: Final = 32 * 2**20
"""Features that are gathered before they are written to the cache."""

_IN_MEMORY_BYTES: Final = 2**30
"""A larger matrix of features lies in a temporary file, mapped into memory."""

_CHUNK: Final = 16


@dataclass(frozen=True)
class Extractor:
    """A backbone with everything that decides its features: preprocessing, device, precision.

    `precision` is `auto`, `f32` or `bf16`; `auto` means what this machine is fastest with.
    """

    backbone: Backbone
    preprocess: Preprocess
    precision: str = "auto"
    device: str = "cpu"
    _open: list[Engine] = field(default_factory=list, repr=False, compare=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def arithmetic(self) -> str:
        """`f32` or `bf16`: `precision` with `auto` resolved."""
        return best_precision(self.backbone, self.device) if self.precision == "auto" else self.precision

    @property
    def engine(self) -> Engine:
        """The loaded network; loaded on first use, so that cached features need no engine at all."""
        with self._turn:
            if not self._open:
                self._open.append(open_engine(self.backbone, device=self.device, precision=self.arithmetic))
            return self._open[0]

    def cache(self, variant: str = "") -> DigestCache:
        """The features kept so far, for exactly this extractor; `variant` names those of changed pictures."""
        runner = "openvino" if self.device == "cpu" and self.backbone.converted else "torch"
        facts = [
            self.backbone.weights_hash,
            self.backbone.architecture.to_dict(),
            self.preprocess.to_dict(),
            self.arithmetic,
            [self.device, runner, version(runner)],
            [DECODER, RESIZER],
            *([variant] if variant else []),
        ]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        schema = pa.schema([("features", pa.list_(pa.float32(), self.backbone.dimension))])
        return DigestCache(cache_folder(f"features/{self.backbone.architecture.name.replace('/', '_')}-{key}"), schema)


class FeatureStream:
    """Pictures in, features into the cache; safe to feed from several threads. End it with `finish`.

    While the backbone is still being converted, prepared pictures wait in memory up to a limit; beyond it the threads
    that feed it wait, so memory stays bounded.
    """

    def __init__(self, pending: PendingBackbone, *, size: int, resize: str, precision: str, device: str) -> None:
        self._pending = pending
        self._precision, self._device = precision, device
        # Most networks are made for 224. If this one is not, what was prepared is dropped and `features` reads again.
        self._guess = Preprocess(size or USUAL_SIZE, resize)
        self._turn = threading.Lock()
        self._parked: list[tuple[list[bytes], list[NDArray[np.uint8]]]] = []
        self._parked_bytes = 0
        self._sink: _Sink | None = None
        if pending.ready():
            self._open()

    def wants(self, digest: bytes) -> bool:
        """Is this picture's feature still to be computed?"""
        return self._sink is None or self._sink.cache.find_one(digest) < 0

    def reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The square that the network sees."""
        return self._guess.apply(pixels)

    def receive(self, digests: Sequence[bytes], reduced: Sequence[NDArray[np.uint8]]) -> None:
        """Run prepared pictures through the network, or keep them until it is there."""
        if not self._pending.ready() and self._park(digests, reduced):
            return
        self._open().take(digests, reduced)
        while self._parked:
            self._unpark()

    def flush(self) -> None:
        """Write the features that are there to the cache; what waits for the network is dropped."""
        if self._sink is not None:
            self._sink.flush()

    def finish(self) -> Extractor:
        """Compute what still waits, write everything to the cache, and give the extractor that did it."""
        sink = self._open()
        waiting = len(self._parked)
        for _ in map_in_order(lambda _: self._unpark(), range(waiting), threads=workers()):
            pass
        sink.flush()
        return sink.extractor

    def _park(self, digests: Sequence[bytes], reduced: Sequence[NDArray[np.uint8]]) -> bool:
        size = sum(picture.nbytes for picture in reduced)
        with self._turn:
            if self._parked_bytes + size > _PARKED_BYTES:
                return False
            self._parked_bytes += size
            self._parked.append((list(digests), list(reduced)))
        return True

    def _unpark(self) -> None:
        with self._turn:
            if not self._parked:
                return
            digests, reduced = self._parked.pop()
        self._open().take(digests, reduced)

    def _open(self) -> "_Sink":
        with self._turn:
            if self._sink is None:
                backbone = self._pending.result()
                preprocess = Preprocess(backbone.architecture.size, self._guess.resize, backbone.mean, backbone.std)
                self._sink = _Sink(Extractor(backbone, preprocess, self._precision, self._device))
            return self._sink


class _Sink:
    """Prepared pictures to features to the cache."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.cache = extractor.cache()
        self._turn = threading.Lock()
        self._digests: list[bytes] = []
        self._features: list[NDArray[np.float32]] = []

    def take(self, digests: Sequence[bytes], reduced: Sequence[NDArray[np.uint8]]) -> None:
        size = self.extractor.preprocess.size
        if not reduced or reduced[0].shape[0] != size:
            return
        computed = self.extractor.engine.run(reduced)
        full = None
        with self._turn:
            self._digests += digests
            self._features.append(computed)
            if sum(part.nbytes for part in self._features) > _FLUSH_BYTES:
                full, self._digests, self._features = (self._digests, self._features), [], []
        if full:
            self._write(*full)

    def flush(self) -> None:
        with self._turn:
            self._write(self._digests, self._features)
            self._digests, self._features = [], []

    def _write(self, digests: list[bytes], features: list[NDArray[np.float32]]) -> None:
        if not digests:
            return
        values = pa.array(np.concatenate(features).ravel(), pa.float32())
        lists = pa.FixedSizeListArray.from_arrays(values, self.extractor.backbone.dimension)
        table = pa.table({"digest": pa.array(digests, pa.binary(DIGEST_BYTES)), "features": lists})
        self.cache.write(table)


def features(index: Index, extractor: Extractor, *, tell: Tell = silent) -> NDArray[np.float32]:
    """float32 `[len(index), dimension]`: the features of every sample of `index`, in its order.

    All samples must be readable (`index.readable`). What the cache has is not computed again.
    """
    digests = digest_matrix(index.table.column("digest"))
    cache = extractor.cache()
    rows = cache.find(digests)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        _, first = np.unique(digests[missing], axis=0, return_index=True)
        _compute(index, missing[np.sort(first)], extractor, tell)
        cache = extractor.cache()
        rows = cache.find(digests)
        if (rows < 0).any():
            raise OutputError(
                f"Features that were just written are gone from {str(cache.folder)!r}.",
                expected="A cache that nobody empties meanwhile.",
                do="Run the same command again.",
            )
    matrix = _empty(len(index), extractor.backbone.dimension)
    for part in pieces(len(index), 65_536):
        cache.gather("features", rows[part.start : part.stop], matrix[part.start : part.stop])
    return matrix


def _compute(index: Index, rows: NDArray[np.int64], extractor: Extractor, tell: Tell) -> None:
    sink = _Sink(extractor)

    def work(part: range) -> int:
        digests, squares = [], []
        for row in rows[part.start : part.stop]:
            path = index.paths[row]
            try:
                data = index.store.read(path)
                pixels = decode(data).pixels
            except (OSError, ImageError) as error:
                raise _changed(path, str(error)) from error
            digest = sha256(data)
            if digest != index.table.column("digest")[int(row)].as_py():
                raise _changed(path, "its bytes are others")
            digests.append(digest)
            squares.append(extractor.preprocess.apply(pixels))
        sink.take(digests, squares)
        return len(part)

    done = 0
    for count in map_in_order(work, pieces(len(rows), _CHUNK), threads=max(workers(), index.store.readers)):
        done += count
        tell(Advance("compute features", done, len(rows)))
    sink.flush()


def _changed(path: str, why: str) -> DataError:
    return DataError(
        f"The picture {path!r} has changed since it was scanned ({why}).",
        expected="The pictures that the index describes.",
        do="Run the command again: the scan notices what is new.",
    )


def _empty(count: int, width: int) -> NDArray[np.float32]:
    if count * width * 4 <= _IN_MEMORY_BYTES:
        return np.empty((count, width), np.float32)
    with tempfile.TemporaryFile(dir=cache_folder("features")) as file:  # it lives as long as it is mapped
        return np.memmap(file, np.float32, "w+", shape=(count, width))
