"""Features of augmented copies of pictures by a frozen network: each copy is computed once, ever, like the picture.

A copy's changes follow from the seed, the number of the view and the picture's content, so that pictures that are
added later change nothing about those that are there.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.batches.augmentation import parse_augmentation
from telltale.cache import DIGEST_BYTES, DigestCache, digest_matrix
from telltale.data.index import Index
from telltale.device import cores
from telltale.model.features import Extractor
from telltale.progress import Advance, Tell, silent
from telltale.threads import map_in_order

_BATCH: Final = 64


@dataclass(frozen=True)
class Views:
    """`count` augmented copies of each picture, by the terms of `augment`."""

    augment: tuple[str, ...]
    count: int
    seed: int = 0

    @property
    def differ(self) -> bool:
        """Are there copies, and do they differ from the pictures?"""
        return self.count > 0 and bool(parse_augmentation(self.augment).terms)


def view_features(
    index: Index, extractor: Extractor, views: Views, *, number: int, tell: Tell = silent
) -> NDArray[np.float32]:
    """float32 `[len(index), dimension]`: features of copy `number` (from 1) of every picture of `index`.

    What was computed before comes from the cache. Raises `RecipeError` for unknown terms.
    """
    cache = _open_cache(extractor, views, number)
    digests = digest_matrix(index.table.column("digest"))
    rows = cache.find(digests)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        _, first = np.unique(digests[missing], axis=0, return_index=True)
        cache.add(_compute(index.take(missing[np.sort(first)]), extractor, views, number, tell))
        rows = cache.find(digests)
    matrix = np.empty((len(index), extractor.backbone.dimension), np.float32)
    cache.gather("features", rows, matrix)
    return matrix


def _open_cache(extractor: Extractor, views: Views, number: int) -> DigestCache:
    # With all numbers of each term, so that a preset that changes makes other copies.
    facts = json.dumps([str(parse_augmentation(views.augment)), views.seed, number])
    return extractor.cache(f"view-{hashlib.sha256(facts.encode()).hexdigest()[:16]}")


def _compute(index: Index, extractor: Extractor, views: Views, number: int, tell: Tell) -> pa.Table:
    """A table of digest and features for each picture of `index`."""
    import torch

    from telltale.batches.loader import Squares, cut

    augmentation = parse_augmentation(views.augment)
    digests = digest_matrix(index.table.column("digest"))
    keys = np.ascontiguousarray(digests[:, :8]).view(np.int64).ravel() >> 1 & (2**62 - 1)
    groups = cut(np.arange(len(index)), _BATCH)
    squares = zip(groups, Squares(index, extractor.preprocess).stream(groups), strict=True)

    def work(group: tuple[NDArray[np.int64], NDArray[np.uint8]]) -> NDArray[np.float32]:
        rows, pictures = group
        pixels = augmentation.apply(torch.from_numpy(pictures), keys[rows], seed=views.seed, epoch=number)
        changed = pixels.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        return extractor.engine.run(changed)

    parts, done = [], 0
    for part in map_in_order(work, squares, threads=cores()):
        parts.append(part)
        done += len(part)
        tell(Advance(f"compute features of copy {number} of {views.count}", done, len(index)))
    values = pa.array(np.concatenate(parts).ravel(), pa.float32())
    lists = pa.FixedSizeListArray.from_arrays(values, extractor.backbone.dimension)
    names = pa.array([one.tobytes() for one in digests], pa.binary(DIGEST_BYTES))
    return pa.table({"digest": names, "features": lists})
