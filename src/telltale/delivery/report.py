"""The report of a run: one HTML file that needs no network and no script, for readers who were not there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from telltale.delivery import plot
from telltale.delivery.chart import HEIGHT, WIDTH, draw_lines
from telltale.delivery.content import PARTS, ReportContent
from telltale.delivery.evidence_charts import (
    draw_coverage,
    draw_learning,
    draw_learning_of_classes,
    draw_reliability,
)
from telltale.delivery.page import data_uri, embed_thumbnail, render_page, turn_to_jpeg, write_page
from telltale.delivery.shown_pictures import Choice, choose_pictures
from telltale.delivery.verdict import count, judge, name, percent
from telltale.evaluation.evaluation import NAMES, ClassScore, Evaluation
from telltale.evaluation.metrics import Interval
from telltale.evaluation.picture import draw_confusion
from telltale.evaluation.wording import describe

TEMPLATE: Final = "report.html.jinja"

MOST_CELLS: Final = 12
"""Classes up to which the confusion matrix is a table of text; above it is a picture."""

MOST_CLASSES: Final = 200
"""Classes whose scores are listed, those with the lowest recall."""

MOST_COUNTED: Final = 40
"""Classes whose numbers of pictures are listed; of more, the largest and the smallest half of so many."""

MOST_LISTED: Final = 50
"""Rows of quarantine, of looks and groups of identical pictures that are listed; the rest is counted."""

MOST_PICTURE_LETTERS: Final = 3_000_000
"""Of all photos and heat maps in the page, which is to stay below 5 MB; the last ones give way."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A section of the page: its template is named after its `anchor`, its `figure` is what it comes down to."""

    anchor: str
    title: str
    figure: str = ""


def write_report(path: Path, content: ReportContent) -> Path:
    """Write the report of `content` as one HTML file that holds everything it shows: below 5 MB."""
    return write_page(Path(path), render(content))


def render(content: ReportContent) -> str:
    """The report as HTML text; every name in it is escaped."""
    evaluation = content.evaluation
    choice = choose_pictures(evaluation)
    pictures, heatmaps = _embed(content, choice)
    homes = _find_homes(choice, pictures, classes=len(evaluation.classes))
    rows = [row for row in choice.rows if row.path in homes]
    values = {
        "content": content,
        "contents": _list_sections(content, choice, rows=len(rows)),
        "verdict": judge(content),
        "summary": describe(evaluation, content.pictures),
        "evaluation": evaluation,
        "accuracy": evaluation.metrics["accuracy"],
        "metrics": _metric_rows(content.evaluations),
        "choice": choice,
        "pictures": pictures,
        "heatmaps": heatmaps,
        "homes": homes,
        "numbers": {row.path: number for number, row in enumerate(rows, 1)},
        "rows": rows,
        "looks": _count_looks(content),
        "parts": PARTS,
        "listed": MOST_LISTED,
        "most_cells": MOST_CELLS,
        "chart_size": (WIDTH, HEIGHT),
        "plot_size": (plot.WIDTH, plot.HEIGHT),
    }
    return render_page(TEMPLATE, values | _draw(content) | _tabulate(content))


def _list_sections(content: ReportContent, choice: Choice, *, rows: int) -> list[Entry]:
    """The sections that have something to say, in the order of the page."""
    evaluation = content.evaluation
    evidence = (evaluation.calibration, evaluation.selective, evaluation.sets, choice.refused or None)
    looks = _count_looks(content)
    entries = {
        Entry("good", "How good it is", f"{percent(evaluation.metrics['accuracy'].value)} % right"): True,
        Entry("sure", "How sure it is", _figure_of_sure(evaluation)): any(one is not None for one in evidence),
        Entry("classes", "Class by class", _figure_of_classes(evaluation)): True,
        Entry("confusion", "What is taken for what", f"{evaluation.wrong:,} of {evaluation.images:,} wrong"): True,
        Entry("mistakes", "The most confident mistakes", f"{len(choice.mistakes):,} shown"): True,
        Entry("more-data", "Would more data help?"): content.curve is not None,
        Entry("data", "What was found in the data", _figure_of_data(content)): True,
        Entry("training", "Training", count(len(content.history), "epochs", "epoch")): _charts(content.history),
        Entry("preview", "What the network sees"): content.preview,
        Entry("settings", "Settings"): content.settings,
        Entry("versions", "Made with"): content.versions,
        Entry("looks", "Who looked at the test part", count(looks, "looks", "look")): content.main == "test",
        Entry("rows", "The pictures shown", count(rows)): rows,
    }
    return [entry for entry, there in entries.items() if there]


def _figure_of_sure(evaluation: Evaluation) -> str:
    if evaluation.selective is not None:
        return f"answers {percent(evaluation.selective.coverage.value)} %"
    return f"off by {100 * evaluation.calibration.ece_after.value:.1f} points" if evaluation.calibration else ""


def _figure_of_classes(evaluation: Evaluation) -> str:
    weakest = min((one for one in evaluation.per_class if one.support), key=lambda one: one.recall.value)
    return f"lowest: {name(weakest.name, 16)}, {percent(weakest.recall.value)} %"


def _figure_of_data(content: ReportContent) -> str:
    if content.quarantine:
        return f"{len(content.quarantine):,} unreadable"
    total = sum(sum(counts.values()) for counts in content.class_counts.values())
    return f"{total:,} pictures" if total else ""


