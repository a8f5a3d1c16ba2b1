"""Frozen layers run once per picture: what they give is kept, and an epoch runs only the layers above them."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from telltale.batches.feed import Batch, Feed, PictureFeed
from telltale.batches.loader import cut
from telltale.data.splits import Splits
from telltale.files import cache_folder
from telltale.model.cutting import Cut, cut_network
from telltale.model.features import Extractor, features
from telltale.progress import Advance, Note, Tell
from telltale.training.recipe import Recipe
from telltale.training.start import Start
from telltale.training.views import Views, view_features

IN_MEMORY: Final = 2 * 2**30
"""Bytes of activations that are kept in memory; more lie in a temporary file, mapped into memory."""

DISK_PARTS: Final = 3
"""That file takes at most one part in three of the free disk."""


@dataclass
class KeptFeed:
    """A `Feed` of what frozen layers gave; `view` gives the tensor of one copy of all pictures, by its number from 1.

    Epoch 1 learns from the first of `copies`, epoch 2 from the second, and so on in turn; 0: each epoch from its own.
    The order is that of `pictures`.
    """

    pictures: PictureFeed
    view: Callable[[int], torch.Tensor]
    copies: int = 1

    def __len__(self) -> int:
        """Pictures."""
        return len(self.pictures)

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        return self.pictures.steps

    def epoch(self, number: int, *, first: int = 1) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `first` on, both counted from 1."""
        kept = self.view((number - 1) % self.copies + 1 if self.copies else number)
        for rows in self.pictures.order(number)[first - 1 :]:
            yield self._take(kept, rows)

    def in_order(self) -> Iterator[Batch]:
        """Every picture once, as listed."""
        kept = self.view(1)
        for rows in cut(np.arange(len(self)), self.pictures.batch_size):
            yield self._take(kept, rows)

    def _take(self, kept: torch.Tensor, rows: NDArray[np.int64]) -> Batch:
        inputs = kept[torch.from_numpy(rows)].to(self.pictures.device)
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return Batch(inputs, self.pictures.labels[torch.from_numpy(rows)], rows)


Kept = tuple[nn.Module, Feed, Feed]


def keep_frozen(
    start: Start, splits: Splits, training: PictureFeed, *, validation: PictureFeed, recipe: Recipe, tell: Tell
) -> Kept | None:
    """The layers above the frozen ones, and feeds of what the frozen ones give; None where that cannot be.

    A pretrained backbone that is frozen as a whole runs in the fastest engine, that of `start`. Else it cannot be where
    pictures change anew in each epoch (`views` copies can be kept instead), where two pictures are mixed, where
    the network does not fall into two parts, or where neither memory nor disk has room.
    """
    changes = training.augmentation is not None
    mixes = training.augmentation is not None and training.augmentation.mixes
    # Of validation: on a GPU a feed that is asked once puts all its pictures there.
    example = next(iter(validation.in_order())).inputs[[0, -1]]
    found = None if mixes else cut_network(start.network, recipe.freeze, example)
    if found is None:
        why = "pictures are mixed with one another" if mixes else "this network does not fall into two parts"
        tell(Note(f"The frozen layers run in each epoch: {why}."))
        return None
    extractor = start.extractor
    # A dense layer that the pretrained backbone ends in is trained: its engine gives what lies behind it.
    if extractor and found.layers == found.of and "hidden" not in dict(extractor.backbone.architecture.options):
        return found.upper, *_keep_features(extractor, splits, training, validation, recipe, tell)
    if changes and not recipe.views:
        tell(Note("The frozen layers run in each epoch, because pictures change; --set views=4 keeps 4 copies."))
        return None
    return _keep_activations(found, training, validation, copies=recipe.views if changes else 1, tell=tell)


def _keep_features(
    extractor: Extractor, splits: Splits, training: PictureFeed, validation: PictureFeed, recipe: Recipe, tell: Tell
) -> tuple[Feed, Feed]:
    """Features of a backbone that is frozen as a whole; copies are computed when their epoch comes."""
    seen = torch.from_numpy(features(splits.validation, extractor, tell=tell))
    known = KeptFeed(validation, lambda _: seen)
    if training.augmentation is None:
        plain = torch.from_numpy(features(splits.train, extractor, tell=tell))
        return KeptFeed(training, lambda _: plain), known
    views = Views(recipe.augment, recipe.views or recipe.epochs, recipe.seed)

    @lru_cache(maxsize=1)
    def view(number: int) -> torch.Tensor:
        return torch.from_numpy(view_features(splits.train, extractor, views, number=number, tell=tell))

    return KeptFeed(training, view, recipe.views), known


def _keep_activations(
    found: Cut, training: PictureFeed, validation: PictureFeed, *, copies: int, tell: Tell
) -> Kept | None:
    """Run the lower layers over every copy of the pictures now."""
    found.lower.eval()
    with torch.inference_mode():
        example = found.lower(next(iter(validation.in_order())).inputs[:2])
    each = example[0].numel() * example.element_size()
    size = each * (len(training) * copies + len(validation))
    if size > IN_MEMORY and size > shutil.disk_usage(cache_folder("activations")).free // DISK_PARTS:
        tell(Note(f"The frozen layers run in each epoch: there is no room for the {size / 1e9:.1f} GB that they give."))
        return None
    runner = _Runner(found.lower, tuple(example.shape[1:]), size > IN_MEMORY, tell)
    kept = [
        runner.run(training.view(number) if training.augmentation else training.in_order(), len(training))
        for number in range(1, copies + 1)
    ]
    seen = runner.run(validation.in_order(), len(validation))
    tell(Note(f"{found.layers} of {found.of} layers are frozen and have run once over each picture."))
    known = KeptFeed(training, lambda number: kept[number - 1], copies)
    return found.upper, known, KeptFeed(validation, lambda _: seen)


@dataclass(frozen=True)
class _Runner:
    """Runs the lower layers over batches; `shape` is what they give of one picture."""

    lower: nn.Module
    shape: tuple[int, ...]
    on_disk: bool
    tell: Tell

    def run(self, batches: Iterator[Batch], count: int) -> torch.Tensor:
        """float32 `[count, *shape]`, in memory or in a file that goes with it."""
        kept = self._reserve(count)
        with torch.inference_mode():
            for done, batch in zip(itertools.count(1), batches, strict=False):
                kept[torch.from_numpy(batch.rows)] = self.lower(batch.inputs).float().cpu()
                self.tell(Advance("run the frozen layers", min(done * len(batch.rows), count), count))
        return kept

    def _reserve(self, count: int) -> torch.Tensor:
        if not self.on_disk:
            return torch.empty((count, *self.shape))
        with tempfile.TemporaryFile(dir=cache_folder("activations")) as file:  # it lives as long as it is mapped
            return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(count, *self.shape)))
