"""`CHECKS`: what can be wrong with pictures, one line each, the gravest first.

A check has a measure, which gives a number for every picture, and a threshold. All measures come from the facts that
one scan has collected; none looks at the pixels again. The thresholds were chosen so that at most 1 % of 3,800 photos
of cats and dogs are reported, and most of the same photos after they were damaged; the figures beside each are those
of `python benchmarks/check_thresholds.py`.

>>> [check.name for check in CHECKS][:2]
['unreadable', 'duplicate with another label']
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow.compute as pc

from telltale.data.decoding import ENDING_FORMATS
from telltale.data.subject import Floats, Partners, Rows, Subject

USUAL: Final = 0.3
"""Share of the pictures from which on a check says how the data set is, once, and not what is wrong with each."""

FEW: Final = 10
"""Pictures that are listed one by one in any case."""

BLANK: Final = 0.01
"""Contrast below which a picture is blank, and neither dark nor blurred: there is nothing to see."""

DARK: Final = 0.35
"""`light` below which a picture is dark: none of the photos, 100 % of those darkened to 0.3, 38 % of those to 0.4."""

BRIGHT: Final = 0.85
"""`brightness` above which a picture is bright: 0.26 % of the photos (two over-exposed, the others animals cut out
before white), 68 % of those over-exposed by 4, 83 % of those by 6; the rest have large dark parts."""

COLOURED: Final = 0.9
"""Share of the pictures that are in colour from which on a grey one is odd."""

GREY: Final = 0.01
"""`colour` below which a picture is grey: 0.08 % of the photos (two black and white, one nearly so), 99 % of those made
grey."""

BLURRED: Final = 0.95
"""`sharpness` below which a picture is blurred: 0.26 % of the photos, 80 % of those blurred by 0.5 % of the shorter
side (standard deviation), 99 % of those by 1 %, none of 1,200 drawn shapes with plain grounds."""

LOW_CONTRAST: Final = 0.3
"""`tones` below which a picture has little contrast: 0.03 % of the photos, 97 % of those faded to 0.3, 24 % of those to
0.4, 99 % of those in fog that leaves 0.3."""

TINY: Final = 64
"""Pixels of the shorter side below which a picture is tiny: two thirds of the smallest usual input; 0.05 % of the
photos."""

HUGE: Final = 25
"""Megapixels above which a picture is huge: more than a telephone's 24. One takes as long to decode as 170 photos of
365 x 404 pixels. None of the photos."""

ODD_ASPECT: Final = 3
"""Longer side divided by the shorter one above which an aspect is odd: a middle square shows a third. None of the
photos; their longest is 2.8."""

ONE_SIZE: Final = 0.9
"""Share of the pictures that have one size from which on another size is odd."""

MODES: Final = ("RGB", "RGBA", "L", "LA", "P", "1")
"""Colour modes that are no surprise, by Pillow's names."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look for: `measure` gives a number for each picture, NaN where the check does not apply."""

    name: str
    measure: Callable[[Subject], Floats]
    says: str
    """What it means and what to do, in words for people."""
    detail: str
    """Of one picture, with fields in braces: `value`, columns of the index, and those of `Found` in findings.py."""
    below: float | None = None
    """What is below this is reported, the lowest first; None: `above` counts."""
    above: float = 0.0
    """What is above this is reported, the highest first."""
    partners: Callable[[Subject], Partners] | None = None
    """Which other picture each is reported with."""
    usual: float = 1.0
    """Share of the pictures from which on this is how the data set is, and said once."""

    def find(self, subject: Subject) -> tuple[Rows, Floats]:
        """Rows of the pictures that are reported, int64, the worst first; and the measure of each."""
        values = self.measure(subject)
        with np.errstate(invalid="ignore"):
            reported = values > self.above if self.below is None else values < self.below
        rows = np.flatnonzero(reported)
        order = np.argsort(values[rows] if self.below is not None else -values[rows], kind="stable")
        return rows[order], values[rows[order]]


def unreadable(subject: Subject) -> Floats:
    """1 where the picture cannot be used."""
    return (~subject.readable).astype(np.float32)


def contradiction(subject: Subject) -> Floats:
    """Distance to a duplicate with the label that most of its duplicates have."""
    return subject.contradictions.distance


def leak(subject: Subject) -> Floats:
    """Distance to the copy in an earlier part, as the source itself divides the pictures."""
    return subject.leaks.distance


def copy(subject: Subject) -> Floats:
    """0 where an earlier picture has the same pixels."""
    return subject.copies.distance


def likeness(subject: Subject) -> Floats:
    """Distance to the closest earlier picture that looks the same."""
    return subject.lookalikes.distance


def contrast(subject: Subject) -> Floats:
    """Standard deviation of the luma, 0 to 0.5."""
    return subject.numbers("contrast")


