"""The report of a run: one HTML file that needs no network and no script, for readers who were not there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from telltale.delivery.chart import HEIGHT, WIDTH, draw_lines
from telltale.delivery.page import data_uri, embed_thumbnail, render_page, turn_to_jpeg, write_page
from telltale.evaluation.confusions import most_confused
from telltale.evaluation.evaluation import NAMES, ClassScore, Evaluation, describe
from telltale.evaluation.metrics import Interval
from telltale.evaluation.picture import draw_confusion

TEMPLATE: Final = "report.html.jinja"

MOST_CELLS: Final = 12
"""Classes up to which the confusion matrix is a table of text; above it is a picture."""
MOST_MISTAKES: Final = 24
MOST_LISTED: Final = 50
"""Rows of quarantine and groups of identical pictures that are listed; the rest is counted."""

PARTS: Final = {"train": "training", "validation": "validation", "test": "test"}
PICTURES: Final = {
    "test": "test pictures never used in training",
    "validation": "validation pictures, which also chose between settings",
}


@dataclass(frozen=True)
class ReportContent:
    """All that a report says, as plain values."""

    title: str
    """Name of the run or of its source."""
    evaluations: Mapping[str, Evaluation]
    """By split, in the order to show; the verdict is about `test` where there is one, else about the last."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Words for the head of the report, such as {"model": "mobilenetv2_100", "data": "cats_and_dogs.zip"}."""
    notes: Sequence[str] = ()
    """Sentences a reader should see: what was decided and what was odd."""
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pictures by class, then by split (`train`, `validation`, `test`)."""
    quarantine: Sequence[tuple[str, str, str]] = ()
    """Pictures that could not be read: path, reason, detail."""
    identical: Sequence[Sequence[str]] = ()
    """Groups of paths with the same picture."""
    preview: bytes = b""
    """PNG of some training pictures as the network sees them."""
    history: Sequence[Mapping[str, Any]] = ()
    """One row per epoch, as in results.csv: `epoch`, `train_loss`, `val_loss`, `val_accuracy`, …"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The recipe."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, libraries and machine."""
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    """Small JPEG by path (see `thumbnail`), for the mistakes of the verdict's evaluation."""
    created: str = ""
    """When, as text."""

    @property
    def main(self) -> str:
        """The split that the verdict is about."""
        return "test" if "test" in self.evaluations else list(self.evaluations)[-1]


def write_report(path: Path, content: ReportContent) -> Path:
    """Write the report of `content` as one HTML file that holds everything it shows."""
    return write_page(Path(path), render(content))


def render(content: ReportContent) -> str:
    """The report as HTML text; every name in it is escaped."""
    evaluation = content.evaluations[content.main]
    shown = evaluation.mistakes(MOST_MISTAKES)
    wrong = evaluation.images - int(np.trace(evaluation.confusion))
    values = {
        "content": content,
        "verdict": describe(evaluation, PICTURES.get(content.main, f"{content.main} pictures")),
        "evaluation": evaluation,
        "accuracy": evaluation.metrics["accuracy"],
        "wrong": wrong,
        "metrics": _metric_rows(content.evaluations),
        "classes": _ranked(evaluation.per_class),
        "table": _cells(evaluation) if len(evaluation.classes) <= MOST_CELLS else None,
        "picture": None if len(evaluation.classes) <= MOST_CELLS else data_uri(draw_confusion(evaluation), "image/png"),
        "confused": most_confused(evaluation),
        "mistakes": [(one, embed_thumbnail(content.thumbnails.get(one.path))) for one in shown],
        "splits": _splits(content.class_counts),
        "reasons": Counter(reason for _, reason, _ in content.quarantine).most_common(),
        "listed": MOST_LISTED,
        "preview": data_uri(turn_to_jpeg(content.preview), "image/jpeg") if content.preview else "",
        "charts": _charts(content.history),
        "chart_size": (WIDTH, HEIGHT),
        "parts": PARTS,
    }
    return render_page(TEMPLATE, values)


def _metric_rows(evaluations: Mapping[str, Evaluation]) -> list[tuple[str, list[Interval | None]]]:
    return [
        (words, [one.metrics.get(name) for one in evaluations.values()])
        for name, words in NAMES.items()
        if any(name in one.metrics for one in evaluations.values())
    ]


def _ranked(scores: Sequence[ClassScore]) -> list[ClassScore]:
    """Classes in their order, or, where there are more than fit a screen, those with the lowest recall first."""
    if len(scores) <= MOST_CELLS:
        return list(scores)
    return sorted(scores, key=lambda one: (one.support == 0, one.recall.value, one.name))


def _cells(evaluation: Evaluation) -> list[tuple[str, list[tuple[int, float]]]]:
    """Rows of the confusion matrix: the class, then count and share of the row for each cell."""
    support = np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    shares = evaluation.confusion / support
    return [
        (name, list(zip(counts.tolist(), row.tolist(), strict=True)))
        for name, counts, row in zip(evaluation.classes, evaluation.confusion, shares, strict=True)
    ]


def _splits(class_counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The splits that occur, the usual three first and in their order."""
    found = {split for counts in class_counts.values() for split in counts}
    return [split for split in PARTS if split in found] + sorted(found - set(PARTS))


def _charts(history: Sequence[Mapping[str, Any]]) -> list[Any]:
    names = list(dict.fromkeys(name for row in history for name in row))
    losses = [name for name in names if name.endswith("loss")]
    accuracies = [name for name in names if name.endswith("accuracy")]
    drawn = [draw_lines("Loss", history, losses), draw_lines("Accuracy", history, accuracies)]
    return [chart for chart in drawn if chart]
