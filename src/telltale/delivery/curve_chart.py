"""Curves with bands as plain numbers in SVG coordinates: learning curve, reliability diagram, coverage and accuracy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from telltale.delivery.chart import Tick, ticks

WIDTH: Final = 440
HEIGHT: Final = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 12, 42

_MOST_TICKS: Final = 7


@dataclass(frozen=True, slots=True)
class Point:
    """A value `y` at `x`, and the ends of its interval; where they are not finite the point has no band."""

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Curve:
    """One series: `line` and `band` are the `points` of an SVG polyline and polygon, `dots` their centres."""

    name: str
    line: str
    band: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class CurveChart:
    """Curves with the ticks and names of both axes; `diagonal` is a line of equal values, empty where none is drawn."""

    title: str
    curves: tuple[Curve, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    across_name: str
    up_name: str
    diagonal: str = ""


def draw_curves(
    title: str,
    series: Mapping[str, Sequence[Point]],
    *,
    across: str,
    up: str,
    log: bool = False,
    diagonal: bool = False,
) -> CurveChart | None:
    """The series by name in one frame; None where none has a finite point.

    `across` and `up` name the axes. With `log` equal distances across are equal ratios, and points at 0 or below are
    left out. With `diagonal` both axes cover the same values.

    >>> points = [Point(100, 0.5, 0.4, 0.6), Point(1000, 1.0, 0.9, 1.0)]
    >>> chart = draw_curves("Accuracy", {"all": points}, across="pictures", up="accuracy", log=True)
    >>> [tick.text for tick in chart.across], chart.curves[0].line
    (['100', '200', '500', '1,000'], '46.0,175.3 422.0,12.0')
    """
    known = {name: [one for one in points if _usable(one, log)] for name, points in series.items()}
    known = {name: points for name, points in known.items() if points}
    if not known:
        return None
    flat = [one for points in known.values() for one in points]
    xs = [one.x for one in flat]
    ys = [value for one in flat for value in (one.y, one.low, one.high) if math.isfinite(value)]
    if diagonal:
        xs = ys = [*xs, *ys]
    sideways = log_ticks(min(xs), max(xs)) if log else ticks(min(xs), max(xs))
    heights = ticks(min(ys), max(ys))
    ends = (min(xs), max(xs)) if log else (sideways[0], sideways[-1])
    frame = _Frame(*_room(*ends, log=log), heights[0], heights[-1], log)
    return CurveChart(
        title,
        tuple(_curve(name, points, frame) for name, points in known.items()),
        tuple(Tick(frame.across(value), f"{value:,g}" if value < 1e6 else f"{value:g}") for value in sideways),
        tuple(Tick(frame.up(value), f"{value:g}") for value in heights),
        across,
        up,
        _join([(frame.across(end), frame.up(end)) for end in (heights[0], heights[-1])]) if diagonal else "",
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Values 1, 2 and 5 times powers of ten that lie within; of many only the powers, or every other of them.

    >>> log_ticks(125, 2000), log_ticks(1, 1e6)[:3]
    ([200.0, 500.0, 1000.0, 2000.0], [1.0, 10.0, 100.0])
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for factors, step in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
        found = [float(f"{factor}e{power}") for power in powers if power % step == 0 for factor in factors]
        found = [value for value in found if low * 0.9999 <= value <= high * 1.0001]
        if len(found) <= _MOST_TICKS:
            return found
    return found


@dataclass(frozen=True, slots=True)
class _Frame:
    """The rectangle of the curves, and the values at its edges."""

    left: float
    right: float
    low: float
    high: float
    log: bool

    def across(self, value: float) -> float:
        """Where `value` lies from left to right."""
        left, right, value = (math.log(one) if self.log else one for one in (self.left, self.right, value))
        return round(_LEFT + (value - left) / (right - left) * (WIDTH - _LEFT - _RIGHT), 1)

    def up(self, value: float) -> float:
        """Where `value` lies from top to bottom."""
        return round(HEIGHT - _BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM), 1)


def _usable(point: Point, log: bool) -> bool:
    return math.isfinite(point.x) and math.isfinite(point.y) and not (log and point.x <= 0)


def _room(low: float, high: float, *, log: bool) -> tuple[float, float]:
    if high > low:
        return low, high
    return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)


def _curve(name: str, points: Sequence[Point], frame: _Frame) -> Curve:
    places = [(frame.across(one.x), frame.up(one.y)) for one in points]
    banded = [one for one in points if math.isfinite(one.low) and math.isfinite(one.high)]
    edge = [(frame.across(one.x), frame.up(one.high)) for one in banded]
    edge += [(frame.across(one.x), frame.up(one.low)) for one in reversed(banded)]
    return Curve(name, _join(places), _join(edge) if len(banded) > 1 else "", tuple(places))


def _join(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)
