"""A heat map laid over its picture, and mistakes beside the places that led to them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from telltale.evaluation.grid import TILE, WRONG, paste_whole, shorten_to
from telltale.evaluation.picture import FAINT, INK, choose_face, load_font

# Dark violet to yellow, monotone in lightness (stops of matplotlib's "inferno" without its black and white ends): its
# order can be seen by colour-blind eyes and on grey paper.
HEAT: Final = ((66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (247, 215, 74))

STRONGEST: Final = 0.7
"""Share of the colour in the hottest place, where the picture must still be recognised."""

UNSEEN: Final = (240, 242, 245)
"""Over what the network does not look at, most of the picture fades to this."""

COLUMNS: Final = 3

MOST: Final = 12
"""Pictures that are shown, each beside its heat map."""

_MARGIN: Final = 32
_GAP: Final = 18
_TOP: Final = 96
_LINE: Final = 17
_PAIR: Final = 2 * TILE + 4
_ROW: Final = TILE + 2 * _LINE + _GAP + 2
_SCALE: Final = 96

_FADED: Final = 0.65
_GREY: Final = (0.299, 0.587, 0.114)
_LIGHT: Final = 0.25
"""Share of white in the grey: a black picture too lets the darkest colours be told from none."""


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture in grey, coloured along `HEAT` where it is hot: uint8 `[height, width, 3]`.

    `heat` is float32 `[height, width]` from 0 to 1 as `Preprocess.place_back` gives it; NaN marks what the network does
    not look at.

    >>> overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0, 1]], np.float32)).tolist()
    [[[64, 64, 64], [192, 170, 71]]]
    """
    grey = (pixels.astype(np.float32) @ np.array(_GREY, np.float32))[..., None] * (1 - _LIGHT) + 255 * _LIGHT
    known = np.nan_to_num(heat)
    stops = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(known, stops, np.array(HEAT)[:, channel]) for channel in range(3)], axis=-1)
    share = STRONGEST * known[..., None]
    seen = grey * (1 - share) + colours * share
    unseen = grey * (1 - _FADED) + np.array(UNSEEN) * _FADED
    return np.rint(np.where(np.isnan(heat)[..., None], unseen, seen)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Explained:
    """A picture that is `true` and was called `predicted`, with `probability`, beside what spoke for that."""

    pixels: NDArray[np.uint8]
    """uint8 `[height, width, 3]`."""
    overlaid: NDArray[np.uint8]
    """The same under its heat map (`overlay`)."""
    true: str
    predicted: str
    probability: float


def draw_explained(title: str, explained: Sequence[Explained]) -> bytes:
    """PNG of the first 12, each picture beside its heat map with both names below, under a title and a key."""
    explained = explained[:MOST]
    columns, rows = min(COLUMNS, max(1, len(explained))), -(-len(explained) // COLUMNS)
    width = max(2 * _MARGIN + columns * (_PAIR + _GAP) - _GAP, 640)
    image = Image.new("RGB", (width, _TOP + rows * _ROW + _MARGIN // 2), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 20), title, INK, load_font(20))
    _draw_key(draw, (_MARGIN, 56))
    font = load_font(13, choose_face("".join(name for one in explained for name in (one.true, one.predicted))))
    for number, one in enumerate(explained):
        left = _MARGIN + number % COLUMNS * (_PAIR + _GAP)
        top = _TOP + number // COLUMNS * _ROW
        paste_whole(image, one.pixels, (left, top))
        paste_whole(image, one.overlaid, (left + TILE + 4, top))
        right = one.true == one.predicted
        said = "right" if right else f"wrong: {one.predicted}"
        draw.text((left, top + TILE + 4), shorten_to(TILE, one.true, font), INK, font)
        place = (left + TILE + 4, top + TILE + 4)
        draw.text(place, shorten_to(TILE, said, font), FAINT if right else WRONG, font)
        draw.text((place[0], place[1] + _LINE), f"{100 * one.probability:.1f} % sure", FAINT, font)
    buffer = io.BytesIO()
    # Photos are hardly smaller with level 4, and it takes twice as long.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _draw_key(draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    """What the colours mean, in words beside them."""
    left, top = corner
    strip = overlay(np.full((1, _SCALE, 3), 128, np.uint8), np.linspace(0, 1, _SCALE, dtype=np.float32)[None])
    for offset, ink in enumerate(strip[0].tolist()):
        draw.line((left + offset, top, left + offset, top + 13), tuple(ink))
    words = "Coloured: speaks for what it was called, the yellower the more.  Pale: beside what the network sees."
    draw.text((left + _SCALE + 10, top + 7), words, FAINT, load_font(13), anchor="lm")
