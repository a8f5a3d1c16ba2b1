"""Squares of the pictures of one part, by number: from the cache on disk where it has them, else decoded by threads.

What comes out depends on the pictures only: never on the number of threads, on timing or on what was kept.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.batches.preprocess import Preprocess
from telltale.batches.squares import LIMIT, SquareCache, SquareWriter
from telltale.cache import digest_matrix
from telltale.data.decoding import decode
from telltale.device import cores
from telltale.errors import ImageError, SourceError
from telltale.files import sha256

MEMORY: Final = 2**30
"""Bytes of squares that are kept in memory where the disk has no room for them; a larger set is decoded anew in each
epoch."""

_AHEAD: Final = 2


class Readable(Protocol):
    """Where the bytes come from."""

    def read(self, path: str, /) -> bytes:
        """The bytes of the file at `path`; called from several threads."""


class Pictures(Protocol):
    """What is needed of an `Index`: paths, the class of each (-1: none), `digest` in a table, the store to read."""

    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def codes(self) -> NDArray[np.int32]: ...
    @property
    def table(self) -> pa.Table: ...
    @property
    def store(self) -> Readable: ...


class _Kept(NamedTuple):
    """What the cache had when it was opened: the row of each picture in it (-1: none), and who adds the others."""

    cache: SquareCache
    rows: NDArray[np.int64]
    writer: SquareWriter


class Squares:
    """Pictures as uint8 `[n, size, size, 3]`, by number.

    What is decoded goes to the cache, where the rest of this part has room there (`limit` bytes for all squares); else
    it stays in memory, if all fit into `memory` bytes.
    """

    def __init__(
        self,
        pictures: Pictures,
        preprocess: Preprocess,
        *,
        threads: int = 0,
        memory: int = MEMORY,
        limit: int = LIMIT,
    ) -> None:
        self.preprocess = preprocess
        self.threads = threads or cores()
        self._paths, self._store, self._limit = pictures.paths, pictures.store, limit
        self._digests = digest_matrix(pictures.table.column("digest"))
        self._kept = self._open()
        shape = (len(self._paths), preprocess.size, preprocess.size, 3)
        # Memory that costs nothing before it is filled, which happens only where the disk has no room.
        self._in_memory = np.empty(shape, np.uint8) if int(np.prod(shape)) <= memory else None
        self._known = np.zeros(len(self._paths), bool)

    def __len__(self) -> int:
        return len(self._paths)

    def stream(self, groups: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """The squares of each group of numbers, in order; while one group is in use, the next two are made ready."""
        pool = ThreadPoolExecutor(self.threads)
        waiting: deque[tuple[NDArray[np.uint8], list[Future[bool]]]] = deque()
        decoded = False
        try:
            for group in groups:
                waiting.append(self._begin(pool, group))
                if len(waiting) > _AHEAD:
                    squares, parts = waiting.popleft()
                    decoded |= any([part.result() for part in parts])
                    yield squares
            while waiting:
                squares, parts = waiting.popleft()
                decoded |= any([part.result() for part in parts])
                yield squares
        finally:
            pool.shutdown(cancel_futures=True)
            if decoded and self._kept.writer.open:
                self._kept.writer.flush()
                self._kept = self._open()

    def _open(self) -> _Kept:
        cache = SquareCache(self.preprocess.size, self.preprocess.resize, limit=self._limit)
        rows, writer = cache.find(self._digests), SquareWriter(cache)
        writer.open = cache.fits(int((rows < 0).sum()))
        return _Kept(cache, rows, writer)

    def _begin(
        self, pool: ThreadPoolExecutor, group: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], list[Future[bool]]]:
        """Where the squares of a group will be, and the work that puts them there: copying is work for one thread."""
        squares = np.empty((len(group), self.preprocess.size, self.preprocess.size, 3), np.uint8)
        share = len(group) if (self._kept.rows[group] >= 0).all() else -(-len(group) // self.threads)
        starts = range(0, len(group), share)
        return squares, [pool.submit(self._fill, group[at : at + share], squares[at : at + share]) for at in starts]

    def _fill(self, group: NDArray[np.int64], out: NDArray[np.uint8]) -> bool:
        """Put the squares of `group` into `out`; was one of them decoded?"""
        kept = self._kept  # one look: at the end of a stream another takes its place
        missing = np.flatnonzero(~kept.cache.gather(kept.rows[group], out)).tolist()
        for place in missing:
            out[place] = self._square(int(group[place]), kept.writer)
        return bool(missing)

    def _square(self, row: int, writer: SquareWriter) -> NDArray[np.uint8]:
        if self._in_memory is not None and self._known[row]:
            known: NDArray[np.uint8] = self._in_memory[row]
            return known
        digest = self._digests[row].tobytes()
        square = self._decode(self._paths[row], digest)
        if writer.open:
            writer.add(digest, square)
        elif self._in_memory is not None:
            self._in_memory[row] = square
            self._known[row] = True
        return square

    def _decode(self, path: str, digest: bytes) -> NDArray[np.uint8]:
        try:
            data = self._store.read(path)
            if sha256(data) != digest:
                raise OSError("its bytes are others")
            return self.preprocess.apply(decode(data).pixels)
        except (ImageError, OSError) as error:
            raise SourceError(
                f"{path!r} could be read when the pictures were scanned, but not now ({error}).",
                expected="Pictures that stay as they are while they are learned from.",
                do="Check that nothing changes them, then run the same command again.",
            ) from error


def cut(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Groups of `size`; one picture left over joins the group before, because batch norm cannot learn from one.

    >>> [group.tolist() for group in cut(np.arange(5), 2)]
    [[0, 1], [2, 3, 4]]
    """
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [np.concatenate(groups[-2:])]
    return groups
