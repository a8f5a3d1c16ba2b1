"""How large the pictures are: two histograms as plain numbers in SVG coordinates; the template draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.index import Index
from telltale.delivery.chart import HEIGHT, WIDTH, Tick, ticks
from telltale.delivery.plot import Bar

ASPECTS: Final = ("1:1", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2", "3:1", "1:3", "5:1", "1:5", "10:1", "1:10")
"""Names of aspects that the axis may carry, the most telling first."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 22, 28
_BINS: Final = 28
_LEAST: Final = 1.5
"""Height of a bar of one picture among a million: still to be seen."""

_APART: Final = 34
"""Pixels between two texts on an axis."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars over a logarithmic axis, and a marked place (None: nothing is marked)."""

    title: str
    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    mark: Tick | None


def draw_sizes(index: Index, size: int) -> list[Histogram]:
    """Histograms of the shorter side, with `size` marked, and of the aspect; without one where all are equal."""
    width, height = (index.table.column(name).drop_null().to_numpy().astype(np.int64) for name in ("width", "height"))
    shorter, aspect = np.minimum(width, height), width / np.maximum(height, 1)
    powers = [(float(2**power), f"{2**power:,}") for power in range(20)]
    ends = [(float(side), f"{side:,}") for side in (shorter.min(initial=1), shorter.max(initial=1))]
    names = [(float(Fraction(*map(int, name.split(":")))), name) for name in ASPECTS]
    drawn = [
        _draw("Shorter side in pixels", shorter, powers + ends, f"input {size}", mark=float(size)),
        _draw("Width to height", aspect, names, ""),
    ]
    return [one for one in drawn if one is not None]


def _draw(
    title: str, values: NDArray[Any], names: Sequence[tuple[float, str]], words: str, *, mark: float = 0
) -> Histogram | None:
    """Counts of `values` in bins of equal ratio; `names` are candidates for the axis, the first have precedence."""
    if not len(values) or values.min() == values.max():
        return None
    known = [*values[[values.argmin(), values.argmax()]].tolist(), *([mark] if mark else [])]
    low, high = np.log(min(known)), np.log(max(known))
    low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)
    counts, edges = np.histogram(np.log(values), _BINS, (low, high))
    up = ticks(0, float(counts.max()))
    span, room = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def across(value: float) -> float:
        return round(float(_LEFT + (np.log(value) - low) / (high - low) * span), 1)

    bars = [
        Bar(
            round(_LEFT + number * span / _BINS + 0.5, 1),
            round(HEIGHT - _BOTTOM - max(_LEAST, count / up[-1] * room), 1),
            round(span / _BINS - 1, 1),
            round(max(_LEAST, count / up[-1] * room), 1),
            f"{_number(np.exp(edges[number]))} to {_number(np.exp(edges[number + 1]))}: {count:,}",
        )
        for number, count in enumerate(counts.tolist())
        if count
    ]
    inside = [Tick(across(value), name) for value, name in names if min(known) <= value <= max(known)]
    heights = [Tick(round(HEIGHT - _BOTTOM - value / up[-1] * room, 1), f"{value:,.10g}") for value in up]
    marked = Tick(across(mark), words) if mark else None
    return Histogram(title, tuple(bars), tuple(_apart(inside)), tuple(heights), marked)


def _apart(places: list[Tick]) -> list[Tick]:
    """Those of the ticks, the first preferred, whose texts do not run into each other."""
    kept: list[Tick] = []
    for one in places:
        if all(abs(one.place - other.place) >= _APART for other in kept):
            kept.append(one)
    return kept


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2f}"
