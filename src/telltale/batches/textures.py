"""Blur, noise and cutout: the last changes of a picture."""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from telltale.batches.chance import Chance, Floats
from telltale.batches.changes import Term
from telltale.batches.steps import Numbers, Step

GREY: Final = 128
"""Of a cut-out rectangle, as around a picture that is padded to a square (`Preprocess`)."""

_LEVELS: Final = 1024
"""Values that noise can take: a third of the 32 bits that a hash gives for each pixel."""


def draw_textures(terms: Mapping[str, Term], chance: Chance, size: int) -> Iterator[Step]:
    """The steps for blur, noise and cutout, in this order, each with the pictures that drew it, if there are any."""
    for name, draw, change in (("blur", _kernels, blur), ("noise", _seeds, add_noise), ("cutout", _corners, cut_out)):
        if name in terms:
            places = np.flatnonzero(chance.happens(terms[name]))
            if len(places):
                yield Step(places, {name: draw(terms[name], chance, size)[places]}, change)


def _kernels(term: Term, chance: Chance, size: int) -> Floats:
    """`[n, radius + 1]`: weights of the middle and of each pixel to one side, up to three standard deviations."""
    away = np.arange(math.ceil(3 * term.high) + 1)
    deviation = np.maximum(chance.values(term), 0.01)[:, None]
    weights = np.exp(-(away**2) / (2 * deviation**2))
    return np.asarray(weights / (2 * weights.sum(axis=1, keepdims=True) - 1))


def blur(pictures: torch.Tensor, numbers: Numbers) -> torch.Tensor:
    """Gaussian blur, along the rows, then along the columns; beyond the edge the last pixel goes on."""
    weights = numbers["blur"][:, :, None, None, None]
    radius, size = weights.shape[1] - 1, pictures.shape[-1]
    for side, padding in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        padded = functional.pad(pictures, padding, mode="replicate")
        pictures = padded.narrow(side, radius, size) * weights[:, 0]
        for away in range(1, radius + 1):
            pair = padded.narrow(side, radius - away, size) + padded.narrow(side, radius + away, size)
            pictures.addcmul_(pair, weights[:, away])
    return pictures


def _seeds(term: Term, chance: Chance, size: int) -> Floats:
    """`[n, 3]`: the standard deviation, and a seed in two whole numbers of 16 bits."""
    low, high = np.floor(chance.table("noise seed", 2) * 2**16)
    return np.stack([chance.values(term), low, high], axis=1)


def add_noise(pictures: torch.Tensor, numbers: Numbers) -> torch.Tensor:
    """Gaussian noise from a hash of the pixel's number and the picture's seed: the same on every device."""
    count, _, size, _ = pictures.shape
    deviation, seed = numbers["noise"][:, 0, None, None], numbers["noise"][:, 1:].int()
    pixel = torch.arange(size**2, dtype=torch.int32, device=pictures.device)
    words = _hash(pixel + (seed[:, :1] + (seed[:, 1:] << 16)))
    table = _normal_table(pictures.device)
    for channel in range(3):
        level = (words >> (10 * channel)) & (_LEVELS - 1)
        noise = table.index_select(0, level.view(-1)).view(count, size, size)
        pictures[:, channel].addcmul_(noise, deviation)
    return pictures.clamp_(0, 255)


def _hash(words: torch.Tensor) -> torch.Tensor:
    """The 32-bit hash "lowbias32" (https://nullprogram.com/blog/2018/07/31/) of each word, in place."""
    for bits, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32), (16, 1)):
        # int32 shifts its sign in from the left; the mask takes it out again.
        words ^= (words >> bits) & (2 ** (32 - bits) - 1)
        words *= factor
    return words


@lru_cache(maxsize=8)
def _normal_table(device: torch.device) -> torch.Tensor:
    """`[1024]`: equally likely values of the normal distribution, of standard deviation 1."""
    values = np.array([NormalDist().inv_cdf((level + 0.5) / _LEVELS) for level in range(_LEVELS)])
    return torch.from_numpy((values / values.std()).astype(np.float32)).to(device)


def _corners(term: Term, chance: Chance, size: int) -> Floats:
    """`[n, 4]`: left, right, top and bottom of the rectangle in pixels, of which a part may lie outside."""
    sides = np.stack([chance.values(term), chance.values(term, "height")]) * size
    middles = chance.table("cutout place", 2) * size
    return np.rint(np.stack([middles - sides / 2, middles + sides / 2], axis=1)).reshape(4, -1).T


def cut_out(pictures: torch.Tensor, numbers: Numbers) -> torch.Tensor:
    """A grey rectangle on each picture."""
    return pictures.masked_fill_(inside(numbers["cutout"], pictures.shape[-1])[:, None], GREY)


def inside(corners: torch.Tensor, size: int, times: int = 1) -> torch.Tensor:
    """Boolean `[n, size, size * times]`: pixels within left, right, top and bottom (`[n, 4]`), so many times each."""
    line = torch.arange(size, device=corners.device)
    left, right, top, bottom = corners[:, :, None].unbind(1)
    across, down = (line >= left) & (line < right), (line >= top) & (line < bottom)
    return across.repeat_interleave(times, 1)[:, None, :] & down[:, :, None]
