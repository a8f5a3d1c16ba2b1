"""`Search`: what came of a search among candidates, ranked; as a value, as text, as rows, as JSON."""

import csv
import io
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from telltale.data.markup import lay_out, lay_table, paragraph
from telltale.delivery.search_plan import find_differences
from telltale.evaluation.calibration import expected_error
from telltale.evaluation.comparison import Paired
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.metrics import Interval
from telltale.training.recipe import Recipe
from telltale.training.run import Run
from telltale.words import columns, disarm, enumerate_words, fit, printable

_NAME: Final = 21
"""Columns of a name that fit beside its figures."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A candidate that was trained, with what the validation part says of it."""

    name: str
    run: Run
    validation: Evaluation
    speed: float
    """Pictures per second from stored file to answer, measured here."""
    megabytes: float
    """Size of its bundle, 10^6 bytes."""
    seconds: float
    """How long its training took, when it was done."""
    share: float = 1.0
    """Of its epochs, those that were done: less than 1 where it was left behind by successive halving."""
    against: Paired | None = None
    """The paired test against the first, with all candidates taken together (Holm); None of the first itself."""

    @property
    def accuracy(self) -> Interval:
        """On the validation part."""
        return self.validation.metrics["accuracy"]

    @property
    def worse(self) -> bool:
        """Surely less often right than the first?"""
        return self.against is not None and self.against.is_sure and self.against.only_first > self.against.only_second

    @property
    def calibration_error(self) -> float:
        """ECE on the validation part."""
        return expected_error(self.validation.probabilities, self.validation.labels)

    @property
    def log_loss(self) -> Interval:
        """On the validation part."""
        return self.validation.metrics["log_loss"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A candidate without figures: `failed`, or else not tried, and why."""

    name: str
    recipe: Recipe
    failed: bool
    why: str


@dataclass(frozen=True, eq=False)
class Search:
    """Candidates that were trained on one split, the best first, and the test of the winner.

    `print` shows it as a table. The folder holds the same as comparison.json, comparison.csv and report.html, and each
    candidate's run.
    """

    folder: Path
    data: str
    by: str
    """`accuracy` or `loss`."""
    ranked: tuple[Contender, ...]
    left_out: tuple[LeftOut, ...]
    test: Evaluation | None
    """Of the winner, on pictures that no candidate was trained or chosen with; None where the search was stopped."""
    pictures: dict[str, int]
    """In the parts train, validation and test."""
    seconds: float
    time: str = ""
    """The time limit."""

    @property
    def winner(self) -> Contender:
        """The first."""
        return self.ranked[0]

    @property
    def page(self) -> Path:
        """The same for people who were not there."""
        return self.folder / "report.html"

    @property
    def following(self) -> str:
        """The command that comes next."""
        if self.test is None:
            return ""
        return f"telltale predict {shlex.quote(str(self.winner.run))} PHOTO.jpg"

    @property
    def verdict(self) -> str:
        """In sentences: which is best, which others are not surely worse, and how good it is on the test part."""
        return " ".join([*describe_choice(self), *describe_test(self)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "data": self.data,
            "folder": str(self.folder),
            "by": self.by,
            "time": self.time,
            "seconds": round(self.seconds, 3),
            "pictures": self.pictures,
            "verdict": self.verdict,
            "winner": {"name": self.winner.name, "run": str(self.winner.run), "bundle": str(self.winner.run.bundle)},
            "test": self.test.to_dict() if self.test else None,
            "candidates": [_describe(one, place) for place, one in enumerate(self.ranked, 1)],
            "left_out": [
                {"name": one.name, "state": "failed" if one.failed else "not tried", "why": one.why}
                for one in self.left_out
            ],
        }

    def __str__(self) -> str:
        return tabulate_search(self)

    def _repr_html_(self) -> str:
        head = ["", "candidate", "accuracy", "log loss", "ECE", "images/s", "MB"]
        rows = [[str(place), printable(one.name), *name_figures(one)] for place, one in enumerate(self.ranked, 1)]
        left = [paragraph(text) for text in describe_left_out(self.left_out)]
        return lay_out(
            f"{self.data}: {len(self.ranked)} candidates", paragraph(self.verdict), lay_table(rows, head), *left
        )


def rank(ranked: Sequence[Contender], by: str) -> list[Contender]:
    """The best first: what was trained whole before what was left behind, then by the figure, ties by the other one."""

    def key(one: Contender) -> tuple[float, float, float]:
        accuracy, loss = -one.accuracy.value, one.log_loss.value
        return (-one.share, accuracy, loss) if by == "accuracy" else (-one.share, loss, accuracy)

    return sorted(ranked, key=key)


def group_left_out(left_out: Sequence[LeftOut]) -> list[tuple[str, LeftOut]]:
    """Names of those that have the same reason, and one of them."""
    groups: dict[tuple[bool, str], list[LeftOut]] = {}
    for one in left_out:
        groups.setdefault((one.failed, one.why), []).append(one)
    return [(enumerate_words([printable(one.name) for one in ones]), ones[0]) for ones in groups.values()]


def describe_choice(search: Search) -> list[str]:
    """Sentences about the validation part: the winner, and who is not surely worse."""
    first, count = search.winner, len(search.ranked)
    pictures = f"{first.validation.images:,} validation pictures"
    if count == 1:
        return [f"{printable(first.name)} is the only candidate that was trained: {_percent(first.accuracy)}."]
    what = "is right most often" if search.by == "accuracy" else "has the lowest log loss"
    figure = _percent(first.accuracy) if search.by == "accuracy" else f"{first.log_loss.value:.3f}"
    sentences = [f"Of {count} candidates {printable(first.name)} {what} on {pictures}, which chose it: {figure}."]
    close = [printable(one.name) for one in search.ranked[1:] if not one.worse]
    if not close:
        sentences.append("The others are surely worse." if count > 2 else "The other is surely worse.")
    else:
        more = f" and {len(close) - 4} more" if len(close) > 4 else ""
        sentences.append(f"Not surely worse: {', '.join(close[:4])}{more}.")
    return sentences


def describe_test(search: Search) -> list[str]:
    """Sentences about the test part, which only the winner was scored on."""
    if search.test is None:
        return ["The search was stopped before its winner was tested."]
    right, looks = search.test.metrics["accuracy"], search.test.looks
    sentences = [
        f"On {search.test.images:,} test pictures, which no candidate was trained or chosen with, the winner is "
        f"{_percent(right)} right, 95 % interval {100 * right.low:.1f} to {100 * right.high:.1f} %."
    ]
    if looks > 1:
        sentences.append(
            f"Winners of searches in this folder were scored on them {looks} times: whoever chooses by these scores "
            "cannot trust the best of them."
        )
    return sentences


def tabulate_search(search: Search) -> str:
    """The table and the verdict as text for 80 columns."""
    names = [printable(one.name) for one in search.ranked]
    width = min(_NAME, max(columns(name) for name in [*names, "candidate"]))
    long = any(columns(name) > width for name in names)
    head = f"{'accuracy, 95 % interval':<23} {'log loss':>8} {'ECE':>6} {'images/s':>9} {'MB':>6}"
    lines = [f"    {'candidate' if not long else '':<{width}} {head}"]
    for place, one in enumerate(search.ranked, 1):
        mark = " " if one.worse or place == 1 else "~"
        name = f"{place:>2}{mark} {printable(one.name)}" if long else f"{place:>2}{mark} {fit(one.name, width)}"
        accuracy, *others = name_figures(one)
        figures = f"{accuracy:<23} {others[0]:>8} {others[1]:>6} {others[2]:>9} {others[3]:>6}"
        lines += [name, f"    {'':<{width}} {figures}"] if long else [f"{name} {figures}"]
    notes = []
    if any(not one.worse for one in search.ranked[1:]):
        notes.append("~ not surely worse than the first: paired test, p above 0.05 for all together")
    behind = [one for one in search.ranked if one.share < 1]
    if behind:
        notes.append(f"{len(behind)} of them were left behind with a part of their epochs (successive halving)")
    paragraphs = [" ".join(describe_choice(search)), " ".join(describe_test(search))]
    paragraphs += describe_left_out(search.left_out)
    wrapped = [textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False) for text in paragraphs]
    return "\n".join([wrapped[0], wrapped[1], "", *lines, *notes, *([""] if search.left_out else []), *wrapped[2:]])


def to_csv(search: Search, recipes: dict[str, Recipe]) -> str:
    """One row per candidate, the ranked first; the settings that differ between candidates have a column each."""
    usual = ("model", "fit", "img_size", "epochs")
    others = [name for name in find_differences(list(recipes.values())) if name not in usual]
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(search.ranked, 1):
        settings = asdict(one.run.recipe)
        row = {"rank": place, "name": disarm(one.name), "state": "trained", **_row(one)}
        rows.append(row | {name: _cell(settings[name]) for name in (*usual, *others)})
    for left in search.left_out:
        settings = asdict(recipes[left.name])
        row = {"name": disarm(left.name), "state": "failed" if left.failed else "not tried"}
        row["reason"] = disarm(left.why)
        rows.append(row | {name: _cell(settings[name]) for name in (*usual, *others)})
    head = list(dict.fromkeys(["rank", "name", "state", *_COLUMNS, *usual, *others, "run", "reason"]))
    file = io.StringIO()
    writer = csv.DictWriter(file, head, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


_COLUMNS: Final = (
    "accuracy", "accuracy_low", "accuracy_high", "log_loss", "log_loss_low", "log_loss_high", "ece",
    "images_per_second", "size_mb", "seconds", "epochs_share", "p_against_first", "p_corrected",
    "surely_worse",
)  # fmt: skip


def _row(one: Contender) -> dict[str, Any]:
    accuracy, loss = one.accuracy, one.log_loss
    figures = (accuracy.value, accuracy.low, accuracy.high, loss.value, loss.low, loss.high, one.calibration_error)
    return {
        **{name: f"{value:.6f}" for name, value in zip(_COLUMNS, figures, strict=False)},
        "images_per_second": f"{one.speed:.1f}",
        "size_mb": f"{one.megabytes:.3f}",
        "seconds": f"{one.seconds:.1f}",
        "epochs_share": f"{one.share:.4g}",
        "p_against_first": f"{one.against.p:.6g}" if one.against else "",
        "p_corrected": f"{one.against.chance:.6g}" if one.against else "",
        "surely_worse": "yes" if one.worse else "no",
        "run": disarm(str(one.run)),
    }


def _cell(value: object) -> object:
    text = ",".join(value) if isinstance(value, tuple) else value
    return disarm(text) if isinstance(text, str) else text


def _describe(one: Contender, place: int) -> dict[str, Any]:
    return {
        "rank": place,
        "name": one.name,
        "run": str(one.run),
        "accuracy": asdict(one.accuracy),
        "log_loss": asdict(one.log_loss),
        "ece": one.calibration_error,
        "images_per_second": one.speed,
        "size_mb": one.megabytes,
        "seconds": one.seconds,
        "epochs_share": one.share,
        "p_against_first": one.against.p if one.against else None,
        "p_corrected": one.against.chance if one.against else None,
        "surely_worse": one.worse,
        "recipe": asdict(one.run.recipe),
    }


def name_figures(one: Contender) -> list[str]:
    """Accuracy, log loss, ECE, images/s and MB as texts."""
    size = f"{one.megabytes:.1f}" if one.megabytes < 99.95 else f"{one.megabytes:.0f}"
    return [str(one.accuracy), f"{one.log_loss.value:.3f}", f"{one.calibration_error:.3f}", f"{one.speed:,.0f}", size]


def describe_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """A sentence or two for each reason."""
    return [f"{'Failed' if one.failed else 'Not tried'}: {names}. {one.why}" for names, one in group_left_out(left_out)]


def _percent(figure: Interval) -> str:
    return f"{100 * figure.value:.1f} %"
