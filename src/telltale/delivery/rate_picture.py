"""The curve of a learning-rate search as a PNG, drawn with Pillow like the confusion matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telltale.delivery.chart import ticks
from telltale.delivery.fine_canvas import FineCanvas
from telltale.evaluation.picture import FAINT, INK, LINE, RAMP

SIZE: Final = (880, 520)
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 36, 136, 64


def draw_rates(rates: Sequence[float], losses: Sequence[float], best: float, why: str) -> bytes:
    """PNG of the loss at each learning rate, on an axis of powers of ten, with the rate to use marked; `why` it is."""
    heights = ticks(min(losses, default=0.0), max(losses, default=1.0))
    plot = _Plot(math.log10(min([*rates, best])), math.log10(max([*rates, best])), heights[0], heights[-1])
    canvas = FineCanvas(SIZE)
    canvas.write((_LEFT - 40, 26), f"Learning rate {best:g}", 24)
    canvas.write((_LEFT - 40, 64), why, 15, FAINT)
    _draw_axes(canvas, plot, heights)
    places = [plot.place(rate, loss) for rate, loss in zip(rates, losses, strict=True)]
    top, bottom = plot.place(best, plot.high), plot.place(best, plot.low)
    canvas.line([top, bottom], INK)
    canvas.write((top[0] + 6, top[1] + 2), f"{best:g}", 14)
    canvas.line(places, RAMP[4], 2)
    return canvas.to_png()


@dataclass(frozen=True, slots=True)
class _Plot:
    """The rectangle of the curve: powers of ten from `left` to `right`, losses from `low` to `high`."""

    left: float
    right: float
    low: float
    high: float

    def place(self, rate: float, loss: float) -> tuple[float, float]:
        """Where a point lies."""
        across = (math.log10(rate) - self.left) / max(self.right - self.left, 1e-9)
        up = (loss - self.low) / max(self.high - self.low, 1e-9)
        x = _LEFT + across * (SIZE[0] - _LEFT - _RIGHT)
        y = SIZE[1] - _BOTTOM - up * (SIZE[1] - _TOP - _BOTTOM)
        return x, y


def _draw_axes(canvas: FineCanvas, plot: _Plot, heights: Sequence[float]) -> None:
    for height in heights:
        y = plot.place(10**plot.left, height)[1]
        canvas.line([(_LEFT, y), (SIZE[0] - _RIGHT, y)], LINE)
        canvas.write((_LEFT - 10, y), f"{height:g}", 13, FAINT, "rm")
    foot = SIZE[1] - _BOTTOM
    for power in range(math.ceil(plot.left - 1e-9), math.floor(plot.right + 1e-9) + 1):
        x = plot.place(10**power, plot.low)[0]
        canvas.line([(x, foot), (x, foot + 5)], FAINT)
        canvas.write((x, foot + 10), f"{10**power:g}", 13, FAINT, "ma")
    canvas.write(((SIZE[0] + _LEFT - _RIGHT) / 2, foot + 34), "learning rate", 14, FAINT, "ma")
    canvas.write((_LEFT - 40, _TOP - 20), "loss, mean of the last batches", 14, FAINT, "ls")