def _count_looks(content: ReportContent) -> int:
    return max(content.evaluation.looks, len(content.looks))


def _embed(content: ReportContent, choice: Choice) -> tuple[dict[str, str], dict[str, str]]:
    """Photos and heat maps by path as addresses that hold them, as many as the page has room for."""
    left = MOST_PICTURE_LETTERS
    pictures, heatmaps = dict[str, str](), dict[str, str]()
    mistakes = [row.path for row in choice.mistakes]
    wanted: list[tuple[str, Mapping[str, bytes], dict[str, str]]] = []
    for path in dict.fromkeys([*mistakes, *choice.paths]):
        wanted.append((path, content.thumbnails, pictures))
        if path in content.heatmaps and path in mistakes:
            wanted.append((path, content.heatmaps, heatmaps))
    for path, source, embedded in wanted:
        address = embed_thumbnail(source.get(path))
        places = choice.places(path) if embedded is pictures else 1
        if address and len(address) * places <= left:
            embedded[path] = address
            left -= len(address) * places
    return pictures, heatmaps


def _find_homes(choice: Choice, pictures: Mapping[str, str], *, classes: int) -> dict[str, str]:
    """For each picture the part of the page that its row leads back to; without those that no part shows."""
    homes = {row.path: "samples" for row in choice.samples if pictures}
    homes |= {row.path: "refused" for row in choice.refused}
    homes |= {
        row.path: "pairs" for pair in choice.pairs for row in pair.pictures if classes > 2 and row.path in pictures
    }
    return homes | {row.path: "mistakes" for row in choice.mistakes}


def _draw(content: ReportContent) -> dict[str, Any]:
    """The charts and larger pictures of the page."""
    evaluation, curve = content.evaluation, content.curve
    small = len(evaluation.classes) <= MOST_CELLS
    return {
        "table": _cells(evaluation) if small else None,
        "matrix": None if small else data_uri(content.matrix or draw_confusion(evaluation), "image/png"),
        "reliability": draw_reliability(evaluation.calibration) if evaluation.calibration else [],
        "coverage": draw_coverage(evaluation.selective) if evaluation.selective else None,
        "learning": draw_learning(curve) if curve and curve.points else None,
        "learning_of_classes": draw_learning_of_classes(curve) if curve else [],
        "charts": _charts(content.history),
        "preview": data_uri(turn_to_jpeg(content.preview), "image/jpeg") if content.preview else "",
    }


def _tabulate(content: ReportContent) -> dict[str, Any]:
    """The longer tables of the page."""
    evaluation = content.evaluation
    return {
        "classes": _ranked(evaluation.per_class)[:MOST_CLASSES],
        "counted": _count_classes(content.class_counts),
        "splits": _splits(content.class_counts),
        "reasons": Counter(reason for _, reason, _ in content.quarantine).most_common(),
        "set_sizes": _set_sizes(evaluation),
        "seconds": bool(len(evaluation.paths)),
        "judged": bool(len(evaluation.verdicts)),
        "stranger": bool(len(evaluation.strangeness)),
    }


def _metric_rows(evaluations: Mapping[str, Evaluation]) -> list[tuple[str, list[Interval | None]]]:
    return [
        (words, [one.metrics.get(metric) for one in evaluations.values()])
        for metric, words in NAMES.items()
        if any(metric in one.metrics for one in evaluations.values())
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
        (one, list(zip(counts.tolist(), row.tolist(), strict=True)))
        for one, counts, row in zip(evaluation.classes, evaluation.confusion, shares, strict=True)
    ]


def _set_sizes(evaluation: Evaluation, most: int = 6) -> list[tuple[str, int, float]]:
    """How many classes a prediction set holds, pictures with such a set, and their share of the most frequent size."""
    if evaluation.sets is None:
        return []
    sizes = sorted(evaluation.sets.sizes.items())
    rows = [(f"{size}", pictures) for size, pictures in sizes[:most]]
    if len(sizes) > most:
        rows.append((f"{sizes[most][0]} or more", sum(pictures for _, pictures in sizes[most:])))
    largest = max([1, *(pictures for _, pictures in rows)])
    return [(words, pictures, pictures / largest) for words, pictures in rows]


def _count_classes(
    class_counts: Mapping[str, Mapping[str, int]],
) -> list[tuple[str, Mapping[str, int] | None]]:
    """Every class with its pictures; of many the most and the least frequent ones, and a line for those between."""
    rows: list[tuple[str, Mapping[str, int] | None]] = list(class_counts.items())
    if len(rows) <= MOST_COUNTED:
        return rows
    rows.sort(key=lambda one: -sum((one[1] or {}).values()))
    half = MOST_COUNTED // 2
    return [*rows[:half], (f"… {len(rows) - 2 * half:,} classes between", None), *rows[-half:]]


def _splits(class_counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The splits that occur, the usual three first and in their order."""
    found = {split for counts in class_counts.values() for split in counts}
    return [split for split in PARTS if split in found] + sorted(found - set(PARTS))


def _charts(history: Iterable[Mapping[str, Any]]) -> list[Any]:
    rows = list(history)
    names = list(dict.fromkeys(column for row in rows for column in row))
    losses = [column for column in names if column.endswith("loss")]
    accuracies = [column for column in names if column.endswith("accuracy")]
    drawn = [draw_lines("Loss", rows, losses), draw_lines("Accuracy", rows, accuracies)]
    return [chart for chart in drawn if chart]
