"""`find_differences`: how two sets of pictures differ in what was measured of each: light, sharpness, size, file."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.evaluation.metrics import Floats, Interval, Ints
from telltale.evaluation.separation import CHANCE, separate

FEWEST: Final = 20
"""Pictures that each set must have before it is said how they differ: of fewer an interval spans nearly everything."""

SMALL: Final = 0.06
"""Distance of an AUC from 0.5 below which a difference is not worth a word (Vargha and Delaney, "A critique and
improvement of the CL common language effect size statistics", 2000: 0.56 is small, 0.64 medium, 0.71 large)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a picture, as text: its `unit`, its `digits`, and what it is called where it is larger or less."""

    name: str
    of: Callable[[pa.Table], Floats]
    more: str
    less: str
    digits: int = 2
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One number in both sets: its medians, and how well it alone tells the sets apart."""

    name: str
    unit: str
    reference: float
    other: float
    auc: Interval
    """Probability that it is larger for a picture of the other set than for one of the reference, of the same class."""
    word: str = ""
    """What the other set is, such as "darker"; empty where the difference is small, may be chance, or does not show."""


def _column(name: str) -> Callable[[pa.Table], Floats]:
    return lambda table: table.column(name).cast(pa.float64()).to_numpy()


def _shorter_side(table: pa.Table) -> Floats:
    return np.fmin(_column("width")(table), _column("height")(table))


def _aspect(table: pa.Table) -> Floats:
    return _column("width")(table) / _column("height")(table)


def _density(table: pa.Table) -> Floats:
    return _column("bytes")(table) / (_column("width")(table) * _column("height")(table))


MEASURES: Final = (
    Measure("brightness", _column("brightness"), "brighter", "darker"),
    Measure("contrast", _column("contrast"), "richer in contrast", "poorer in contrast"),
    Measure("sharpness", _column("sharpness"), "sharper", "blurrier"),
    Measure("colour", _column("colour"), "more colourful", "less colourful"),
    Measure("shorter side", _shorter_side, "larger", "smaller", 0, "pixels"),
    Measure("aspect", _aspect, "wider", "narrower"),
    Measure("bytes per pixel", _density, "less compressed", "more compressed"),
    Measure("JPEG quality", _column("quality"), "saved at a higher quality", "saved at a lower quality", 0),
)
"""What is compared, in the order in which it is shown. Width over height is the aspect."""

_STRICT: Final = NormalDist().inv_cdf(1 - 0.025 / len(MEASURES))
"""Reach of an interval that a difference must pass to get a word: so many are tried, one would be chance too often."""


def find_differences(
    table: pa.Table, second: NDArray[np.bool_], classes: Ints, *, share: float = 1.0
) -> tuple[Difference, ...]:
    """A `Difference` for each of `MEASURES` that at least `FEWEST` pictures of each set have.

    `table` is that of an `Index` of `n` readable pictures; `second` bool `[n]` says which are of the other set, the
    rest is the reference. `classes` int `[n]` from 0 and `share` are as in `separate`.
    """
    found = []
    for measure in MEASURES:
        values = measure.of(table)
        known = np.isfinite(values)
        if min((known & second).sum(), (known & ~second).sum()) < FEWEST:
            continue
        parts = values[known], second[known], classes[known]
        area, strict = separate(*parts, share=share), separate(*parts, share=share, z=_STRICT)
        if area is None or strict is None:
            continue
        before, after = (float(np.median(values[known & side])) for side in (~second, second))
        # Where the other set holds altered copies of the reference, each is compared with its own: no difference shows.
        same = format_value(measure.name, before) == format_value(measure.name, after)
        sure = not same and not strict.low <= CHANCE <= strict.high and abs(area.value - CHANCE) >= SMALL
        word = (measure.more if area.value > CHANCE else measure.less) if sure else ""
        found.append(Difference(measure.name, measure.unit, before, after, area, word))
    return tuple(found)


def format_value(name: str, value: float) -> str:
    """A value of the measure `name` as text.

    >>> format_value("shorter side", 374.0), format_value("brightness", 0.4567)
    ('374', '0.46')
    """
    (measure,) = (one for one in MEASURES if one.name == name)
    return f"{value:,.{measure.digits}f}"
