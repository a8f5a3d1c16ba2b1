"""`CHANGES`: what can be changed at random in training pictures, one line each; `Term`: one of them, as asked for.

Help, documentation, checks and the drawing of numbers read this table.

>>> parse_term("rotation=20@0.5")
Term(name='rotation', low=-20.0, high=20.0, probability=0.5)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from telltale.errors import RecipeError
from telltale.registry import unknown


@dataclass(frozen=True, slots=True)
class Spread:
    """From what one number says to the range that is drawn from."""

    says: str
    """What NAME=NUMBER means, for documentation."""
    ends: Callable[[float], tuple[float, float]]
    """The range for one number."""
    ratio: bool = False
    """Drawn evenly on a logarithmic scale: twice as large is as likely as half as large."""


NOTHING: Final = Spread("takes no value", lambda number: (number, number))
AROUND: Final = Spread("from -NUMBER to NUMBER", lambda number: (-number, number))
FACTOR: Final = Spread(
    "factors from 1 - NUMBER to 1 / (1 - NUMBER)",
    lambda number: (1 - number, 1 / (1 - number) if number < 1 else math.inf),
    ratio=True,
)
UP_TO: Final = Spread("from 0 to NUMBER", lambda number: (0.0, number))
FROM: Final = Spread("from NUMBER to 1", lambda number: (number, 1.0))
EXACTLY: Final = Spread("NUMBER", lambda number: (number, number))
LAYERS: Final = Spread(
    "NUMBER operations of magnitude 9; LOW:HIGH are OPERATIONS:MAGNITUDE", lambda number: (number, 9)
)


@dataclass(frozen=True, slots=True)
class Change:
    """One way to change a training picture."""

    name: str
    does: str
    """One sentence."""
    unit: str = ""
    """Of the value: LOW and HIGH."""
    spread: Spread = NOTHING
    """What one number means."""
    usual: float = 0.0
    """The number where none is given."""
    probability: float = 1.0
    """Share of the pictures that are changed, where none is given; the others stay as they are."""
    lowest: float = 0.0
    highest: float = 0.0

    @property
    def takes(self) -> str:
        """What may be written, as a sentence."""
        if self.spread is NOTHING:
            return f"No value: {self.name}, or {self.name}@{self.probability:g} with a probability."
        if self.spread is LAYERS:
            return f"OPERATIONS:MAGNITUDE, whole numbers of 1 to 10 and 0 to 30, such as {self.name}=2:9."
        return (
            f"LOW:HIGH between {self.lowest:g} and {self.highest:g} {self.unit}, or one NUMBER: {self.spread.says}, "
            f"such as {self.name}={self.usual:g}."
        )

    def allows(self, low: float, high: float) -> bool:
        """Whether LOW:HIGH can be drawn from."""
        if self.spread is LAYERS:
            return low in range(1, 11) and high in range(31)
        return self.lowest <= low <= high <= self.highest


CHANGES: Final = (
    Change("flip", "Mirrored from left to right.", probability=0.5),
    Change("vertical_flip", "Mirrored from top to bottom.", probability=0.5),
    Change("transpose", "Mirrored at the diagonal: rows become columns.", probability=0.5),
    Change("rotation", "Turned about the middle, anticlockwise.", "degrees", AROUND, 15, 1, -180, 180),
    Change("shear", "Slanted along the rows or the columns, either as likely.", "degrees", AROUND, 10, 1, -60, 60),
    Change("zoom", "Enlarged about the middle; below 1 made smaller.", "times", FACTOR, 0.2, 1, 0.1, 10),
    Change("shift", "Moved to the right and, drawn apart, down.", "of the side", AROUND, 0.1, 1, -1, 1),
    Change("crop", "A part, up to a third longer than wide or wider than long, fills all.", "of the area", FROM, 0.6, 1,
           0.01, 1),
    Change("brightness", "Every value multiplied.", "times", FACTOR, 0.2, 1, 0.05, 20),
    Change("contrast", "Distances from the picture's own mean grey multiplied.", "times", FACTOR, 0.2, 1, 0.05, 20),
    Change("rgb_shift", "Added to each channel, drawn apart.", "of 255", AROUND, 20, 1, -255, 255),
    Change("hue", "Colours turned about the axis of greys; the luma stays.", "degrees", AROUND, 18, 1, -360, 360),
    Change("saturation", "Distances from the pixel's own grey multiplied.", "times", FACTOR, 0.3, 1, 0.05, 20),
    Change("blur", "Gaussian blur; the value is its standard deviation.", "pixels", UP_TO, 1.5, 0.5, 0, 10),
    Change("noise", "Gaussian noise on each pixel and channel; the value is its standard deviation.", "of 255", UP_TO,
           12, 0.5, 0, 128),
    Change("grid_distortion", "Five columns and five rows, each made wider or narrower by up to that share.",
           "of their width", EXACTLY, 0.3, 0.5, 0, 0.9),
    Change("optical_distortion", "Bulges as with a lens whose k1 = k2 in OpenCV: above 0 outwards (barrel), below 0 "
           "inwards (pincushion).", "for k", AROUND, 0.05, 0.5, -0.35, 0.35),
    Change("elastic", "Displaced here and there, smoothly, by at most that share; up to 0.1 nothing folds over.",
           "of the side", EXACTLY, 0.08, 0.5, 0, 0.2),
    Change("cutout", "A grey rectangle, whose middle lies anywhere; the value is drawn for both its sides.",
           "of the side", EXACTLY, 0.3, 0.5, 0, 1),
    Change("randaugment", "Operations drawn from the fourteen of RandAugment (Cubuk et al. 2020), of one magnitude.",
           "", LAYERS, 2),
    Change("trivialaugment", "One of the same operations with a magnitude drawn anew, in the wide ranges of "
           "TrivialAugment (Müller & Hutter 2021)."),
    Change("mixup", "A second picture shines through, and its label counts by its share, drawn from Beta(a, a) (Zhang "
           "et al. 2018).", "for a", EXACTLY, 0.2, 1, 0.01, 10),
    Change("cutmix", "A rectangle of a second picture, whose label counts by its area, drawn from Beta(a, a) (Yun et "
           "al. 2019).", "for a", EXACTLY, 1, 1, 0.01, 10),
)  # fmt: skip
"""All changes, in the order in which they are documented. What every one of them says stands here only."""

KNOWN: Final = {change.name: change for change in CHANGES}


@dataclass(frozen=True, slots=True)
class Term:
    """One change with the range that it is drawn from and the share of pictures that it befalls.

    >>> str(Term("zoom", 0.8, 1.25, 1.0))
    'zoom=0.8:1.25@1'
    """

    name: str
    low: float
    high: float
    probability: float

    def __str__(self) -> str:
        """The term with all that may be left out; `parse_term` gives the same term back."""
        has_value = KNOWN[self.name].spread is not NOTHING
        value = f"={_short(self.low)}:{_short(self.high)}" if has_value else ""
        return f"{self.name}{value}@{_short(self.probability)}"

    @property
    def words(self) -> str:
        """The term for people.

        >>> parse_term("zoom=0.1").words, parse_term("cutout").words, parse_term("flip").words
        ('zoom 0.9 to 1.11 times', 'cutout 0.3 of the side for 50 %', 'flip for 50 %')
        """
        change = KNOWN[self.name]
        value = f" {self.low:.3g} to {self.high:.3g}" if self.low != self.high else f" {self.low:.3g}"
        if change.spread is LAYERS:
            value = f" {self.low:g} operations of magnitude {self.high:g}"
        value = "" if change.spread is NOTHING else f"{value} {change.unit}".rstrip()
        share = "" if self.probability == 1 else f" for {100 * self.probability:.3g} %"
        return f"{self.name}{value}{share}"


def _short(number: float) -> str:
    return str(float(number)).removesuffix(".0")


def parse_term(text: str, also: tuple[str, ...] = ()) -> Term:
    """The change that `NAME`, `NAME=NUMBER` or `NAME=LOW:HIGH` asks for, each with `@PROBABILITY` or without.

    A `RecipeError` says which name was probably meant (`also`: other names that may be written), or which values may.
    """
    whole, at, probability = text.partition("@")
    name, equals, value = whole.partition("=")
    if name not in KNOWN:
        given, expected, do = unknown(
            "augmentation", name, (*KNOWN, *also), "See docs/augmentation.md for all of them."
        )
        raise RecipeError(given, expected=expected, do=do)
    change = KNOWN[name]
    ends = _parse_ends(value, change) if equals else change.spread.ends(change.usual)
    if ends is None or (equals and change.spread is NOTHING) or not change.allows(*ends):
        raise RecipeError(
            f"The augmentation {text!r} has a value that cannot be used.",
            expected=change.takes,
            do=f"Write another value after {name}=, or {name} alone.",
        )
    share = _number(probability) if at else change.probability
    if not 0 <= share <= 1:
        raise RecipeError(
            f"The augmentation {text!r} has a probability that cannot be used.",
            expected="A number from 0 to 1 after the @.",
            do=f"Write such as {name}@0.5.",
        )
    return Term(name, float(ends[0]), float(ends[1]), share)


def _parse_ends(value: str, change: Change) -> tuple[float, float] | None:
    low, colon, high = value.partition(":")
    return (_number(low), _number(high)) if colon else change.spread.ends(_number(low))


def _number(text: str) -> float:
    """NaN, which no range holds, where `text` is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def describe_changes() -> str:
    """All changes in Markdown: how they are written, and a table of names, ranges and what is usual."""
    rows = [
        "| name | what happens to a picture | NUMBER alone means | between | if nothing is said |",
        "|---|---|---|---|---|",
    ]
    for change in CHANGES:
        usual = change.name if change.spread is NOTHING else f"{change.name}={change.usual:g}"
        between = f"{change.lowest:g} and {change.highest:g} {change.unit}".rstrip()
        if change.spread in (NOTHING, LAYERS):
            between = "1:0 and 10:30" if change.spread is LAYERS else ""
        says = "" if change.spread is NOTHING else change.spread.says
        rows.append(f"| `{change.name}` | {change.does} | {says} | {between} | `{usual}@{change.probability:g}` |")
    return f"{_HOW}\n\n" + "\n".join(rows) + "\n"


_HOW: Final = """\
A change is written `NAME`, `NAME=NUMBER` or `NAME=LOW:HIGH`, and with `@PROBABILITY` it befalls that share of the
pictures. Every number is drawn evenly between LOW and HIGH, those that say *times* evenly on a logarithmic scale, anew
for each picture in each epoch; what is drawn follows from the seed, the epoch and the picture, never from the machine
or the batch."""
