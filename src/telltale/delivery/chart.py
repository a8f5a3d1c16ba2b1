"""Line charts over epochs as plain numbers in SVG coordinates; the report's template draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 440
HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 28


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One series: `pieces` are the `points` of one SVG polyline each, broken where a value is missing."""

    name: str
    pieces: tuple[str, ...]
    last: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines with the ticks of both axes."""

    title: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def draw_lines(title: str, rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> Chart | None:
    """The columns `names` of `rows` over their `epoch`; None where no row has a number in any of them.

    >>> chart = draw_lines("Loss", [{"epoch": 1, "val_loss": 2.0}, {"epoch": 2, "val_loss": 1.0}], ["val_loss"])
    >>> [tick.text for tick in chart.across], chart.lines[0].pieces
    (['1', '2'], ('46.0,12.0 428.0,202.0',))
    """
    epochs = [_number(row.get("epoch"), position + 1.0) for position, row in enumerate(rows)]
    columns = {name: [_number(row.get(name)) for row in rows] for name in names}
    columns = {name: values for name, values in columns.items() if any(map(math.isfinite, values))}
    if not columns:
        return None
    known = [value for values in columns.values() for value in values if math.isfinite(value)]
    up, across = ticks(min(known), max(known)), ticks(min(epochs), max(epochs), whole=True)
    x_low, x_high = _room(min(epochs), max(epochs))
    y_low, y_high = _room(min(up[0], *known), max(up[-1], *known))

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = _LEFT + (epoch - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - (value - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)
        return round(x, 1), round(y, 1)

    return Chart(
        title,
        tuple(
            _line(name, [place(*pair) for pair in zip(epochs, values, strict=True)]) for name, values in columns.items()
        ),
        tuple(Tick(place(value, y_low)[0], f"{value:g}") for value in across),
        tuple(Tick(place(x_low, value)[1], f"{value:g}") for value in up),
    )


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers, three to seven, that cover `low` to `high` (with `whole`: whole numbers that lie within).

    >>> ticks(0.13, 0.87)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(1, 20, whole=True)
    [5.0, 10.0, 15.0, 20.0]
    """
    low, high = _room(low, high) if not whole else (low, high)
    rough = max(high - low, 1e-12) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    if whole:
        step = max(1.0, float(round(step)))
        first, last = math.ceil(low / step), math.floor(high / step)
    else:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _room(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _number(value: object, missing: float = math.nan) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else missing


def _line(name: str, places: list[tuple[float, float]]) -> Line:
    pieces: list[list[str]] = [[]]
    last = (0.0, 0.0)
    for x, y in places:
        if math.isfinite(y):
            pieces[-1].append(f"{x},{y}")
            last = (x, y)
        elif pieces[-1]:
            pieces.append([])
    return Line(name, tuple(" ".join(piece) for piece in pieces if piece), last)
