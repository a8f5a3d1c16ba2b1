"""Pictures as the squares that a network sees, kept on disk: decoded once, whoever needs them and in however many runs.

A square is what `Preprocess.apply` makes of a decoded picture. It is found by the SHA-256 of the picture's bytes, so
that of 100 added pictures 100 are decoded. Squares of one geometry and one version of the decoder lie in one folder
below `squares/`, read through memory maps and shared by processes; mean and std are not in them.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from telltale.batches.preprocess import VERSION as RESIZER, Preprocess
from telltale.cache import DIGEST_BYTES, DigestCache
from telltale.data.decoding import VERSION as DECODER
from telltale.data.index import Watcher
from telltale.errors import OutputError
from telltale.files import cache_folder, sha256

LIMIT: Final = 20 * 10**9
"""Bytes of all squares together: 260,000 pictures at 160 x 160, 132,000 at 224 x 224. More would be a burden on a
laptop's disk, and sets beyond it are trained for so long that decoding beside the network is the smaller part."""

DISK_PARTS: Final = 3
"""Squares take at most one part in three of the space that would be free without them."""

_FLUSH_BYTES: Final = 64 * 2**20
"""Squares that are gathered before they become a file: 300 files at the limit."""

_CHECK_BYTES: Final = 8


class SquareCache:
    """The squares of one geometry; `find` and `gather` see what was there when the object was made.

    When `limit` bytes would be passed, what this object has neither found nor written goes, the longest unused first.
    """

    def __init__(self, size: int, resize: str, *, limit: int = LIMIT) -> None:
        self.size, self.bytes_each, self._limit = size, 3 * size * size, limit
        self._root = cache_folder("squares")
        version = sha256(f"{DECODER} {RESIZER}".encode()).hex()[:16]
        schema = pa.schema([("check", pa.binary(_CHECK_BYTES)), ("square", pa.binary(self.bytes_each))])
        self._rows = DigestCache(self._root / f"{size}-{resize}-{version}", schema)
        self._checked = np.zeros(len(self._rows), bool)
        self._used: set[Path] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Row of each digest (uint8 `[n, 32]`); -1 where there is none. The files that hold them count as used now."""
        rows = self._rows.find(digests)
        for path in self._holders(rows[rows >= 0]):
            if path not in self._used:
                self._used.add(path)
                with contextlib.suppress(OSError):  # deleted meanwhile, or another user's: then it is only not marked
                    os.utime(path)
        return rows

    def find_one(self, digest: bytes) -> int:
        """Row of one digest, -1 where there is none."""
        return int(self.find(np.frombuffer(digest, np.uint8)[None])[0])

    def gather(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Copy squares into `out` `[len(rows), size, size, 3]`; which of them are there and as they were written.

        Each is compared with its checksum when it is read first, 4 us at 160 x 160. A file with a damaged square is
        deleted, so that its pictures are decoded anew in the next run. Safe in several threads.
        """
        self._rows.gather("square", rows, out.reshape(len(rows), self.bytes_each))
        sound = rows >= 0
        unseen = np.flatnonzero(sound)
        unseen = unseen[~self._checked[rows[unseen]]]
        checks = np.empty((len(unseen), _CHECK_BYTES), np.uint8)
        self._rows.gather("check", rows[unseen], checks)
        for place, check in zip(unseen.tolist(), checks, strict=True):
            sound[place] = _check(out[place]) == check.tobytes()
        self._checked[rows[sound]] = True
        for path in self._holders(rows[(rows >= 0) & ~sound]):
            with contextlib.suppress(OSError):  # Windows keeps a file that is mapped
                path.unlink(missing_ok=True)
        return sound

    def fits(self, count: int) -> bool:
        """Would `count` more squares have room beside those that are in use?"""
        used = sum(_size(path) for path in self._used)
        return used + count * self.bytes_each <= self._allowed(sum(_size(path) for path in self._all()))

    def write(self, digests: Sequence[bytes], squares: NDArray[np.uint8]) -> bool:
        """Add squares `[n, size, size, 3]` for objects that are made later; False where there is no room for them.

        Safe while other threads use this object.
        """
        if not len(digests):
            return True
        checks = pa.array([_check(square) for square in squares], pa.binary(_CHECK_BYTES))
        pixels = pa.Array.from_buffers(pa.binary(self.bytes_each), len(squares), [None, pa.py_buffer(squares)])
        names = pa.array(digests, pa.binary(DIGEST_BYTES))
        try:
            if not self._make_room(squares.nbytes):
                return False
            path = self._rows.write(pa.table({"digest": names, "check": checks, "square": pixels}))
        except (OutputError, OSError):  # a full disk, a deleted folder: a cache only saves time, so training goes on
            return False
        if path is not None:
            self._used.add(path)
        return True

    def _make_room(self, size: int) -> bool:
        held = {path: _size(path) for path in self._all()}
        total = sum(held.values())
        allowed = self._allowed(total)
        unused = [path for path in held if path not in self._used]
        if total - sum(held[path] for path in unused) + size > allowed:
            return False
        for path in sorted(unused, key=_last_used):
            if total + size <= allowed:
                break
            with contextlib.suppress(OSError):  # Windows keeps a file that another process has mapped
                path.unlink()
                total -= held[path]
        return total + size <= allowed

    def _holders(self, rows: NDArray[np.int64]) -> list[Path]:
        return [self._rows.files[number] for number in np.unique(self._rows.locate(rows)).tolist()]

    def _all(self) -> list[Path]:
        return list(self._root.glob("*/*"))

    def _allowed(self, held: int) -> int:
        return min(self._limit, (shutil.disk_usage(self._root).free + held) // DISK_PARTS)


class SquareWriter:
    """Gathers squares until they fill a file; safe to feed from several threads. End it with `flush`."""

    def __init__(self, cache: SquareCache) -> None:
        self._cache = cache
        self._most = max(1, _FLUSH_BYTES // cache.bytes_each)
        self._turn = threading.Lock()
        self._seen: set[bytes] = set()
        self._digests: list[bytes] = []
        self._squares = self._empty(0)
        self.open = True
        """False as soon as there is no more room."""

    def add(self, digest: bytes, square: NDArray[np.uint8]) -> None:
        """Keep one square; once, however often it comes."""
        full = None
        with self._turn:
            if digest in self._seen:
                return
            self._seen.add(digest)
            if not self._digests:
                self._squares = self._empty(self._most)
            self._squares[len(self._digests)] = square
            self._digests.append(digest)
            if len(self._digests) == self._most:
                full, self._digests = (self._digests, self._squares), []
        if full:
            self._write(*full)

    def flush(self) -> None:
        """Write what is left."""
        with self._turn:
            self._write(self._digests, self._squares[: len(self._digests)])
            self._digests = []

    def _write(self, digests: list[bytes], squares: NDArray[np.uint8]) -> None:
        self.open = self.open and self._cache.write(digests, squares)

    def _empty(self, count: int) -> NDArray[np.uint8]:
        return np.empty((count, self._cache.size, self._cache.size, 3), np.uint8)


class SquareStream:
    """A `Watcher` of `scan` that keeps the squares of the first look, so that no epoch decodes. End it with `flush`.

    `count` is how many pictures there are: where their squares have no room, none are kept.
    """

    def __init__(self, size: int, resize: str, *, count: int, limit: int = LIMIT) -> None:
        self.preprocess = Preprocess(size, resize)
        self._cache = SquareCache(size, resize, limit=limit)
        self._writer = SquareWriter(self._cache)
        self._writer.open = self._cache.fits(count)

    def wants(self, digest: bytes) -> bool:
        """Is this picture's square still to be kept?"""
        return self._writer.open and self._cache.find_one(digest) < 0

    def reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The square that the network sees."""
        return self.preprocess.apply(pixels)

    def receive(self, digests: Sequence[bytes], reduced: Sequence[NDArray[np.uint8]]) -> None:
        """Keep squares; those of another size, which another watcher has made (`Watchers`), are dropped."""
        for digest, square in zip(digests, reduced, strict=True):
            if len(square) == self.preprocess.size:
                self._writer.add(digest, square)

    def flush(self) -> None:
        """Write what is there, also when the look was interrupted: it need not be decoded again."""
        self._writer.flush()


class Watchers:
    """Several watchers of one `scan` that reduce a picture to the same square: it is made once, by the first.

    Fine-tuning wants features of the frozen network (`FeatureStream`) and squares (`SquareStream`) of the same size
    and resize. Each receives what it wants.
    """

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def wants(self, digest: bytes) -> bool:
        """Does one of them want this picture?"""
        return any(watcher.wants(digest) for watcher in self._watchers)

    def reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the first makes of it."""
        return self._watchers[0].reduce(pixels)

    def receive(self, digests: Sequence[bytes], reduced: Sequence[NDArray[np.uint8]]) -> None:
        """Hand the squares on to those who want them."""
        for watcher in self._watchers:
            mine = [place for place, digest in enumerate(digests) if watcher.wants(digest)]
            if mine:
                watcher.receive([digests[place] for place in mine], [reduced[place] for place in mine])


def _check(square: NDArray[np.uint8]) -> bytes:
    return xxhash.xxh3_64_digest(np.ascontiguousarray(square).data)


def _size(path: Path) -> int:
    """Bytes of a file, 0 where it has just gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_used(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
