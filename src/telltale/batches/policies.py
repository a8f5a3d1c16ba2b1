"""`OPERATIONS`: the fourteen of RandAugment and TrivialAugment with their ranges, and which picture draws which.

Names and ranges are those of torchvision 0.29 (`transforms.v2.RandAugment`, `TrivialAugmentWide`), with three
differences, so that they fit into one warp: a shear is about the middle, TrivialAugment moves by a share of the side
(its 32 pixels at 224), and what comes in from outside is the mirrored picture instead of black.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.batches.chance import Chance, Floats
from telltale.batches.changes import Term

STEPS: Final = 30
"""The largest magnitude; 0 is (nearly) no change."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; its value runs evenly from that of magnitude 0 to that of magnitude 30."""

    name: str
    rand: tuple[float, float]
    """Values of RandAugment for magnitudes 0 and 30."""
    wide: tuple[float, float]
    """Values of TrivialAugment."""
    signed: bool = True
    """Of either sign, both as likely."""


OPERATIONS: Final = (
    Operation("identity", (0, 0), (0, 0)),
    Operation("shear_x", (0, 0.3), (0, 0.99)),
    Operation("shear_y", (0, 0.3), (0, 0.99)),
    Operation("translate_x", (0, 150 / 331), (0, 32 / 224)),
    Operation("translate_y", (0, 150 / 331), (0, 32 / 224)),
    Operation("rotate", (0, 30), (0, 135)),
    Operation("brightness", (0, 0.9), (0, 0.99)),
    Operation("colour", (0, 0.9), (0, 0.99)),
    Operation("contrast", (0, 0.9), (0, 0.99)),
    Operation("sharpness", (0, 0.9), (0, 0.99)),
    Operation("posterize", (8, 4), (8, 2), signed=False),
    Operation("solarize", (255, 0), (255, 0), signed=False),
    Operation("autocontrast", (0, 0), (0, 0), signed=False),
    Operation("equalize", (0, 0), (0, 0), signed=False),
)

_PLACES: Final = {operation.name: place for place, operation in enumerate(OPERATIONS)}


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation for each picture of a batch, with its value."""

    operations: NDArray[np.int64]
    """`[n]`: places in `OPERATIONS`."""
    drawn: Floats
    """`[n]`: what each operation takes."""

    def values(self, name: str) -> Floats:
        """`[n]`: the values of the pictures that drew `name`, 0 for the others."""
        return np.where(self.drew(name), self.drawn, 0.0)

    def drew(self, name: str) -> NDArray[np.bool_]:
        """`[n]`: which pictures drew `name`."""
        return np.asarray(self.operations == _PLACES[name])


def draw_layers(terms: Mapping[str, Term], chance: Chance) -> list[Layer]:
    """What each picture draws: as many layers as RandAugment asks for, and the one of TrivialAugment."""
    layers = []
    if "randaugment" in terms:
        term = terms["randaugment"]
        magnitude = np.full(len(chance), term.high)
        layers += [_draw_layer(term, chance, magnitude, number) for number in range(int(term.low))]
    if "trivialaugment" in terms:
        magnitude = np.floor(chance.numbers("trivialaugment magnitude") * (STEPS + 1))
        layers.append(_draw_layer(terms["trivialaugment"], chance, magnitude, 0))
    return layers


def _draw_layer(term: Term, chance: Chance, magnitude: Floats, number: int) -> Layer:
    ranges = np.array([one.rand if term.name == "randaugment" else one.wide for one in OPERATIONS], np.float64)
    signed = np.array([one.signed for one in OPERATIONS])
    which, sign = chance.table(f"{term.name} {number}", 2)
    operations = np.where(chance.happens(term), np.floor(which * len(OPERATIONS)), 0).astype(np.int64)
    start, end = ranges[operations].T
    values = start + (end - start) * magnitude / STEPS
    return Layer(operations, np.where(signed[operations] & (sign < 0.5), -values, values))
