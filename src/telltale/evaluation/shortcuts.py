"""`find_shortcuts`: how well the class can be told without looking at what the picture shows.

Three linear heads see only

* **file facts**: width, height, aspect, bytes, bytes per pixel, format, colour mode, JPEG quality, whether there is
  EXIF, orientation, frames: nothing of the picture itself;
* **border**: the outer ring of the picture squeezed to 16 x 16;
* **thumbnail**: that square as a whole.

Each is asked about pictures that it has not seen (`predict_held_out`). Where it comes near the network, the data tell
their label in a way that pictures from elsewhere will not, and a classifier will use it. `judge` says so.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.duplicates import find_duplicates
from telltale.data.index import Index
from telltale.data.measures import THUMBNAIL
from telltale.data.sampling import sample_evenly
from telltale.data.splits import deal_folds, find_units
from telltale.data.thumbnails import read_thumbnails
from telltale.evaluation.clustered import share_right
from telltale.evaluation.held_out import LEAST_FOLDS, predict_held_out
from telltale.evaluation.metrics import Interval
from telltale.model.head import Floats
from telltale.progress import Tell, silent

FOLDS: Final = 5

MOST: Final = 10_000
"""Pictures that are looked at: the interval of a share is then at most ±0.01, and 120 classes take 20 s of a core."""

LEAK: Final = {"file facts": 0.5, "border": 0.8, "thumbnail": 0.8}
"""Share of the way from the majority baseline to the network from which a shortcut is called a leak.

File facts show nothing of the picture, so what they tell comes from how it was collected: half of the way is beyond
doubt. Border and thumbnail show something of it, and honest classes (sky, grass, the colour of a flower) can be seen
there: only where little is left for the network to add are they worth a warning."""

LEAST_GAIN: Final = 0.1
"""A shortcut must also take this share of the way from the majority baseline to 1: the network itself may be weak."""

ADVICE: Final = {
    "file facts": "The classes were probably collected or saved in different ways. Save all pictures alike (one size, "
    "format and quality), or collect all classes from the same place, and measure on pictures from elsewhere.",
    "border": "Probably background, frame or margin differ between the classes. Crop the pictures to what they show, "
    "or collect every class before the same backgrounds, and measure on pictures from elsewhere.",
    "thumbnail": "Colours and coarse layout suffice. That is right where the classes differ in colour; else background "
    "or light differ between the classes: measure on pictures from elsewhere.",
}

_BINS: Final = 16
_MOST_VALUES: Final = 32
_NUMBERS: Final = ("width", "height", "aspect", "bytes", "bytes per pixel", "JPEG quality", "frames")
_NAMES: Final = ("format", "colour mode", "EXIF", "orientation")


@dataclass(frozen=True)
class Shortcut:
    """How well the class is told from one kind of hint: a name of `LEAK`.

    `accuracy` is out of fold, over `pictures` pictures; `baseline` is the share of their most frequent class. `facts`
    are single file facts and their accuracy alone, the most telling first; only file facts have them.
    """

    name: str
    accuracy: Interval
    baseline: float
    pictures: int
    facts: tuple[tuple[str, float], ...] = ()


def find_shortcuts(
    index: Index,
    *,
    units: NDArray[np.int64] | None = None,
    seed: int = 0,
    tell: Tell = silent,
) -> tuple[Shortcut, ...]:
    """A `Shortcut` for each name in `LEAK`, measured on the labelled readable pictures of `index`.

    `units` int64 `[len(index)]` says which pictures stay in one fold, as `find_units` does; without it they are found
    here. Above `MOST` pictures a sample is taken, evenly from the classes. Empty where nothing can be told: fewer than
    two classes, or fewer than three separate pictures.
    """
    usable = np.flatnonzero(index.table.column("error").is_null().to_numpy() & (index.codes >= 0))
    rows = usable[sample_evenly(index.codes[usable], MOST, seed=seed)]
    pictures = index.take(rows)
    labels, classes = pictures.codes, len(index.classes)
    if len(np.unique(labels)) < 2:
        return ()
    units = find_units(pictures, find_duplicates(pictures)) if units is None else units[rows]
    folds = deal_folds(units, labels, FOLDS, seed=seed)
    if len(np.unique(folds)) < LEAST_FOLDS:
        return ()
    facts = file_facts(pictures)
    seen = read_hints(pictures, facts, tell=tell)
    baseline = float(np.bincount(labels).max() / len(labels))
    alone = [(name, _share_told(values, labels, folds)) for name, values in facts.items()]
    alone = sorted((one for one in alone if one[1] > baseline), key=lambda one: -one[1])
    found = []
    for name, matrix in seen.items():
        said = predict_held_out(matrix, labels, folds, classes=classes, seed=seed).argmax(axis=1)
        accuracy = share_right(said == labels)
        found.append(Shortcut(name, accuracy, baseline, len(labels), tuple(alone) if name == "file facts" else ()))
    return tuple(found)


def judge(shortcut: Shortcut, reference: float | None) -> str:
    """What to say about a shortcut, and what to do; empty where it tells too little.

    `reference` is the out-of-fold accuracy of a network on the same pictures (`Suspects.accuracy`); None means that it
    is not known, and the shortcut is compared with always being right. The lower end of its interval counts, so a few
    lucky pictures do not warn.

    >>> judge(Shortcut("border", Interval(0.62, 0.60, 0.64), 0.5, 2500), reference=0.96)
    ''
    >>> print(judge(Shortcut("border", Interval(0.95, 0.94, 0.96), 0.5, 2500), reference=0.96)[:64])
    From the border alone 95 % are right (always saying the most fre
    """
    full = 1.0 if reference is None else reference
    needed = max(LEAK[shortcut.name] * (full - shortcut.baseline), LEAST_GAIN * (1 - shortcut.baseline))
    if shortcut.accuracy.low - shortcut.baseline <= needed:
        return ""
    hint = {"file facts": "file facts (size, format, quality, …)", "thumbnail": "a thumbnail of 16 x 16 pixels"}
    words = f"From {hint.get(shortcut.name, f'the {shortcut.name}')} alone {shortcut.accuracy.value:.0%} are right "
    words += f"(always saying the most frequent class: {shortcut.baseline:.0%}"
    words += ")" if reference is None else f"; the network: {reference:.0%})"
    if shortcut.facts:
        name, share = shortcut.facts[0]
        words += f", from {name} alone {share:.0%}"
    return f"{words.replace('%', ' %')}: the data leak their label. {ADVICE[shortcut.name]}"


def read_hints(index: Index, facts: dict[str, NDArray[np.int64]], *, tell: Tell = silent) -> dict[str, Floats]:
    """What each name of `LEAK` sees of every sample of `index`, float32 `[n, d]`; `facts` are its `file_facts`.

    Border and bins are measured against all samples of `index`, so the parts of a split are to be looked at together.
    All samples must be readable (`index.readable`).
    """
    small = read_thumbnails(index, tell=tell).astype(np.float32)
    return {
        "file facts": np.concatenate([_one_hot(values) for values in facts.values()], axis=1),
        "border": _with_squares(small[:, _ring()]),
        "thumbnail": small.reshape(len(small), -1),
    }


def file_facts(index: Index) -> dict[str, NDArray[np.int64]]:
    """Number of the bin or value of every sample, int64 `[n]` from 0, for each fact about its file.

    Numbers are in `_BINS` bins of equally many pictures, and values that many pictures share have bins of their own.
    """
    table = index.table
    width, height, size = (_floats(table.column(name)) for name in ("width", "height", "bytes"))
    numbers = dict(
        zip(
            _NUMBERS,
            (
                width,
                height,
                width / height,
                size,
                size / (width * height),
                *(_floats(table.column(name)) for name in ("quality", "frames")),
            ),
            strict=True,
        )
    )
    names = dict(zip(_NAMES, ("format", "mode", "exif", "orientation"), strict=True))
    found = {name: _into_bins(values) for name, values in numbers.items()}
    found |= {name: _number_values(table.column(column)) for name, column in names.items()}
    return {name: np.unique(values, return_inverse=True)[1] for name, values in found.items()}


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]


def _into_bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bins of equally many values; the edges, where many values are equal, are bins too, and so is what is missing.

    >>> _into_bins(np.array([1.0, 5, 5, 5, 9, np.nan])).tolist()
    [1, 3, 3, 3, 5, -1]
    """
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), -1)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _BINS + 1), method="nearest"))
    sides = np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right")
    return np.where(known, sides, -1)


