"""Brightness, contrast, RGB shift, hue and saturation, composed into one matrix for the colours of each picture.

All five are linear in the pixel and in the mean colour of the whole picture, about whose grey contrast turns. So the
host composes, without having seen a pixel, a `[3, 7]` matrix for (pixel, mean colour, 1); the device measures the mean.
It is that of the picture as it came, before anything moves: sums of whole numbers, so exact in every order.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch

from telltale.batches.chance import Chance, Floats
from telltale.batches.changes import Term
from telltale.batches.policies import Layer
from telltale.batches.steps import Numbers, Step

LUMA: Final = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the grey of a pixel (ITU-R BT.601, as Pillow and torchvision have them)."""

# To luma and two differences of colours (NTSC's YIQ); in the plane of these two a hue is an angle.
_YIQ: Final = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_PLANE: Final = np.linalg.inv(_YIQ) @ np.diag([0, 1, 1]) @ _YIQ
_QUARTER: Final = np.linalg.inv(_YIQ) @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ _YIQ
_NAMES: Final = ("brightness", "contrast", "saturation", "hue", "rgb_shift")


def draw_colours(terms: Mapping[str, Term], layers: list[Layer], chance: Chance) -> Step | None:
    """The step that changes the colours of every picture that drew a change of them; None where there is none."""
    plain = np.concatenate([np.eye(3), np.zeros((3, 4))], axis=1)
    colours = np.tile(plain, (len(chance), 1, 1))
    for name in _NAMES:
        if name in terms:
            happens = chance.happens(terms[name])[:, None, None]
            colours = np.where(happens, _change(colours, terms[name], chance), colours)
    for layer in layers:
        colours = colours * (1 + layer.values("brightness"))[:, None, None]
        colours = _blend(colours, _grey(colours), 1 + layer.values("colour"))
        colours = _blend(colours, _mean_grey(colours), 1 + layer.values("contrast"))
    places = np.flatnonzero((colours != plain).any(axis=(1, 2)))
    return Step(places, {"colours": colours[places]}, recolour) if len(places) else None


def _change(colours: Floats, term: Term, chance: Chance) -> Floats:
    if term.name == "rgb_shift":
        shifted = colours.copy()
        shifted[:, :, 6] += np.stack([chance.values(term, channel) for channel in ("red", "green", "blue")], axis=1)
        return shifted
    values = chance.values(term)
    if term.name == "brightness":
        return colours * values[:, None, None]
    if term.name == "hue":
        return _hues(values) @ colours
    return _blend(colours, _mean_grey(colours) if term.name == "contrast" else _grey(colours), values)


def _blend(colours: Floats, grey: Floats, factor: Floats) -> Floats:
    """Distances from `grey` multiplied by `factor`."""
    factor = factor[:, None, None]
    return factor * colours + (1 - factor) * grey


def _grey(colours: Floats) -> Floats:
    """The matrix that gives the grey of each pixel in all three channels."""
    return np.repeat(LUMA @ colours, 3).reshape(-1, 7, 3).swapaxes(1, 2)


def _mean_grey(colours: Floats) -> Floats:
    """The matrix that gives the mean grey of the picture: what a pixel of the mean colour would become."""
    grey = _grey(colours)
    grey[:, :, 3:6] += grey[:, :, :3]
    grey[:, :, :3] = 0
    return grey


def _hues(degrees: Floats) -> Floats:
    """`[n, 3, 3]`: turns by these angles in the plane of colours."""
    sine, cosine = np.sin(np.radians(degrees))[:, None, None], np.cos(np.radians(degrees))[:, None, None]
    # What is added to the identity, so that no angle is no change to the last bit.
    return np.asarray(np.eye(3) + (cosine - 1) * _PLANE + sine * _QUARTER)


def recolour(pictures: torch.Tensor, numbers: Numbers) -> torch.Tensor:
    """`pictures` (of whole numbers) with the colours that each picture's matrix gives, from 0 to 255."""
    size = pictures.shape[-1]
    matrix = numbers["colours"]
    # Whole numbers: a row's sum is exact in float32 (4,096 pixels of 255 are 2^20), the picture's is in int64.
    mean = pictures.sum(3).long().sum(2).float() / size**2
    constant = matrix[:, :, 6]
    for channel in range(3):
        constant = constant + matrix[:, :, 3 + channel] * mean[:, channel, None]
    changed = torch.empty_like(pictures)
    for channel in range(3):
        plane = torch.mul(pictures[:, 0], matrix[:, channel, 0, None, None], out=changed[:, channel])
        plane.addcmul_(pictures[:, 1], matrix[:, channel, 1, None, None])
        plane.addcmul_(pictures[:, 2], matrix[:, channel, 2, None, None])
        plane.add_(constant[:, channel, None, None])
    return changed.clamp_(0, 255)
