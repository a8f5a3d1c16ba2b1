"""What a network is fed: batches of pictures on its device, changed by chance where wanted, normalised, with labels.

The order of an epoch and every change of a picture follow from the seed and the epoch, so nothing else decides what
comes out: not the device that the squares lie on, nor the number of threads, nor what was cached.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from telltale.batches.augmentation import Augmentation
from telltale.batches.loader import Pictures, Squares, cut
from telltale.batches.preprocess import Preprocess
from telltale.batches.resident import OnDevice, place, send_numbers
from telltale.errors import DataError

_ORDER: Final = 0
_BALANCED: Final = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """A few samples as the network takes them."""

    inputs: torch.Tensor
    """float32 on the device; of pictures `[n, 3, size, size]`, channels last in memory, normalised."""
    labels: torch.Tensor
    """int64 `[n]` on the device."""
    rows: NDArray[np.int64]
    """Number of each sample in its part."""
    others: torch.Tensor | None = None
    """int64 `[n]` on the device: the second label of each sample, after mixup or cutmix."""
    share: torch.Tensor | None = None
    """float32 `[n]` on the device, 0 to 1: how much the first label counts."""


class Feed(Protocol):
    """Where the training loop gets its batches."""

    def __len__(self) -> int:
        """Samples, not batches."""

    @property
    def steps(self) -> int:
        """Batches in one epoch."""

    def epoch(self, number: int, *, first: int = 1) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `first` on, both counted from 1."""

    def in_order(self) -> Iterator[Batch]:
        """Every sample once, as listed and never changed: for validation."""


class Normalise:
    """Pixels to what a network takes: `(pixels / 255 - mean) / std`, float32 `[n, 3, size, size]` on `device`.

    >>> normalise = Normalise(Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    >>> normalise(torch.zeros((1, 8, 8, 3), dtype=torch.uint8)).unique()
    tensor([-1.])
    """

    def __init__(self, preprocess: Preprocess, device: torch.device | str = "cpu") -> None:
        std, mean = (
            np.tile(np.array(values, np.float64), preprocess.size) for values in (preprocess.std, preprocess.mean)
        )
        self.device = device
        self.scale = torch.from_numpy((1 / (255 * std)).astype(np.float32)).to(device)
        self.shift = torch.from_numpy((-mean / std).astype(np.float32)).to(device)

    def __call__(self, squares: torch.Tensor) -> torch.Tensor:
        """Of squares as they are stored: uint8 `[n, size, size, 3]`, wherever they are; they are not overwritten."""
        # Whole lines of pixels, and not one factor per channel: 0.3 ms for 32 squares at 160 x 160 instead of 23 ms,
        # because torch works on one number at a time where only 3 of them share an operation (2.15, 2 cores).
        lines = squares.to(self.device).flatten(2) * self.scale
        return lines.add_(self.shift).view(squares.shape).permute(0, 3, 1, 2)

    def planes(self, pixels: torch.Tensor) -> torch.Tensor:
        """Of pixels from 0 to 255 as `[n, 3, size, size]`, uint8 or float32; they are not overwritten."""
        return self(pixels.permute(0, 2, 3, 1).contiguous())


