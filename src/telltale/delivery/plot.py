"""`Plot`: a chart as numbers in SVG coordinates, with bands, bars and marks; the report's templates draw it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telltale.delivery.chart import Tick

WIDTH: Final = 440
HEIGHT: Final = 250
LEFT: Final = 50
RIGHT: Final = WIDTH - 20
TOP: Final = 14
BOTTOM: Final = HEIGHT - 42
"""The frame that the curves are drawn in; below it ticks and the name of the axis."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through `points` (of an SVG polyline), in one of the three colours of the page."""

    points: str
    colour: int = 0


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with the ends of its interval, and the words that a reader hears or sees on pointing at it."""

    x: float
    y: float
    low: float
    high: float
    words: str
    colour: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, and its words."""

    left: float
    top: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An upright line with a text above it."""

    place: float
    text: str


@dataclass(frozen=True)
class Plot:
    """What one chart shows. `words` say it to those who do not see it."""

    title: str
    words: str
    across: tuple[Tick, ...] = ()
    up: tuple[Tick, ...] = ()
    across_name: str = ""
    bands: tuple[str, ...] = ()
    """Points of polygons."""
    guides: tuple[str, ...] = ()
    """Points of faint dashed lines to compare with."""
    strokes: tuple[Stroke, ...] = ()
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` as places from `start` to `stop`; with `log` in equal steps for equal ratios.

    >>> Scale(0, 1, 50, 430).place(0.5), Scale(10, 1000, 0, 100, log=True).place(100)
    (240.0, 50.0)
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` is drawn; values outside are drawn at the edge."""
        low, high, value = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start), 1)


def across_scale(low: float, high: float, *, log: bool = False) -> Scale:
    """From the left to the right edge of the frame."""
    return Scale(low, high, LEFT, RIGHT, log)


def up_scale(low: float, high: float) -> Scale:
    """From the lower to the upper edge of the frame."""
    return Scale(low, high, BOTTOM, TOP)


def join_points(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Places as the `points` of an SVG element.

    >>> join_points([1, 2], [3.5, 4])
    '1,3.5 2,4'
    """
    return " ".join(f"{x:g},{y:g}" for x, y in zip(xs, ys, strict=True))


def band(xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> str:
    """The `points` of the area between two curves."""
    return join_points([*xs, *reversed(xs)], [*lows, *reversed(highs)])
