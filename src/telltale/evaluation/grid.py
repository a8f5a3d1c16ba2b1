"""Pictures with what they are and what they were called, side by side as a PNG."""

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from telltale.evaluation.picture import FAINT, INK, Font, choose_face, load_font
from telltale.words import printable

COLUMNS: Final = 6

MOST: Final = 24
"""Pictures that are shown."""

WRONG: Final = (184, 46, 38)
"""Ink of a wrong answer, which also stands in words: nobody has to tell colours apart."""

_GROUND: Final = (240, 242, 245)
TILE: Final = 144
"""Side of the square in which a picture stands."""
_GAP: Final = 12
_MARGIN: Final = 32
_TOP: Final = 72
_LINE: Final = 17
_ROW: Final = TILE + 2 * _LINE + _GAP + 4


def draw_grid(pictures: Sequence[NDArray[np.uint8]], *, true: Sequence[str], predicted: Sequence[str]) -> bytes:
    """PNG of the first 24 of `pictures` (RGB, of any size), each with its class and what it was called below it.

    >>> red = np.full((20, 30, 3), (200, 0, 0), np.uint8)
    >>> draw_grid([red, red], true=["cat", "dog"], predicted=["cat", "cat"])[:4]
    b'\\x89PNG'
    """
    pictures, true, predicted = pictures[:MOST], true[:MOST], predicted[:MOST]
    columns, rows = min(COLUMNS, max(1, len(pictures))), -(-len(pictures) // COLUMNS)
    width = max(2 * _MARGIN + columns * (TILE + _GAP) - _GAP, 480)
    image = Image.new("RGB", (width, _TOP + rows * _ROW + _MARGIN // 2), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 20), "Test pictures, and what they were called", INK, load_font(20))
    font = load_font(13, choose_face("".join((*true, *predicted))))
    for number, (pixels, name, called) in enumerate(zip(pictures, true, predicted, strict=True)):
        left = _MARGIN + number % COLUMNS * (TILE + _GAP)
        top = _TOP + number // COLUMNS * _ROW
        paste_whole(image, pixels, (left, top))
        draw.text((left, top + TILE + 4), shorten_to(TILE, name, font), INK, font)
        said, ink = (f"wrong: {called}", WRONG) if name != called else ("right", FAINT)
        draw.text((left, top + TILE + 4 + _LINE), shorten_to(TILE, said, font), ink, font)
    buffer = io.BytesIO()
    # Photos are hardly smaller with level 4, and it takes twice as long.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def paste_whole(image: Image.Image, pixels: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    """The whole picture in the middle of a tile of `TILE` pixels at `corner`."""
    picture = Image.fromarray(pixels)
    scale = TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Small ones are enlarged without smoothing, so that their pixels can be seen.
    kind = Image.Resampling.LANCZOS if scale <= 1 else Image.Resampling.NEAREST
    left, top = corner
    image.paste(_GROUND, (left, top, left + TILE, top + TILE))
    image.paste(picture.resize(size, kind), (left + (TILE - size[0]) // 2, top + (TILE - size[1]) // 2))


def shorten_to(width: int, name: str, font: Font) -> str:
    """The longest form of `name` that is no wider than `width` pixels."""
    letters = min(len(name), width // 2)  # no letter is narrower than 2 pixels
    while letters > 3 and font.getlength(printable(name, letters)) > width:
        letters -= 1
    return printable(name, letters)
