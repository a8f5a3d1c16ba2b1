"""Geometry: rotation, shear, zoom, shift, crop and distortions, composed into one sampling of each picture.

Coordinates run from -1 to 1 between the outer edges of the picture, x to the right, y down, so that the middle of the
first of n pixels is at 1 / n - 1 and nothing moves by half a pixel. A matrix says where the changed picture finds its
pixels: the inverse of what the eye sees happen. What comes in from outside is the picture mirrored at its edge (as with
Keras' RandomRotation and with Albumentations): black corners would be something new to learn, and would tell the angle.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from telltale.batches.chance import Chance, Floats
from telltale.batches.changes import Term
from telltale.batches.policies import Layer
from telltale.batches.steps import Numbers, Step
from telltale.batches.turns import turn_matrices

CELLS: Final = 5
"""Rows and columns of `grid_distortion`, as Albumentations has them, and of `elastic`."""

_NODES: Final = CELLS + 3
_ASPECT: Final = math.log(4 / 3)


def draw_warp(
    terms: Mapping[str, Term], layers: list[Layer], chance: Chance, *, turns: NDArray[np.int64], size: int
) -> Step | None:
    """The step that samples anew every picture that is more than turned, with its turn; None where there is none.

    The eye sees: turned, cropped, sheared, zoomed, rotated, shifted, the operations of `layers`, then distorted.
    """
    moved = _draw_matrices(terms, layers, chance)
    warped: NDArray[np.bool_] = (moved != np.eye(3)).any(axis=(1, 2))
    numbers: dict[str, Floats] = {}
    for name, draw in _DISTORTIONS.items():
        if name in terms:
            happens = chance.happens(terms[name])
            numbers[name] = draw(terms[name], chance, happens)
            warped |= happens
    places = np.flatnonzero(warped)
    if not len(places):
        return None
    numbers = {name: values[places] for name, values in numbers.items()}
    if "elastic" in numbers:
        numbers["basis"] = _basis(size)
    return Step(places, {"matrix": (turn_matrices(turns) @ moved)[places], **numbers}, sample)


def _draw_matrices(terms: Mapping[str, Term], layers: list[Layer], chance: Chance) -> Floats:
    moved = np.tile(np.eye(3), (len(chance), 1, 1))
    for name, draw in _MOVES.items():
        if name in terms:
            happens = chance.happens(terms[name])[:, None, None]
            moved = moved @ np.where(happens, draw(terms[name], chance), np.eye(3))
    for layer in layers:
        moved = moved @ _layer(layer)
    return moved


def _matrices(**entries: Floats) -> Floats:
    """`[n, 3, 3]`: x = xx * x' + xy * y' + x0, and y likewise; what is not given is that of the identity."""
    matrices = np.tile(np.eye(3), (len(next(iter(entries.values()))), 1, 1))
    for name, values in entries.items():
        matrices[:, "xy".index(name[0]), "xy0".index(name[1])] = values
    return matrices


def _crop(term: Term, chance: Chance) -> Floats:
    area = chance.values(term)
    ratio, x, y = chance.table("crop place", 3) * 2 - 1
    # A part of this area fits into the picture only if it is not too long.
    aspect = np.exp(ratio * np.minimum(_ASPECT, -np.log(area)))
    width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
    return _matrices(xx=width, yy=height, x0=x * (1 - width), y0=y * (1 - height))


def _shear(term: Term, chance: Chance) -> Floats:
    slant = np.tan(np.radians(chance.values(term)))
    rows = chance.numbers("shear rows") < 0.5
    return _matrices(xy=np.where(rows, slant, 0), yx=np.where(rows, 0, slant))


def _zoom(term: Term, chance: Chance) -> Floats:
    scale = 1 / chance.values(term)
    return _matrices(xx=scale, yy=scale)


def _rotate(term: Term, chance: Chance) -> Floats:
    return _rotation(chance.values(term))


def _rotation(degrees: Floats) -> Floats:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return _matrices(xx=cosine, xy=-sine, yx=sine, yy=cosine)


def _shift(term: Term, chance: Chance) -> Floats:
    # The picture is 2 wide.
    return _matrices(x0=-2 * chance.values(term), y0=-2 * chance.values(term, "down"))


_MOVES: Final[dict[str, Callable[[Term, Chance], Floats]]] = {
    "crop": _crop,
    "shear": _shear,
    "zoom": _zoom,
    "rotation": _rotate,
    "shift": _shift,
}


def _layer(layer: Layer) -> Floats:
    """The geometric operations of one layer; the identity for pictures that drew another."""
    moved = _matrices(
        xy=layer.values("shear_x"),
        yx=layer.values("shear_y"),
        x0=-2 * layer.values("translate_x"),
        y0=-2 * layer.values("translate_y"),
    )
    return moved @ _rotation(layer.values("rotate"))


def _draw_grid(term: Term, chance: Chance, happens: NDArray[np.bool_]) -> Floats:
    """`[n, 2, 6]`: where the edges between columns and those between rows find their pixels."""
    widths = chance.table("grid_distortion widths", 2 * CELLS).reshape(2, CELLS, -1) * 2 - 1
    widths = 1 + np.where(happens, chance.values(term), 0) * widths
    edges = np.concatenate([np.zeros((2, 1, len(chance))), widths.cumsum(axis=1)], axis=1)
    return np.moveaxis(edges / edges[:, -1:] * 2 - 1, 2, 0)


def _draw_lens(term: Term, chance: Chance, happens: NDArray[np.bool_]) -> Floats:
    """`[n]`: the strength of the lens."""
    return np.where(happens, chance.values(term), 0)


def _draw_elastic(term: Term, chance: Chance, happens: NDArray[np.bool_]) -> Floats:
    """`[n, 2, 8, 8]`: displacements to the right and down of the nodes of a grid that reaches one beyond each edge."""
    nodes = chance.table("elastic nodes", 2 * _NODES**2).reshape(2, _NODES, _NODES, -1) * 2 - 1
    return np.moveaxis(2 * np.where(happens, chance.values(term), 0) * nodes, 3, 0)


_DISTORTIONS: Final[dict[str, Callable[[Term, Chance, NDArray[np.bool_]], Floats]]] = {
    "grid_distortion": _draw_grid,
    "optical_distortion": _draw_lens,
    "elastic": _draw_elastic,
}


def _basis(size: int) -> Floats:
    """`[size, 8]`: how much each node counts at each pixel: cubic B-splines, smooth and never beyond their nodes."""
    place = (np.arange(size) + 0.5) / size * CELLS
    away = np.abs(place[:, None] - np.arange(-1, CELLS + 2))
    return np.where(away < 1, 2 / 3 - away**2 + away**3 / 2, np.maximum(2 - away, 0) ** 3 / 6)


def sample(pictures: torch.Tensor, numbers: Numbers) -> torch.Tensor:
    """`pictures` sampled once, bilinearly, where the matrix and the distortions of each say."""
    count, _, size, _ = pictures.shape
    line = (torch.arange(size, device=pictures.device) * 2 + 1).float() / size - 1
    x, y = line[None, None, :], line[None, :, None]
    if "grid_distortion" in numbers:
        x, y = _stretch(numbers["grid_distortion"], line)
    if "optical_distortion" in numbers:
        # OpenCV's lens with k1 = k2; its focal length is the side, so the radius is 0.5 at the middle of an edge.
        radius = (x * x + y * y) / 4
        factor = (radius + radius * radius) * numbers["optical_distortion"][:, None, None] + 1
        x, y = x * factor, y * factor
    if "elastic" in numbers:
        displaced = _spread(numbers["elastic"], numbers["basis"])
        x, y = x + displaced[:, 0], y + displaced[:, 1]
    matrix = numbers["matrix"][:, :, :, None, None]
    grid = torch.empty(count, size, size, 2, device=pictures.device)
    for axis in (0, 1):
        # Sums and products one by one: a matrix product may round otherwise in a batch of another size.
        torch.add(x * matrix[:, axis, 0], y * matrix[:, axis, 1] + matrix[:, axis, 2], out=grid[..., axis])
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _stretch(edges: torch.Tensor, line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each column and each row finds its pixels: evenly between the edges of its cell."""
    place = (line + 1) * (CELLS / 2)
    cell = place.floor().clamp(0, CELLS - 1)
    left = edges.index_select(2, cell.long())
    right = edges.index_select(2, cell.long() + 1)
    lines = left + (right - left) * (place - cell)
    return lines[:, 0, None, :], lines[:, 1, :, None]


def _spread(nodes: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """`[n, 2, size, size]`: the displacement of each pixel, from those of the nodes."""
    across = nodes[:, :, :, 0, None] * basis[:, 0]
    for node in range(1, _NODES):
        across = across + nodes[:, :, :, node, None] * basis[:, node]
    down = across[:, :, 0, None, :] * basis[:, 0, None]
    for node in range(1, _NODES):
        down.addcmul_(across[:, :, node, None, :], basis[:, node, None])
    return down
