"""Batches of pictures for training: decoded by threads, kept in memory where they fit, in an order that a seed decides.

What comes out depends on the pictures, the seed and the epoch only: never on the number of threads or on timing.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from telltale.batches.preprocess import Preprocess
from telltale.data.decoding import decode
from telltale.device import cores
from telltale.errors import DataError, ImageError, SourceError

MEMORY: Final = 2**30
"""Bytes of preprocessed pictures that are kept after the first epoch; a larger set is decoded anew in each epoch."""

_AHEAD: Final = 2
_ORDER, _FLIP = 0, 1

Batch = tuple[torch.Tensor, torch.Tensor]


class Readable(Protocol):
    """Where the bytes come from."""

    def read(self, path: str, /) -> bytes:
        """The bytes of the file at `path`; called from several threads."""


class Pictures(Protocol):
    """What is needed of an `Index`: paths, the class of each (-1: none), and the store to read from."""

    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def codes(self) -> NDArray[np.int32]: ...
    @property
    def store(self) -> Readable: ...


class Squares:
    """Pictures as uint8 `[n, size, size, 3]`, by number; kept in memory once decoded if all fit into `memory` bytes."""

    def __init__(self, pictures: Pictures, preprocess: Preprocess, *, threads: int = 0, memory: int = MEMORY) -> None:
        self.preprocess = preprocess
        self.threads = threads or cores()
        self._paths, self._store = pictures.paths, pictures.store
        shape = (len(self._paths), preprocess.size, preprocess.size, 3)
        fits = int(np.prod(shape)) <= memory
        self._kept = np.empty(shape, np.uint8) if fits else None
        self._known = np.zeros(len(self._paths), bool)

    def stream(self, groups: Iterable[NDArray[np.intp]]) -> Iterator[NDArray[np.uint8]]:
        """The squares of each group of numbers, in order; while one group is in use, the next two are decoded."""
        pool = ThreadPoolExecutor(self.threads)
        waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
        try:
            for group in groups:
                if not waiting and self._kept is not None and self._known[group].all():
                    yield self._kept[group]
                    continue
                waiting.append([pool.submit(self._square, int(row)) for row in group])
                if len(waiting) > _AHEAD:
                    yield np.stack([one.result() for one in waiting.popleft()])
            while waiting:
                yield np.stack([one.result() for one in waiting.popleft()])
        finally:
            pool.shutdown(cancel_futures=True)

    def _square(self, row: int) -> NDArray[np.uint8]:
        if self._kept is not None and self._known[row]:
            known: NDArray[np.uint8] = self._kept[row]
            return known
        path = self._paths[row]
        try:
            square = self.preprocess.apply(decode(self._store.read(path)).pixels)
        except (ImageError, OSError) as error:
            raise SourceError(
                f"{path!r} could be read when the pictures were scanned, but not now ({error}).",
                expected="Pictures that stay as they are while they are learned from.",
                do="Check that nothing changes them, then run the same command again.",
            ) from error
        if self._kept is not None:
            self._kept[row] = square
            self._known[row] = True
        return square


class PictureBatches:
    """Batches of (uint8 `[n, size, size, 3]`, int64 labels `[n]`) for training and validation.

    `seed` decides the order and, with `flip`, which pictures are mirrored from left to right: anew in each epoch.
    """

    def __init__(
        self,
        pictures: Pictures,
        preprocess: Preprocess,
        *,
        batch_size: int = 32,
        seed: int = 0,
        flip: bool = False,
        threads: int = 0,
    ) -> None:
        self.labels = np.asarray(pictures.codes, np.int64)
        if not len(self.labels) or self.labels.min() < 0:
            raise DataError(
                f"{len(self.labels)} pictures, {int((self.labels < 0).sum())} of them without a class, are no batches.",
                expected="At least one picture, and a class for each.",
                do="Add pictures or labels, or give another split.",
            )
        self.squares = Squares(pictures, preprocess, threads=threads)
        self.preprocess, self.batch_size, self.seed, self.flip = preprocess, batch_size, seed, flip

    def __len__(self) -> int:
        """Pictures, not batches."""
        return len(self.labels)

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        return len(_cut(np.arange(len(self)), self.batch_size))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every picture once, in the order of this epoch, mirrored where this epoch's draw says so."""
        order = np.random.default_rng([self.seed, number, _ORDER]).permutation(len(self))
        mirrored = np.random.default_rng([self.seed, number, _FLIP]).random(len(self)) < (0.5 if self.flip else 0.0)
        for group, squares, labels in self._walk(order):
            turn = mirrored[group]
            squares[turn] = squares[turn, :, ::-1]
            yield torch.from_numpy(squares), labels

    def in_order(self) -> Iterator[Batch]:
        """Every picture once, as listed and never mirrored: for validation."""
        for _, squares, labels in self._walk(np.arange(len(self))):
            yield torch.from_numpy(squares), labels

    def _walk(self, order: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8], torch.Tensor]]:
        groups = _cut(order, self.batch_size)
        for group, squares in zip(groups, self.squares.stream(groups), strict=True):
            yield group, squares, torch.from_numpy(self.labels[group])


def _cut(order: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    """Groups of `size`; one picture left over joins the group before, because batch norm cannot learn from one."""
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [np.concatenate(groups[-2:])]
    return groups
