"""The page of a comparison of runs: one HTML file that needs no network and no script, and the same as JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from telltale.delivery.album import draw_album
from telltale.delivery.page import embed_thumbnail, render_page, write_page
from telltale.delivery.run_comparison import LOOKED, RunComparison
from telltale.evaluation.comparison import Differing, Paired, say_chance
from telltale.evaluation.evaluation import NAMES
from telltale.evaluation.metrics import Interval
from telltale.files import timestamp, write_json
from telltale.progress import Tell, silent
from telltale.words import printable

TEMPLATE: Final = "run_comparison.html.jinja"
PAGE: Final = "report.html"
VALUES: Final = "comparison.json"

KIND: Final = "run comparison"
VERSION: Final = 1

MOST_SHOWN: Final = 240
"""Pictures on the page: 2.2 MB at most."""

LETTERS: Final = 20
"""Of a run's name beside a line or below a picture."""

MOST_OF_A_PAIR: Final = 60
LEAST_OF_A_PAIR: Final = 6


@dataclass(frozen=True)
class Gauge:
    """A difference with its interval as places from 0 to 100 on a line whose middle is 0; `reach` is its end."""

    low: float
    value: float
    high: float
    reach: float


def save_comparison(found: RunComparison, folder: Path, *, tell: Tell = silent) -> Path:
    """Write comparison.json and report.html into `folder`; the path of the page.

    Pictures are read where they lie now; one that is gone is left out of the page, not of the figures.
    """
    write_json(folder / VALUES, KIND, VERSION, found.to_dict())
    shown = choose_shown(found)
    album = draw_album(found.index, (one.path for pictures in shown for one in pictures), tell=tell)
    return write_page(folder / PAGE, render(found, album))


def choose_shown(found: RunComparison) -> list[tuple[Differing, ...]]:
    """The pictures of each pair that the page shows."""
    pairs = found.comparison.pairs
    each = min(MOST_OF_A_PAIR, max(LEAST_OF_A_PAIR, MOST_SHOWN // len(pairs)))
    left, chosen = MOST_SHOWN, []
    for pair in pairs:
        chosen.append(pair.differing[: min(each, left)])
        left -= len(chosen[-1])
    return chosen


def render(found: RunComparison, album: dict[str, bytes]) -> str:
    """The page as HTML text; `album` has small JPEGs by path."""
    names = [one.name for one in found.runs]
    order = [one.name for one in found.comparison.ranking]
    values: dict[str, Any] = {
        "title": " and ".join(names) if len(names) == 2 else f"{len(names)} runs",
        "found": found,
        "runs": sorted(found.runs, key=lambda one: order.index(one.name)),
        "ranking": found.comparison.ranking,
        "figures": [(words, name) for name, words in NAMES.items() if all(name in one.metrics for one in found.runs)],
        "calibrated": any(one.ece for one in found.runs),
        "looked": LOOKED,
        "pairs": [
            (pair, _measure(pair.accuracy), _measure(pair.log_loss), _frame(shown, album), _count(pair))
            for pair, shown in zip(found.comparison.pairs, choose_shown(found), strict=True)
        ],
        "say_chance": say_chance,
        "brief": lambda name: printable(name, LETTERS),
        "created": timestamp(),
    }
    return render_page(TEMPLATE, values)


def _frame(shown: tuple[Differing, ...], album: dict[str, bytes]) -> list[tuple[Differing, str]]:
    return [(one, embed_thumbnail(album.get(one.path))) for one in shown]


def _count(pair: Paired) -> int:
    """Pictures that exactly one of the two gets right."""
    return pair.only_first + pair.only_second


def _measure(difference: Interval) -> Gauge:
    """Places on a line whose ends are just beyond the interval.

    >>> _measure(Interval(0.5, 0.0, 1.0))
    Gauge(low=50.0, value=71.7..., high=93.4..., reach=1.15)
    """
    ends = [abs(end) for end in (difference.low, difference.high) if abs(end) != float("inf")]
    reach = 1.15 * max(ends, default=1.0) or 1.0
    low, value, high = (
        50 + 50 * max(-1.0, min(1.0, end / reach)) for end in (difference.low, difference.value, difference.high)
    )
    return Gauge(low, value, high, reach)
