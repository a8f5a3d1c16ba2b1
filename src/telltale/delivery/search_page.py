"""The report of a search: one HTML file that ranks the candidates, the verdict first."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from telltale.data.splits import Splits
from telltale.delivery.page import render_page, write_page
from telltale.delivery.resuming import ELSEWHERE
from telltale.delivery.search_outcome import Search, describe_choice, describe_test, group_left_out, name_figures
from telltale.delivery.search_plan import find_differences
from telltale.evaluation.metrics import Interval
from telltale.files import timestamp
from telltale.training.fitting import versions

TEMPLATE: Final = "search.html.jinja"

_STEP: Final = 0.05
"""The bars begin and end at a multiple of this."""


def write_search_page(path: Path, search: Search, splits: Splits) -> Path:
    """Write the report of `search` as one HTML file that holds everything it shows."""
    return write_page(path, render(search, splits))


def render(search: Search, splits: Splits) -> str:
    """The report as HTML text; every name in it is escaped."""
    low, high = find_ends([one.accuracy for one in search.ranked])
    recipes = [one.run.recipe for one in search.ranked]
    different = find_differences(recipes)
    values = {
        "search": search,
        "choice": describe_choice(search),
        "tested": describe_test(search),
        "test": search.test.metrics["accuracy"] if search.test else None,
        "rows": [(place, one, name_figures(one)) for place, one in enumerate(search.ranked, 1)],
        "left_out": group_left_out(search.left_out),
        "differences": different,
        "settings": {name: value for name, value in asdict(recipes[0]).items() if name not in {*different, *ELSEWHERE}},
        "low": low,
        "high": high,
        "facts": _facts(search, splits),
        "versions": versions(),
        "created": timestamp(),
        "behind": any(one.share < 1 for one in search.ranked),
    }
    return render_page(TEMPLATE, values)


def find_ends(figures: list[Interval]) -> tuple[float, float]:
    """Where an axis for these intervals begins and ends: round numbers, 0 and 1 at the outermost.

    >>> find_ends([Interval(0.95, 0.92, 0.97)])
    (0.9, 1.0)
    """
    low = math.floor(min(one.low for one in figures) / _STEP) * _STEP
    high = math.ceil(max(one.high for one in figures) / _STEP) * _STEP
    return max(0.0, round(low, 2)), min(1.0, round(high, 2))


def _facts(search: Search, splits: Splits) -> dict[str, str]:
    facts: dict[str, Any] = {
        "data": f"{search.data}: {splits.index.layout}",
        "pictures": ", ".join(f"{count:,} {name}" for name, count in search.pictures.items()),
        "winner": search.winner.run,
        "time": f"{search.seconds:.1f} s" + (f" of {search.time}" if search.time else ""),
    }
    return {name: str(value) for name, value in facts.items()}
