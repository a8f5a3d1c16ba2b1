"""An `Evaluation` for notebooks: HTML that loads nothing and is legible on light and dark pages."""

from typing import Final

import numpy as np

from telltale.data.markup import Markup, escape, lay_out, lay_table, paragraph
from telltale.evaluation.metrics import Interval
from telltale.evaluation.scores import NAMES, Scores
from telltale.evaluation.wording import describe
from telltale.words import printable

MOST_CLASSES: Final = 20
MOST_CELLS: Final = 12
"""Classes up to which the confusion matrix is shown; `telltale.show` draws larger ones."""
MOST_MISTAKES: Final = 5

_LETTERS: Final = 24


def lay_evaluation(evaluation: Scores) -> str:
    """The verdict, the metrics with their intervals, the classes, the confusion matrix and the hardest mistakes."""
    return lay_out(
        describe(evaluation),
        lay_table([*_metrics(evaluation), *_trust(evaluation)], ("", "value", "95 % interval")),
        *_classes(evaluation),
        *_confusion(evaluation),
        *_mistakes(evaluation),
    )


def _figures(one: Interval) -> tuple[str, str]:
    return f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}"


def _metrics(evaluation: Scores) -> list[list[str]]:
    return [[NAMES[name], *_figures(one)] for name, one in evaluation.metrics.items()]


def _trust(evaluation: Scores) -> list[list[str]]:
    """Calibration, refusals and prediction sets, where they are known."""
    rows = []
    if evaluation.calibration is not None:
        rows.append(["calibration error (ECE)", *_figures(evaluation.calibration.ece_after)])
    if evaluation.selective is not None:
        rows.append(["answered", *_figures(evaluation.selective.coverage)])
        rows.append(["right among the answered", *_figures(evaluation.selective.accuracy)])
    if evaluation.sets is not None:
        rows.append(["in the prediction set", *_figures(evaluation.sets.coverage)])
    return rows


def _classes(evaluation: Scores) -> list[Markup]:
    scores = list(evaluation.per_class)
    if len(scores) > MOST_CLASSES:
        scores = sorted(scores, key=lambda one: (not one.support, one.recall.value))[:MOST_CLASSES]
    rows = [[one.name, f"{one.support:,}", *_figures(one.recall), *_figures(one.precision)] for one in scores]
    rest = len(evaluation.per_class) - len(scores)
    head = ("class", "pictures", "recall", "95 % interval", "precision", "95 % interval")
    return [lay_table(rows, head), paragraph(f"{rest:,} more classes with a higher recall." if rest else "")]


def _confusion(evaluation: Scores) -> list[Markup]:
    if len(evaluation.classes) > MOST_CELLS:
        return []
    shares = evaluation.confusion / np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    rows = [
        [printable(name, _LETTERS), *map(_cell, counts, row)]
        for name, counts, row in zip(evaluation.classes, evaluation.confusion.tolist(), shares.tolist(), strict=True)
    ]
    head = ["is \\ was called", *(printable(name, _LETTERS) for name in evaluation.classes)]
    return [lay_table(rows, head)]


def _cell(count: int, share: float) -> Markup:
    """A count on a colour that lets the theme's own text stay legible: at most a third of it is blue."""
    if not count:
        return Markup("")
    style = f"display:block;text-align:center;padding:2px 8px;background:rgba(66,146,198,{0.38 * share**0.5:.3f})"
    return Markup(f'<span style="{style}">{escape(f"{count:,}")}</span>')


def _mistakes(evaluation: Scores) -> list[Markup]:
    rows = [
        [one.path, one.true, one.predicted, f"{100 * one.probability:.1f} %"]
        for one in evaluation.mistakes(MOST_MISTAKES)
    ]
    return [lay_table(rows, ("most confident mistakes", "is", "was called", "with"))] if rows else []