@dataclass(eq=False)
class PictureFeed:
    """A `Feed` of pictures. `batch_size` may be changed between two epochs.

    `seed` decides the order and what `augmentation` does, anew in each epoch. With `balanced` an epoch draws as many
    pictures as there are, with replacement, so that all classes are equally likely; a picture that is drawn again is
    changed in another way. On a GPU the squares stay in its memory where they fit (`resident.place`).

    Raises `DataError` where there is no picture, or one without a class, and `SourceError` while batches are made,
    where a picture has changed since the scan.
    """

    pictures: Pictures
    preprocess: Preprocess
    _: KW_ONLY
    batch_size: int = 32
    seed: int = 0
    augmentation: Augmentation | None = None
    device: str = "cpu"
    balanced: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        self._codes = np.asarray(self.pictures.codes, np.int64)
        if not len(self._codes) or self._codes.min() < 0:
            raise DataError(
                f"{len(self._codes)} pictures, {int((self._codes < 0).sum())} of them without a class, are no batches.",
                expected="At least one picture, and a class for each.",
                do="Add pictures or labels, or give another split.",
            )
        self.normalise = Normalise(self.preprocess, self.device)
        self.squares = Squares(self.pictures, self.preprocess, threads=self.threads)

    def __len__(self) -> int:
        """Pictures, not batches."""
        return len(self._codes)

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        return len(cut(np.arange(len(self)), self.batch_size))

    @cached_property
    def placed(self) -> OnDevice:
        """The squares on the device, decided when they are first wanted: the network is there by then."""
        return place(self.squares, self.device)

    def epoch(self, number: int, *, first: int = 1) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `first` on, both counted from 1; those before it are not read.

        Every picture comes once, in the order of this epoch; where the feed is balanced, as often as it is drawn.
        """
        order = self._draw(number)
        # A picture's changes follow from its number, so the second time that it comes it needs another one.
        draws = order + len(self) * count_before(order) if self.balanced else order
        groups, keys = (cut(rows, self.batch_size)[first - 1 :] for rows in (order, draws))
        for (rows, squares, labels), drawn in zip(self._walk(groups), keys, strict=True):
            yield self._mix(Batch(self._alter(squares, drawn, number), labels, rows), drawn, number)

    def order(self, number: int) -> list[NDArray[np.int64]]:
        """The rows of each batch of epoch `number`."""
        return cut(self._draw(number), self.batch_size)

    def view(self, number: int) -> Iterator[Batch]:
        """Every picture once, as listed, changed as in epoch `number`; none is mixed with another."""
        for rows, squares, labels in self._walk(cut(np.arange(len(self)), self.batch_size)):
            yield Batch(self._alter(squares, rows, number), labels, rows)

    def in_order(self) -> Iterator[Batch]:
        """Every picture once, as listed and never changed."""
        for rows, squares, labels in self._walk(cut(np.arange(len(self)), self.batch_size)):
            yield Batch(self.normalise(squares), labels, rows)

    def _draw(self, epoch: int) -> NDArray[np.int64]:
        if not self.balanced:
            return np.random.default_rng([self.seed, epoch, _ORDER]).permutation(len(self))
        weights = 1 / np.bincount(self._codes)[self._codes]
        rng = np.random.default_rng([self.seed, epoch, _BALANCED])
        return rng.choice(len(self), len(self), p=weights / weights.sum())

    def _walk(self, groups: list[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]]:
        """Numbers, squares and labels of each group."""
        numbers = send_numbers(groups, self.device)
        for rows, some, squares in zip(groups, numbers, self.placed.stream(groups), strict=True):
            yield rows, squares, self.labels.index_select(0, some)

    @cached_property
    def labels(self) -> torch.Tensor:
        """int64 `[len(self)]` on the device: the class of each picture."""
        return torch.from_numpy(self._codes).to(self.device)

    def _alter(self, squares: torch.Tensor, drawn: NDArray[np.int64], epoch: int) -> torch.Tensor:
        """Squares as the network takes them, each changed by chance."""
        if self.augmentation is None:
            return self.normalise(squares)
        return self.normalise.planes(self.augmentation.apply(squares, drawn, seed=self.seed, epoch=epoch))

    def _mix(self, batch: Batch, drawn: NDArray[np.int64], epoch: int) -> Batch:
        """The batch with its pictures mixed, where the augmentation says so."""
        if self.augmentation is None or not self.augmentation.mixes:
            return batch
        mixed, partner, share = self.augmentation.mix(batch.inputs, drawn, seed=self.seed, epoch=epoch)
        return Batch(mixed, batch.labels, batch.rows, others=batch.labels[partner], share=share)


def count_before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value stood before, further to the front.

    >>> count_before(np.array([5, 7, 5, 5])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(values, kind="stable")
    _, first, counts = np.unique(values[order], return_index=True, return_counts=True)
    before = np.empty(len(values), np.int64)
    before[order] = np.arange(len(values)) - np.repeat(first, counts)
    return before
