"""What the network sees in training, as a PNG: some pictures as they are, and as the first six epochs change them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from telltale.batches.augmentation import Augmentation
from telltale.evaluation.picture import FAINT, INK, Font, choose_face, load_font
from telltale.words import printable

MOST: Final = 6
"""Pictures that are shown, one a row."""

EPOCHS: Final = 6
"""Draws of each."""

_Tile: TypeAlias = tuple[NDArray[np.uint8], list[str]]

_TILE: Final = 128
_GAP: Final = 8
_MARGIN: Final = 32
_LINE: Final = 16
_WIDTH: Final = 2 * _MARGIN + (1 + EPOCHS) * (_TILE + _GAP) - _GAP


def draw_preview(squares: NDArray[np.uint8], augmentation: Augmentation, *, seed: int, names: Sequence[str]) -> bytes:
    """PNG of the first six of `squares` (`[n, size, size, 3]`), each as it is and as epochs 1 to 6 would change it.

    `names` stand under the pictures: their classes. Where pictures are mixed, the shown ones are mixed with one
    another, and under each stands how much either label counts. The rows of a training are others: its pictures are
    changed in the same ways, not in the same order. Where nothing is changed, each is there once, side by side.
    """
    squares, names = squares[:MOST], [printable(name) for name in names[:MOST]]
    changes = [term.words for term in augmentation.terms if term.probability]
    # A probe of pictures as they are starts without torch, so nothing of it is asked for then.
    epochs = [_draw_epoch(squares, augmentation, seed, epoch) for epoch in range(1, EPOCHS + 1)] if changes else []
    rows = [_lay_row(number, squares, epochs, names) for number in range(len(squares))]
    if not changes:
        rows = [[tile for row in rows for tile in row]]
    small = load_font(12, choose_face("".join(names)))
    terms = _wrap(changes or ["nothing is changed"], load_font(14), _WIDTH - 2 * _MARGIN)
    top = 76 + 20 * len(terms) + 24
    height = _TILE + _LINE * (2 if augmentation.mixes else 1) + 3 * _GAP // 2
    image = Image.new("RGB", (_WIDTH, top + height * len(rows) + _MARGIN // 2), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 26), "What the network sees", INK, load_font(24))
    for line, text in enumerate(terms):
        draw.text((_MARGIN, 66 + 20 * line), text, FAINT, load_font(14))
    headings = ["as it is", *(f"epoch {epoch}" for epoch in range(1, EPOCHS + 1))] if changes else []
    for column, heading in enumerate(headings):
        draw.text((_left(column), top - 8), heading, FAINT, load_font(12), anchor="ls")
    for number, row in enumerate(rows):
        for column, (square, lines) in enumerate(row):
            _paste(image, square, (_left(column), top + height * number))
            _write(draw, lines, (_left(column), top + height * number + _TILE + 3), small)
    buffer = io.BytesIO()
    # Photos are hardly smaller with level 4 (by 5 %), and it takes twice as long.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What one epoch makes of the pictures."""

    squares: NDArray[np.uint8]
    partners: list[int]
    shares: list[float]


def _draw_epoch(squares: NDArray[np.uint8], augmentation: Augmentation, seed: int, epoch: int) -> _Epoch:
    import torch

    rows = np.arange(len(squares))
    seen = augmentation.apply(torch.tensor(squares), rows, seed=seed, epoch=epoch)
    partners, shares = rows.tolist(), [1.0] * len(rows)
    if augmentation.mixes:
        seen, partner, share = augmentation.mix(seen, rows, seed=seed, epoch=epoch)
        partners, shares = partner.tolist(), share.tolist()
    return _Epoch(seen.round().byte().permute(0, 2, 3, 1).numpy(), partners, shares)


def _lay_row(number: int, squares: NDArray[np.uint8], epochs: Sequence[_Epoch], names: list[str]) -> list[_Tile]:
    """One picture as it is and in each epoch, with the lines under it."""
    return [(squares[number], [names[number]]), *((one.squares[number], _labels(one, number, names)) for one in epochs)]


def _labels(seen: _Epoch, number: int, names: list[str]) -> list[str]:
    """How much either label counts, in words; nothing where there is one only, but for less than half a percent."""
    own, name, other = round(100 * seen.shares[number]), names[number], names[seen.partners[number]]
    if own == 100 or name == other:
        return []
    return [f"{percent} % {one}" for percent, one in ((own, name), (100 - own, other)) if percent]


def _left(column: int) -> int:
    return _MARGIN + column * (_TILE + _GAP)


def _paste(image: Image.Image, square: NDArray[np.uint8], place: tuple[int, int]) -> None:
    # Small inputs are enlarged without smoothing, so that the pixels of the network can be seen.
    kind = Image.Resampling.LANCZOS if len(square) >= _TILE else Image.Resampling.NEAREST
    image.paste(Image.fromarray(square).resize((_TILE, _TILE), kind), place)


def _write(draw: ImageDraw.ImageDraw, lines: list[str], place: tuple[int, int], font: Font) -> None:
    for number, line in enumerate(lines):
        letters = min(len(line), _TILE // 2)  # no letter is narrower than 2 pixels
        while letters > 3 and font.getlength(printable(line, letters)) > _TILE:
            letters -= 1
        draw.text((place[0], place[1] + _LINE * number), printable(line, letters), INK, font)


def _wrap(pieces: list[str], font: Font, width: int) -> list[str]:
    """`pieces`, with commas between them, in as few lines as fit into `width` pixels."""
    lines = [""]
    for number, piece in enumerate(pieces, start=1):
        piece += "," if number < len(pieces) else ""
        longer = f"{lines[-1]} {piece}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(piece)
        else:
            lines[-1] = longer
    return lines
