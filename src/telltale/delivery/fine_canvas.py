"""`FineCanvas`: lines and words on white with soft edges, which Pillow's own lines lack."""

import io
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from PIL import Image, ImageDraw

from telltale.evaluation.picture import INK, RAMP, Colour, load_font

FINE: Final = 3
"""Times larger while it is drawn."""

_DASH: Final = 7
_PAUSE: Final = 4

Place: TypeAlias = tuple[float, float]


class FineCanvas:
    """A white picture of `size` (width, height); places, sizes and widths are in its pixels."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._image = Image.new("RGB", (size[0] * FINE, size[1] * FINE), RAMP[0])
        self._draw = ImageDraw.Draw(self._image)

    def write(self, place: Place, text: str, size: int, ink: Colour = INK, anchor: str = "la") -> None:
        """Text of `size` pixels; `anchor` as Pillow names it."""
        self._draw.text((place[0] * FINE, place[1] * FINE), text, ink, load_font(size * FINE), anchor=anchor)

    def line(self, places: Sequence[Place], ink: Colour, width: float = 1, *, dashed: bool = False) -> None:
        """A line through all places; nothing where there is only one."""
        for part in _dash(places) if dashed else [places]:
            if len(part) > 1:
                fine = [(x * FINE, y * FINE) for x, y in part]
                self._draw.line(fine, ink, round(width * FINE), joint="curve")

    def to_png(self) -> bytes:
        """What was drawn."""
        buffer = io.BytesIO()
        self._image.resize(self._size, Image.Resampling.LANCZOS).save(buffer, "PNG", compress_level=4)
        return buffer.getvalue()


def _dash(places: Sequence[Place]) -> list[list[Place]]:
    """The parts of a line that are drawn, measured along it."""
    parts: list[list[Place]] = []
    walked = 0.0
    for (x, y), (to_x, to_y) in pairwise(places):
        length, at = math.hypot(to_x - x, to_y - y), 0.0
        while at < length:
            phase = (walked + at) % (_DASH + _PAUSE)
            end = min(length, at + (_DASH if phase < _DASH else _DASH + _PAUSE) - phase + 1e-6)
            if phase < _DASH:
                parts.append([(x + (to_x - x) * far / length, y + (to_y - y) * far / length) for far in (at, end)])
            at = end
        walked += length
    return parts
