"""Matplotlib figures of an `Evaluation`, a `Run` and comparisons; `show` is their door."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from telltale.delivery.run_comparison import RunComparison
from telltale.delivery.search_outcome import Search
from telltale.errors import DataError, UserError
from telltale.evaluation.calibration import CalibrationCheck
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.metrics import Interval
from telltale.evaluation.selective import Selective
from telltale.training.run import Run
from telltale.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = tuple[str, Interval]

INCHES: Final = 4.6
"""Height and width of one panel."""

MOST_COUNTED: Final = 15
"""Classes up to which every cell of the confusion matrix says its number."""

MOST_NAMED: Final = 40
"""Classes up to which each one is named."""

LETTERS: Final = 20

BEFORE: Final = "tab:orange"
AFTER: Final = "tab:blue"


def open_matplotlib() -> Any:
    """pyplot; `UserError` where matplotlib is not installed."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise UserError(
            "Figures need matplotlib, which is not installed here.",
            expected="The extra 'notebook'.",
            do="pip install 'telltale[notebook]'",
        ) from error
    return pyplot


def make_writable() -> Callable[[str], str]:
    """Text to the same with `?` for the letters that matplotlib's font lacks: it would warn of each."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    letters = get_font(findfont(FontProperties())).get_charmap()
    return lambda text: "".join(letter if ord(letter) in letters else "?" for letter in text)


def draw_evaluation(evaluation: Evaluation, *, normalised: bool = False) -> "Figure":
    """The confusion matrix and, where they are known, the reliability diagram and accuracy over coverage.

    With `normalised` the cells say which share of their row they are, else how many pictures.
    """
    plot = open_matplotlib()
    panels: list[Callable[[Axes], None]] = [lambda axes: _draw_confusion(axes, evaluation, normalised)]
    calibration, selective = evaluation.calibration, evaluation.selective
    if calibration is not None:
        panels.append(lambda axes: _draw_reliability(axes, calibration))
    if selective is not None:
        panels.append(lambda axes: _draw_coverage(axes, selective))
    return _draw_panels(plot, panels)


def draw_run(run: Run) -> "Figure":
    """Loss and accuracy over the epochs of a training; `DataError` where it has none yet."""
    plot, rows = open_matplotlib(), run.history
    names = list(dict.fromkeys(name for row in rows for name in row))
    groups = {end: [name for name in names if name.endswith(end)] for end in ("loss", "accuracy")}
    if not any(groups.values()):
        raise DataError(
            f"There is nothing to show of the run {str(run)!r}.",
            expected="At least one finished epoch in its results.csv.",
            do="Wait for the first epoch, or give another run.",
        )
    chosen = [(end, columns) for end, columns in groups.items() if columns]

    def panel(end: str, columns: Sequence[str]) -> "Callable[[Axes], None]":
        return lambda axes: _draw_history(axes, end, columns, rows)

    return _draw_panels(plot, [panel(*one) for one in chosen])


def draw_runs(found: RunComparison) -> "Figure":
    """Accuracy of each run on the pictures that all have answered, and the differences of each two, with intervals."""
    runs = [(one.name, one.metrics["accuracy"]) for one in found.runs]
    pairs = [(f"{one.names[1]} - {one.names[0]}", one.accuracy) for one in found.comparison.pairs]
    return _draw_rows([("Accuracy", runs), ("Difference of accuracy", pairs)])


def draw_search(found: Search) -> "Figure":
    """Validation accuracy and log loss of each candidate of a search, the best first, with intervals."""
    figures = {"accuracy": "Validation accuracy", "log_loss": "Validation log loss"}
    return _draw_rows(
        [(title, [(one.name, one.validation.metrics[name]) for one in found.ranked]) for name, title in figures.items()]
    )


def _draw_rows(panels: Sequence[tuple[str, Sequence[Row]]]) -> "Figure":
    """A panel for each title: a point and its interval for each row, the first at the top."""

    def panel(title: str, rows: Sequence[Row]) -> "Callable[[Axes], None]":
        return lambda axes: _draw_intervals(axes, title, rows)

    return _draw_panels(open_matplotlib(), [panel(*one) for one in panels])


def _draw_intervals(axes: "Axes", title: str, rows: Sequence[Row]) -> None:
    clean, places = make_writable(), range(len(rows))
    values = np.array([one.value for _, one in rows])
    ends = np.array([(one.value - one.low, one.high - one.value) for _, one in rows]).T
    axes.errorbar(values, places, xerr=np.maximum(ends, 0), fmt="o", color=AFTER, elinewidth=1.5, markersize=5)
    names = [clean(printable(name, 2 * LETTERS)) for name, _ in rows]
    axes.set_yticks(places, names, fontsize=9, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if title.startswith("Difference"):
        axes.axvline(0, color="gray", linestyle="--", linewidth=1)
    axes.set_title(title)


def _draw_panels(plot: Any, panels: "Sequence[Callable[[Axes], None]]") -> "Figure":
    figure: Figure = plot.figure(figsize=(INCHES * len(panels), INCHES), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes)
    plot.close(figure)  # else a notebook would display it twice, and a loop would keep all figures
    return figure


def _draw_confusion(axes: "Axes", evaluation: Evaluation, normalised: bool) -> None:
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    clean, classes = make_writable(), len(evaluation.classes)
    if classes <= MOST_NAMED:
        names = [clean(printable(name, LETTERS)) for name in evaluation.classes]
        small = 9 if classes <= MOST_COUNTED else 6
        axes.set_xticks(range(classes), names, rotation=90 if classes > 4 else 0, fontsize=small, parse_math=False)
        axes.set_yticks(range(classes), names, fontsize=small, parse_math=False)
    if classes <= MOST_COUNTED:
        for row, column in np.argwhere(counts).tolist():
            text = f"{shares[row, column]:.1%}" if normalised else f"{counts[row, column]:,}"
            ink = "white" if shares[row, column] > 0.4 else "black"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xlabel("was called")
    axes.set_ylabel("is")
    axes.set_title("Share of each class" if normalised else "Pictures")


def _draw_reliability(axes: "Axes", check: CalibrationCheck) -> None:
    axes.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1)
    drawn = ((check.before, check.ece_before, BEFORE), (check.after, check.ece_after.value, AFTER))
    for words, (bins, error, colour) in zip(("before", "after"), drawn, strict=True):
        filled = [one for one in bins if one.pictures]
        right = np.array([one.accuracy.value for one in filled])
        lows = right - [one.accuracy.low for one in filled]
        highs = np.array([one.accuracy.high for one in filled]) - right
        axes.errorbar(
            [one.confidence for one in filled],
            right,
            yerr=np.maximum([lows, highs], 0),
            color=colour,
            fmt="o",
            markersize=4,
            elinewidth=1,
            label=f"{words}: ECE {error:.3f}",
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability that was said", ylabel="share that is right")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_title("Reliability")


def _draw_coverage(axes: "Axes", selective: Selective) -> None:
    curve = sorted(selective.curve, key=lambda one: one.coverage)
    coverage = [one.coverage for one in curve]
    axes.fill_between(
        coverage, [one.accuracy.low for one in curve], [one.accuracy.high for one in curve], color=AFTER, alpha=0.2
    )
    axes.plot(coverage, [one.accuracy.value for one in curve], color=AFTER)
    axes.axhline(selective.precision, color="gray", linestyle="--", linewidth=1)
    chosen = selective.coverage.value
    axes.plot([chosen], [selective.accuracy.value], "o", color=BEFORE, label=f"this rule: {chosen:.1%} answered")
    axes.set(xlim=(0, 1.02), xlabel="share answered", ylabel="share right among them")
    axes.legend(loc="lower left", fontsize=8)
    axes.set_title("What refusing buys")


def _draw_history(axes: "Axes", end: str, columns: Sequence[str], rows: Sequence[dict[str, float]]) -> None:
    epochs = [row.get("epoch", at) for at, row in enumerate(rows, 1)]
    for name in columns:
        axes.plot(epochs, [row.get(name, np.nan) for row in rows], marker="." if len(rows) < 30 else "", label=name)
    axes.set_xlabel("epoch")
    axes.set_title(end.capitalize())
    axes.legend(fontsize=8)
