"""The pictures in a run folder: confusion matrices, predictions, history, and what the mistakes looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from telltale.batches.preprocess import Preprocess
from telltale.data.decoding import decode
from telltale.data.index import Index
from telltale.delivery.album import MOST_BYTES
from telltale.delivery.history_picture import draw_history
from telltale.delivery.outcome import Tools, Training
from telltale.delivery.page import thumbnail
from telltale.delivery.shown_pictures import MOST_MISTAKES
from telltale.device import workers
from telltale.errors import ImageError, ModelError
from telltale.evaluation.evaluation import Evaluation, Mistake
from telltale.evaluation.grid import MOST as MOST_SHOWN, draw_grid
from telltale.evaluation.heat_picture import Explained, draw_explained, overlay
from telltale.evaluation.picture import draw_confusion
from telltale.files import write_atomic
from telltale.model.classifier import Classifier
from telltale.model.heatmaps import HeatMapper
from telltale.progress import Note
from telltale.threads import map_in_order

CONFUSION: Final = "confusion_matrix.png"
NORMALISED: Final = "confusion_matrix_normalised.png"
PREDICTIONS: Final = "predictions.png"
HISTORY: Final = "history.png"
HEATMAPS: Final = "heatmaps.png"

_SIDE: Final = 320
"""Pixels of the longer side that are kept of a picture: twice those of a thumbnail."""


def write_pictures(training: Training, tools: Tools) -> dict[str, bytes]:
    """Draw what the run folder shows, and give the heat maps of the mistakes for the report: JPEG by path.

    `history.png` is there only after several epochs, `heatmaps.png` where the network has a map of places. After a
    cross-validation the classifier of one fold explains the mistakes of all.
    """
    test, index, folder = training.test, training.splits.index, training.run.folder
    write_atomic(folder / CONFUSION, draw_confusion(test))
    write_atomic(folder / NORMALISED, draw_confusion(test, normalised=True))
    write_atomic(folder / PREDICTIONS, draw_predictions(test, index))
    if training.run.recipe.how != "probe" and (history := draw_history(training.run.history)):
        write_atomic(folder / HISTORY, history)
    title, answers = _choose_answers(test)
    try:
        explained = explain(training.classifier, index, answers)
    except ModelError as error:
        tools.tell(Note(f"{error.given} So there is no {HEATMAPS}."))
        return {}
    if explained:
        write_atomic(folder / HEATMAPS, draw_explained(title, list(explained.values())))
    return shrink_explained(explained)


def draw_predictions(evaluation: Evaluation, index: Index) -> bytes:
    """PNG of 24 pictures, evenly from all that were scored, with what they are and what they were called.

    `evaluation` must hold the answer for each picture, as `score` makes it; pictures that are gone are left out.
    """
    rows = np.unique(np.linspace(0, len(evaluation.paths) - 1, MOST_SHOWN).astype(np.int64)).tolist()
    found = _decode(index, [evaluation.paths[row] for row in rows])
    shown = [(row, found[path].small) for row in rows if (path := evaluation.paths[row]) in found]
    called = evaluation.probabilities.argmax(axis=1)
    names = [[evaluation.classes[codes[row]] for row, _ in shown] for codes in (evaluation.labels, called)]
    return draw_grid([pixels for _, pixels in shown], true=names[0], predicted=names[1])


def shrink_explained(explained: Mapping[str, Explained]) -> dict[str, bytes]:
    """The pictures under their heat maps: JPEG of at most 160 pixels and 7,000 bytes, by path."""
    return {path: thumbnail(one.overlaid, most=MOST_BYTES) for path, one in explained.items()}


def explain(classifier: Classifier, index: Index, answers: Sequence[Mistake]) -> dict[str, Explained]:
    """Pictures of `index` beside the heat map of the class that they were called, by path.

    Those that cannot be read (any more) are left out. Raises `ModelError` where the network has no map of places.
    """
    mapper, preprocess = HeatMapper(classifier), classifier.extractor.preprocess
    found = _decode(index, [one.path for one in answers], preprocess)
    known = [one for one in answers if one.path in found and one.predicted in classifier.classes]
    classes = [classifier.classes.index(one.predicted) for one in known]
    heats = mapper.draw([found[one.path].square for one in known], classes)
    explained = {}
    for one, heat in zip(known, heats, strict=True):
        small = found[one.path].small
        overlaid = overlay(small, preprocess.place_back(heat, *small.shape[:2]))
        explained[one.path] = Explained(small, overlaid, one.true, one.predicted, one.probability)
    return explained


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A picture, small, and as the network sees it."""

    small: NDArray[np.uint8]
    square: NDArray[np.uint8]


def _decode(index: Index, paths: Sequence[str], preprocess: Preprocess | None = None) -> dict[str, _Decoded]:
    """The pictures that can be read, in threads: 24 photos of 400 pixels take 0.05 s."""

    def work(path: str) -> _Decoded | None:
        try:
            pixels = decode(index.store.read(path)).pixels
        except (ImageError, OSError):  # gone since it was scored
            return None
        image = Image.fromarray(pixels)
        image.thumbnail((_SIDE, _SIDE))
        return _Decoded(np.asarray(image), preprocess.apply(pixels) if preprocess else pixels[:0])

    wanted = list(dict.fromkeys(paths))
    read = zip(wanted, map_in_order(work, wanted, threads=max(workers(), index.store.readers)), strict=True)
    return {path: one for path, one in read if one is not None}


def _choose_answers(evaluation: Evaluation) -> tuple[str, Sequence[Mistake]]:
    """What is explained: the most confident mistakes, or where there are none, the least sure right answers."""
    mistakes = evaluation.mistakes(MOST_MISTAKES)
    if mistakes:
        return "The most confident mistakes, and what spoke for them", mistakes
    sure = evaluation.probabilities.max(axis=1)
    rows = np.argsort(sure, kind="stable")[:MOST_MISTAKES].tolist()
    names = [evaluation.classes[evaluation.labels[row]] for row in rows]
    answers = [
        Mistake(evaluation.paths[row], name, name, float(sure[row])) for row, name in zip(rows, names, strict=True)
    ]
    return "No mistakes: the least sure answers, and what spoke for them", answers