def light(subject: Subject) -> Floats:
    """What 99 % of the picture is darker than, or ten times the mean luma, whichever is less; NaN where it is blank.

    By the first alone a night with one lamp would not be dark; by the mean alone a white digit before black would be.
    """
    return _seen(subject, np.minimum(subject.numbers("high"), 10 * subject.numbers("brightness")))


def brightness(subject: Subject) -> Floats:
    """Mean luma, 0 to 1; NaN where it is blank."""
    return _seen(subject, subject.numbers("brightness"))


def tones(subject: Subject) -> Floats:
    """From the darkest percent of the picture to the brightest, 0 to 1; NaN where it is dark, bright or blank."""
    lit = (light(subject) >= DARK) & (brightness(subject) <= BRIGHT)
    return np.where(lit, subject.numbers("high") - subject.numbers("low"), np.float32(np.nan))


def sharpness(subject: Subject) -> Floats:
    """How sharp the edges are (`Measures.sharpness`); NaN where the picture is blank."""
    return _seen(subject, subject.numbers("sharpness"))


def shorter(subject: Subject) -> Floats:
    """Pixels of the shorter side."""
    return np.minimum(subject.numbers("width"), subject.numbers("height"))


def megapixels(subject: Subject) -> Floats:
    """Width times height, in millions."""
    return subject.numbers("width") * subject.numbers("height") / np.float32(1e6)


def aspect(subject: Subject) -> Floats:
    """The longer side divided by the shorter one."""
    width, height = subject.numbers("width"), subject.numbers("height")
    return np.asarray(np.maximum(width, height) / np.minimum(width, height), np.float32)


def colour(subject: Subject) -> Floats:
    """How colourful it is (`Measures.colour`) where nearly all are; NaN where dark, bright or pale ones cannot be."""
    values = np.where(tones(subject) >= LOW_CONTRAST, subject.numbers("colour"), np.float32(np.nan))
    known = values[~np.isnan(values)]
    among = len(known) > 0 and float((known >= GREY).mean()) >= COLOURED
    return values if among else np.full_like(values, np.nan)


def other_size(subject: Subject) -> Floats:
    """1 where nearly all pictures have one size and this one another; NaN where sizes differ anyway."""
    width, height, share = subject.common_size
    other = (subject.numbers("width") != width) | (subject.numbers("height") != height)
    return np.where(subject.readable & (share >= ONE_SIZE), other.astype(np.float32), np.float32(np.nan))


def wrong_extension(subject: Subject) -> Floats:
    """1 where the file is in another format than its name ends in; NaN where the ending tells no format."""
    ending = pc.struct_field(pc.extract_regex(subject.index.table.column("path"), r"(?P<ending>\.[^./\\]+)$"), 0)
    endings = pc.utf8_lower(ending).combine_chunks().dictionary_encode()
    formats, form = subject.words("format")
    # One row for each ending, one column for each format; the last ones are for no ending and no format.
    table = np.full((len(endings.dictionary) + 1, len(formats) + 1), np.nan, np.float32)
    for row, name in enumerate(endings.dictionary.to_pylist()):
        if name in ENDING_FORMATS:
            table[row, :-1] = [one not in ENDING_FORMATS[name] for one in formats]
    return np.asarray(table[endings.indices.fill_null(-1).to_numpy(zero_copy_only=False), form], np.float32)


def odd_mode(subject: Subject) -> Floats:
    """1 where the file's colour mode is none of `MODES`."""
    modes, mode = subject.words("mode")
    return np.array([*(name not in MODES for name in modes), False], np.float32)[mode]


def frames(subject: Subject) -> Floats:
    """Pictures in the file."""
    return subject.numbers("frames")


def orientation(subject: Subject) -> Floats:
    """The EXIF orientation, 1 to 8; 1 is upright."""
    return subject.numbers("orientation")


def _seen(subject: Subject, values: Floats) -> Floats:
    """`values`, and NaN where the picture is blank."""
    return np.where(subject.numbers("contrast") >= BLANK, values, np.float32(np.nan))