def _number_values(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The most frequent values get numbers of their own, all others share one; -1 where there is none."""
    counts = pc.value_counts(column.combine_chunks().drop_null()).to_pylist()
    frequent = sorted(counts, key=lambda one: (-one["counts"], str(one["values"])))[:_MOST_VALUES]
    numbers = pc.index_in(column, value_set=pa.array([one["values"] for one in frequent], column.type))
    numbers = numbers.cast(pa.int64()).fill_null(_MOST_VALUES).to_numpy()
    return np.where(column.is_valid().to_numpy(), numbers, -1)


def _one_hot(values: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.eye(int(values.max()) + 1, dtype=np.float32)[values]


def _share_told(values: NDArray[np.int64], labels: NDArray[np.int32], folds: NDArray[np.int64]) -> float:
    """Share of labels told from one fact: out of fold, the most frequent label of the pictures with the same value."""
    counts = np.zeros((int(folds.max()) + 1, int(values.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (folds, values, labels), 1)
    others = counts.sum(axis=0) - counts
    # Where no other picture has the value, and where two labels are as frequent, the label of most pictures is said.
    others += 1e-6 * others.sum(axis=1, keepdims=True) / len(labels)
    return float((others.argmax(axis=2)[folds, values] == labels).mean())


def _ring() -> NDArray[np.bool_]:
    """The 60 pixels of the outer ring of a thumbnail, bool `[16, 16]`."""
    ring = np.ones((THUMBNAIL, THUMBNAIL), np.bool_)
    ring[1:-1, 1:-1] = False
    return ring


def _with_squares(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values `[n, 180]` and their squared distances from the mean: a grey margin among light and dark ones is told."""
    flat = pixels.reshape(len(pixels), -1)
    return np.concatenate([flat, np.square(flat - flat.mean(axis=0))], axis=1)
