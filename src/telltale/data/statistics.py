"""`Statistics`: what a collection of pictures is like: how many of which class, how large, in which formats.

It says where a training starts from: how uneven the classes are, what always naming the most frequent one would
achieve, and which input size of a network suits the pictures.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.checks import GREY
from telltale.data.index import Index
from telltale.data.splits import PARTS
from telltale.data.subject import Floats, find_common_size, read_numbers, read_parts
from telltale.words import columns, fit, printable, shorten

INPUT_SIZES: Final = (96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)
"""Sides of the square inputs that networks usually have, in pixels."""

QUANTILES: Final = (0, 5, 25, 50, 75, 95, 100)
"""Shares, in percent, of the pictures that are below the numbers of a `Spread`."""

EVEN: Final = 1.5
"""Largest class against smallest up to which classes count as equally large."""

UNEVEN: Final = 5.0
"""From here on the accuracy says more about the large classes than about the classifier."""

WIDTH: Final = 80
"""Columns of the text."""

SHOWN_MOST: Final = 5
SHOWN_LEAST: Final = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """How a number is spread over the pictures: its values at `QUANTILES`."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        return self.values[0]

    @property
    def median(self) -> float:
        return self.values[QUANTILES.index(50)]

    @property
    def greatest(self) -> float:
        return self.values[-1]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Numbers about the pictures of an `Index` that can be used, and how many cannot."""

    pictures: int
    """All of them, usable or not."""
    unreadable: int
    unlabelled: int
    """Usable pictures without a label."""
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    """Usable pictures by class (row) and given part (column): train, validation, test, none."""
    shorter: Spread | None
    """Pixels of the shorter side; None where no picture can be used."""
    aspect: Spread | None
    """Width divided by height."""
    size: tuple[int, int, float]
    """The most frequent width and height, and the share of the pictures that have it."""
    formats: dict[str, int]
    """Usable pictures by format, the most frequent first."""
    grey: int
    """Usable pictures without colour."""

    @property
    def usable(self) -> int:
        """Pictures that could be read."""
        return self.pictures - self.unreadable

    @property
    def labelled(self) -> int:
        """Usable pictures with a label."""
        return int(self.counts.sum())

    @property
    def totals(self) -> NDArray[np.int64]:
        """Usable pictures of each class."""
        return self.counts.sum(axis=1)  # type: ignore[no-any-return]

    @property
    def majority(self) -> str:
        """The most frequent class; empty where nothing is labelled."""
        return self.classes[int(self.totals.argmax())] if self.labelled else ""

    @property
    def baseline(self) -> float:
        """The accuracy of always saying `majority`."""
        return float(self.totals.max() / self.labelled) if self.labelled else 0.0

    @property
    def imbalance(self) -> float:
        """Pictures of the largest class for each one of the smallest class that has any; 1 is balanced."""
        some = self.totals[self.totals > 0]
        return float(some.max() / some.min()) if len(some) else 1.0

    @property
    def input_size(self) -> int:
        """The largest of `INPUT_SIZES` that the shorter side of the median picture fills.

        At that size half of the pictures are not enlarged; larger inputs cost time and show nothing more of most
        pictures. The smallest of `INPUT_SIZES` where even that is not filled, or no picture can be used.
        """
        median = self.shorter.median if self.shorter else 0
        return max((size for size in INPUT_SIZES if size <= median), default=INPUT_SIZES[0])

    def sentences(self) -> list[str]:
        """How even the classes are, how large the pictures, which input size suits them, and what cannot be used."""
        found = [_describe_balance(self), _describe_sizes(self), _describe_input(self)]
        for count, words in ((self.unreadable, "cannot be used"), (self.unlabelled, "have no label")):
            if count:
                found.append(f"{count:,} of {self.pictures:,} pictures {words}.")
        return [sentence for sentence in found if sentence]

    def describe(self, location: str) -> list[str]:
        """The same and the class frequencies as lines of at most 80 columns."""
        title = f"{count_words(self.pictures, self.classes)} in {location}"
        lines = [shorten(title, WIDTH), "", *_class_lines(self)]
        for sentence in self.sentences():
            lines += textwrap.wrap(sentence, WIDTH)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = [part for part, used in zip(PARTS, self.counts.sum(axis=0)[:-1], strict=True) if used]
        places = [PARTS.index(part) for part in parts]
        return {
            "pictures": self.pictures,
            "unreadable": self.unreadable,
            "unlabelled": self.unlabelled,
            "classes": [
                {"name": name, "pictures": int(row.sum())}
                | {part: int(row[place]) for part, place in zip(parts, places, strict=True)}
                for name, row in zip(self.classes, self.counts, strict=True)
            ],
            "imbalance": self.imbalance,
            "baseline": {"class": self.majority, "accuracy": self.baseline},
            "quantiles": list(QUANTILES),
            "shorter_side": list(self.shorter.values) if self.shorter else None,
            "aspect": list(self.aspect.values) if self.aspect else None,
            "most_frequent_size": dict(zip(("width", "height", "share"), self.size, strict=True)),
            "formats": self.formats,
            "grey": self.grey,
            "input_size": self.input_size,
        }


def summarise(index: Index) -> Statistics:
    """The `Statistics` of an `Index`, from its columns; no picture is read."""
    usable = index.table.column("error").is_null().to_numpy()
    width, height = (read_numbers(index, name)[usable] for name in ("width", "height"))
    parts = len(PARTS) + 1
    part = read_parts(index) % parts  # -1, for none, becomes the last one
    labelled = usable & (index.codes >= 0)
    cells = index.codes[labelled].astype(np.int64) * parts + part[labelled]
    counts = np.bincount(cells, minlength=len(index.classes) * parts).reshape(-1, parts)
    formats = pc.value_counts(index.table.column("format").drop_null()).to_pylist()
    return Statistics(
        pictures=len(index),
        unreadable=int((~usable).sum()),
        unlabelled=int((usable & (index.codes < 0)).sum()),
        classes=index.classes,
        counts=counts,
        shorter=_spread(np.minimum(width, height)),
        aspect=_spread(width / height),
        size=find_common_size(width, height),
        formats={
            one["values"]: one["counts"] for one in sorted(formats, key=lambda one: (-one["counts"], one["values"]))
        },
        grey=int((read_numbers(index, "colour")[usable] < GREY).sum()),
    )


def _spread(values: Floats) -> Spread | None:
    return Spread(tuple(float(value) for value in np.percentile(values, QUANTILES))) if len(values) else None


def count_words(pictures: int, classes: Sequence[str]) -> str:
    """How many there are.

    >>> count_words(1000, ["cat"])
    '1,000 pictures of 1 class'
    """
    some = f"{pictures:,} picture" + "s" * (pictures != 1)
    return f"{some} of {len(classes):,} class" + "es" * (len(classes) != 1)


def _describe_balance(statistics: Statistics) -> str:
    if not statistics.labelled:
        return ""
    always = f"Always saying {shorten(statistics.majority, 30)!r} would be right for {statistics.baseline:.1%}."
    times = statistics.imbalance
    if times < EVEN:
        return f"The classes are about equally large. {always}"
    advice = " Look at the balanced accuracy, not at the accuracy alone." if times >= UNEVEN else ""
    return f"The largest class has {times:.1f} times as many pictures as the smallest. {always}{advice}"


def _describe_sizes(statistics: Statistics) -> str:
    shorter, aspect = statistics.shorter, statistics.aspect
    if shorter is None or aspect is None:
        return "No picture can be used."
    width, height, share = statistics.size
    sizes = f"All have {width} x {height} pixels"
    if share < 1:
        sizes = (
            f"The shorter side has {shorter.least:,.0f} to {shorter.greatest:,.0f} pixels, in the middle "
            f"{shorter.median:,.0f}; width to height is {aspect.least:.2f} to {aspect.greatest:.2f}, in the middle "
            f"{aspect.median:.2f}; {share:.1%} have {width} x {height}"
        )
    grey = {0: "all in colour", statistics.usable: "all grey"}.get(statistics.grey, f"{statistics.grey:,} grey")
    formats = ", ".join(f"{count:,} {name}" for name, count in statistics.formats.items())
    return f"{sizes}. {formats}; {grey}."


def _describe_input(statistics: Statistics) -> str:
    if statistics.shorter is None:
        return ""
    size, median = statistics.input_size, statistics.shorter.median
    if size > median:
        return f"Suggested input size: {size} pixels, the smallest usual one; most pictures are enlarged to it."
    return f"Suggested input size: {size} pixels, the largest usual one that half of the pictures fill unenlarged."


def _class_lines(statistics: Statistics) -> list[str]:
    """A table of the class frequencies; of many classes only the most and the least frequent ones."""
    order = np.argsort(-statistics.totals, kind="stable").tolist()
    if not order:
        return []
    left_out = order[SHOWN_MOST : len(order) - SHOWN_LEAST] if len(order) > SHOWN_MOST + SHOWN_LEAST else []
    shown = [code for code in order if code not in set(left_out)]
    used = [part for part in range(len(PARTS)) if statistics.counts[:, part].any()]
    width = max(5, *(min(30, columns(printable(statistics.classes[code]))) for code in shown))
    head = f"{'class':<{width}}" + "".join(f"  {PARTS[part]:>10}" for part in used)
    lines = [f"{head}  {'pictures':>10}  {'share':>6}"]
    for code in shown:
        if left_out and code == shown[SHOWN_MOST]:
            lines.append(f"{len(left_out):,} more classes between")
        counts = "".join(f"  {statistics.counts[code, part]:>10,}" for part in used)
        total = statistics.totals[code]
        share = total / max(1, statistics.labelled)
        lines.append(f"{fit(statistics.classes[code], width)}{counts}  {total:>10,}  {share:>6.1%}")
    return [*lines, ""]
