"""A `Shift` as text for 80 columns: the verdict, both results side by side, the differences, and who suffers."""

import textwrap
from collections.abc import Sequence
from typing import Final

from telltale.evaluation.differences import format_value
from telltale.evaluation.evaluation import NAMES, Evaluation
from telltale.evaluation.shift import ClassDrop, Shift
from telltale.words import fit, printable

SHOWN_CLASSES: Final = 10
"""Classes whose recall is shown, those that surely lose most first."""

SHOWN_PICTURES: Final = 5
"""Mistakes that are named, the most foreign first."""

_NAME: Final = 14
_SHORT: Final = {"balanced_accuracy": "balanced acc."}
"""Names that are wider than their column."""


def tabulate_shift(shift: Shift, evaluations: tuple[Evaluation, Evaluation]) -> str:
    """The verdict and the tables as text; `evaluations` are those that `measure_shift` was given."""
    parts = [
        textwrap.wrap(shift.verdict, 80),
        _side_by_side(shift, evaluations),
        _class_lines(shift.drops),
        _difference_lines(shift),
        _picture_lines(shift),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _side_by_side(shift: Shift, evaluations: tuple[Evaluation, Evaluation]) -> list[str]:
    heads = (f"test part, {evaluations[0].images:,}", f"these, {evaluations[1].images:,}", "change")
    lines = [_line("", *heads)]
    for name, change in shift.changes.items():
        before, after = (one.metrics[name] for one in evaluations)
        lines.append(_line(_SHORT.get(name, NAMES[name]), str(before), str(after), str(change)))
    return lines


def _class_lines(drops: Sequence[ClassDrop]) -> list[str]:
    """Recall of each class, those that surely lose most first."""
    if not drops:
        return []
    lines = [_line("recall of", "test part", "these", "change")]
    for one in drops[:SHOWN_CLASSES]:
        lines.append(_line(one.name, *map(str, (one.reference, one.other, -one.drop))))
    if len(drops) > SHOWN_CLASSES:
        lines.append(f"… and {len(drops) - SHOWN_CLASSES:,} more classes that lose less.")
    return lines


def _difference_lines(shift: Shift) -> list[str]:
    """The median of each measure in both sets, and how well it alone tells them apart."""
    if not shift.differences:
        return []
    lines = [f"{'median':<16}{'test part':>10}{'these':>10}  AUC [95 % interval]   these are"]
    for one in shift.differences:
        medians = (format_value(one.name, value) for value in (one.reference, one.other))
        lines.append(f"{one.name:<16}{''.join(f'{text:>10}' for text in medians)}  {one.auc!s:<21} {one.word}".rstrip())
    return lines


def _picture_lines(shift: Shift) -> list[str]:
    """The mistakes that look least like the test part."""
    if not shift.telling:
        return []
    lines = ["Mistakes here, those that look least like the test part first:"]
    for one in shift.telling[:SHOWN_PICTURES]:
        words = f" is {_short(one.true)}, called {_short(one.predicted)}; {one.chance:.0%} foreign".replace("%", " %")
        lines.append(f"  {printable(one.path, max(20, 78 - len(words)))}{words}")
    return lines


def _short(name: str) -> str:
    return printable(name, 16)


def _line(name: str, reference: str, other: str, change: str) -> str:
    return f"{fit(name, _NAME)} {reference:<20} {other:<20} {change}".rstrip()
