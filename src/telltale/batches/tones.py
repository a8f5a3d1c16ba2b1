"""Posterize, solarize, autocontrast, equalize and sharpness, by torchvision, for the pictures that drew them."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from torchvision.transforms.v2 import functional

from telltale.batches.policies import Layer
from telltale.batches.steps import Numbers, Step


def draw_tones(layers: list[Layer]) -> Iterator[Step]:
    """A step for each operation and value that some picture drew, layer by layer."""
    for layer in layers:
        for name, change in _CHANGES.items():
            drew = layer.drew(name)
            for value in np.unique(layer.drawn[drew]):
                places = np.flatnonzero(drew & (layer.drawn == value))
                yield Step(places, {}, partial(_apply, change, float(value)))


def _apply(
    change: Callable[[torch.Tensor, float], torch.Tensor], value: float, pictures: torch.Tensor, _: Numbers
) -> torch.Tensor:
    return change(pictures.byte(), value).float()


def _sharpen(pictures: torch.Tensor, value: float) -> torch.Tensor:
    # One by one: torchvision's convolution takes 5 times as long with 32 pictures at once (160 pixels, CPU).
    return torch.stack([functional.adjust_sharpness(picture, 1 + value) for picture in pictures])


_CHANGES: Final[dict[str, Callable[[torch.Tensor, float], torch.Tensor]]] = {
    "sharpness": _sharpen,
    "posterize": lambda pictures, value: functional.posterize(pictures, round(value)),
    "solarize": lambda pictures, value: functional.solarize(pictures, value),
    "autocontrast": lambda pictures, _: functional.autocontrast(pictures),
    "equalize": lambda pictures, _: functional.equalize(pictures),
}