CHECKS: Final[tuple[Check, ...]] = (
    Check(
        "unreadable",
        unreadable,
        "It cannot be opened, so nothing can be learned from it. Get it anew, or take it out.",
        "{reason}: {explanation}",
        above=0,
    ),
    Check(
        "duplicate with another label",
        contradiction,
        "The same picture has two labels, and one must be wrong. Correct it, or keep neither.",
        "labelled {label!r}, but {likeness} {other!r}, labelled {other_label!r}",
        below=math.inf,
        partners=lambda subject: subject.contradictions,
    ),
    Check(
        "duplicate across given splits",
        leak,
        "The source puts copies into two parts, so that scores flatter the model. Train with --fix-leaks.",
        "in {split}, but {likeness} {other!r} in {other_split}",
        below=math.inf,
        partners=lambda subject: subject.leaks,
    ),
    Check(
        "exact duplicate",
        copy,
        "An earlier picture has the same pixels. Take it out, or leave it: a split made here keeps both together.",
        "{likeness} {other!r}",
        below=math.inf,
        partners=lambda subject: subject.copies,
    ),
    Check(
        "near-duplicate",
        likeness,
        "It looks like an earlier picture. Take it out if it is a copy; a split made here keeps both together.",
        "{likeness} {other!r} (distance {value:.2f})",
        below=math.inf,
        partners=lambda subject: subject.lookalikes,
    ),
    Check("blank", contrast, "One colour and nothing to see. Take it out.", "contrast {value:.3f}", below=BLANK),
    Check(
        "blurred",
        sharpness,
        "No edge in it is sharp. Look whether what the label says can be seen.",
        "sharpness {value:.2f}",
        below=BLURRED,
        usual=USUAL,
    ),
    Check(
        "dark",
        light,
        "Almost black. Look whether anything can be seen, or brighten it.",
        "brightness {brightness:.2f}, 99 % of it below {high:.2f}",
        below=DARK,
        usual=USUAL,
    ),
    Check(
        "bright",
        brightness,
        "Almost white: over-exposed, or much empty ground. Look whether anything can be seen.",
        "brightness {value:.2f}",
        above=BRIGHT,
        usual=USUAL,
    ),
    Check(
        "low contrast",
        tones,
        "All of it is about equally bright, as in fog or in a bad scan. Stretch its tones.",
        "tones from {low:.2f} to {high:.2f}",
        below=LOW_CONTRAST,
        usual=USUAL,
    ),
    Check(
        "tiny",
        shorter,
        "Smaller than any usual input: enlarged, it is a blur. Get it in full size.",
        "{width} x {height} pixels",
        below=TINY,
        usual=USUAL,
    ),
    Check(
        "grey among colour",
        colour,
        "Grey where nearly all others are in colour. If one class has more of these, the model learns that.",
        "colour {value:.3f}",
        below=GREY,
    ),
    Check(
        "odd aspect",
        aspect,
        "Very long or very tall: a network sees its middle only, or all of it squashed. Crop it.",
        "{width} x {height} pixels",
        above=ODD_ASPECT,
        usual=USUAL,
    ),
    Check(
        "odd size",
        other_size,
        "Another size than nearly all others: perhaps it comes from elsewhere. Look at it.",
        "{width} x {height} pixels; most have {common}",
        above=0,
    ),
    Check(
        "odd colour mode",
        odd_mode,
        "Stored in an unusual way, such as CMYK or 16 bits, and converted. Look whether its colours are right.",
        "mode {mode}",
        above=0,
        usual=USUAL,
    ),
    Check(
        "animated",
        frames,
        "Several pictures in one file. Only the first counts: take out what shows something else.",
        "{frames} frames",
        above=1,
        usual=USUAL,
    ),
    Check(
        "wrong extension",
        wrong_extension,
        "In another format than its name says. It is read all the same; other programs may fail: rename it.",
        "{format}, but named {ending}",
        above=0,
        usual=USUAL,
    ),
    Check(
        "rotated by EXIF",
        orientation,
        "Stored turned, with a note. Here it is shown upright; programs that ignore the note see it turned.",
        "orientation {orientation}",
        above=1,
        usual=USUAL,
    ),
    Check(
        "huge",
        megapixels,
        "Takes long to decode, and a network never sees that many pixels. Scale it down once.",
        "{width} x {height} pixels",
        above=HUGE,
        usual=USUAL,
    ),
)
"""All checks. What every one of them says stands here only: terminal, report, documentation and tests read it."""


def describe_checks() -> str:
    """A table of all checks in Markdown: name, what is reported, what it means."""
    rows = ["| check | reported | what it means and what to do |", "|---|---|---|"]
    for check in CHECKS:
        measure = " ".join((check.measure.__doc__ or "").split("\n\n")[0].split())
        rows.append(f"| {check.name} | {_describe_threshold(check, measure)} | {check.says} |")
    return "\n".join(rows) + "\n"


def _describe_threshold(check: Check, measure: str) -> str:
    """`Mean luma, 0 to 1: above 0.85.`, or what is reported where the measure says yes or no."""
    measure = measure.split("; NaN")[0].removesuffix(".")
    if check.below is not None and math.isfinite(check.below):
        return f"{measure}: below {check.below:g}"
    if check.above:
        return f"{measure}: above {check.above:g}"
    return measure.removeprefix("0 ").removeprefix("1 ")
