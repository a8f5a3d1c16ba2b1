"""The curve of a learning-rate search as a PNG, drawn with Pillow like the confusion matrix."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw

from telltale.delivery.chart import ticks
from telltale.evaluation.picture import FAINT, INK, LINE, RAMP, load_font

SIZE: Final = (880, 520)
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 36, 136, 64

_FINE: Final = 3
"""Times larger while it is drawn: Pillow's lines have no soft edges of their own."""


def draw_rates(rates: Sequence[float], losses: Sequence[float], best: float, why: str) -> bytes:
    """PNG of the loss at each learning rate, on an axis of powers of ten, with the rate to use marked; `why` it is."""
    heights = ticks(min(losses, default=0.0), max(losses, default=1.0))
    plot = _Plot(math.log10(min([*rates, best])), math.log10(max([*rates, best])), heights[0], heights[-1])
    image = Image.new("RGB", (SIZE[0] * _FINE, SIZE[1] * _FINE), RAMP[0])
    draw = ImageDraw.Draw(image)
    _write(draw, (_LEFT - 40, 26), f"Learning rate {best:g}", 24)
    _write(draw, (_LEFT - 40, 64), why, 15, FAINT)
    _draw_axes(draw, plot, heights)
    places = [plot.place(rate, loss) for rate, loss in zip(rates, losses, strict=True)]
    top, bottom = plot.place(best, plot.high), plot.place(best, plot.low)
    draw.line((*top, *bottom), INK, _FINE)
    _write(draw, (top[0] / _FINE + 6, top[1] / _FINE + 2), f"{best:g}", 14)
    if len(places) > 1:
        draw.line(places, RAMP[4], 2 * _FINE, joint="curve")
    buffer = io.BytesIO()
    image.resize(SIZE, Image.Resampling.LANCZOS).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Plot:
    """The rectangle of the curve: powers of ten from `left` to `right`, losses from `low` to `high`."""

    left: float
    right: float
    low: float
    high: float

    def place(self, rate: float, loss: float) -> tuple[float, float]:
        """Where a point lies, in fine pixels."""
        across = (math.log10(rate) - self.left) / max(self.right - self.left, 1e-9)
        up = (loss - self.low) / max(self.high - self.low, 1e-9)
        x = _LEFT + across * (SIZE[0] - _LEFT - _RIGHT)
        y = SIZE[1] - _BOTTOM - up * (SIZE[1] - _TOP - _BOTTOM)
        return x * _FINE, y * _FINE


def _draw_axes(draw: ImageDraw.ImageDraw, plot: _Plot, heights: Sequence[float]) -> None:
    for height in heights:
        y = plot.place(10**plot.left, height)[1]
        draw.line((_LEFT * _FINE, y, (SIZE[0] - _RIGHT) * _FINE, y), LINE, _FINE)
        _write(draw, (_LEFT - 10, y / _FINE), f"{height:g}", 13, FAINT, anchor="rm")
    foot = SIZE[1] - _BOTTOM
    for power in range(math.ceil(plot.left - 1e-9), math.floor(plot.right + 1e-9) + 1):
        x = plot.place(10**power, plot.low)[0]
        draw.line((x, foot * _FINE, x, (foot + 5) * _FINE), FAINT, _FINE)
        _write(draw, (x / _FINE, foot + 10), f"{10**power:g}", 13, FAINT, anchor="ma")
    _write(draw, ((SIZE[0] + _LEFT - _RIGHT) / 2, foot + 34), "learning rate", 14, FAINT, anchor="ma")
    _write(draw, (_LEFT - 40, _TOP - 20), "loss, mean of the last batches", 14, FAINT, anchor="ls")


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    ink: tuple[int, int, int] = INK,
    *,
    anchor: str = "la",
) -> None:
    draw.text((place[0] * _FINE, place[1] * _FINE), text, ink, load_font(size * _FINE), anchor=anchor)
