"""The report of an inspection: one HTML file that shows what is wrong with a collection, the worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.batches.preprocess import Preprocess
from telltale.data.checks import CHECKS
from telltale.data.decoding import decode
from telltale.data.index import Index
from telltale.data.splits import PARTS, describe_leaks
from telltale.data.statistics import Statistics
from telltale.delivery.album import draw_album
from telltale.delivery.chart import HEIGHT, WIDTH
from telltale.delivery.inspection import ELSEWHERE, Inspection
from telltale.delivery.page import data_uri, embed_thumbnail, render_page, thumbnail, write_page
from telltale.delivery.selection import (
    Copies,
    CopyCounts,
    Shown,
    Wall,
    count_copies,
    pick_copies,
    pick_findings,
    pick_leaks,
    pick_samples,
)
from telltale.delivery.sizes import draw_sizes
from telltale.errors import ImageError
from telltale.evaluation.suspects import Suspect, Suspects
from telltale.files import timestamp
from telltale.progress import Tell, silent
from telltale.training.fitting import versions

TEMPLATE: Final = "inspection.html.jinja"

MOST_CLASSES: Final = 30
"""Classes whose number of pictures is listed; of more, the most and the least frequent half of so many."""

MOST_SUSPECTS: Final = 24
MOST_PREVIEWS: Final = 4

SQUARE: Final = 224
SQUARE_BYTES: Final = 20_000
"""Largest side and bytes of a square in the preview; twelve pictures of the budget are of this kind."""

RESIZE_WORDS: Final = {
    "crop": "the shorter side brought to that length, the middle cut out",
    "squash": "both sides brought to that length",
    "pad": "the longer side brought to that length, grey around",
}


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class: its pictures in each part (train, validation, test, none) and in all, and its bar."""

    name: str
    parts: list[int]
    pictures: int
    share: float
    length: float
    """Share of the pictures of the largest class."""


@dataclass(frozen=True)
class _Choice:
    """The pictures that the page shows."""

    leaks: list[tuple[Shown, Shown, str]]
    copies: list[Copies]
    suspects: tuple[Suspect, ...]
    walls: list[Wall]
    samples: dict[str, list[Shown]]
    previews: list[Shown]

    def paths(self) -> Iterator[str]:
        """All of them."""
        for one, other, _ in self.leaks:
            yield from (one.path, other.path)
        shown = [*self.samples.values(), *(group.pictures for group in self.copies), self.previews]
        yield from (one.path for pictures in shown for one in pictures)
        yield from (one.path for wall in self.walls for one in wall.pictures)
        yield from (one.path for one in self.suspects)


def write_inspection(path: Path, inspection: Inspection, *, tell: Tell = silent) -> Path:
    """Write the report of `inspection` as one HTML file that holds everything it shows: below 5 MB."""
    return write_page(path, render(inspection, tell=tell))


def render(inspection: Inspection, *, tell: Tell = silent) -> str:
    """The report as HTML text; every name in it is escaped."""
    index, findings = inspection.index, inspection.findings
    choice = _choose(inspection)
    album = draw_album(index, choice.paths(), tell=tell)
    suspects, leaks = inspection.suspects, inspection.leaks
    counts = count_copies(index, findings.duplicates)
    values = {
        "inspection": inspection,
        "title": index.name,
        "notes": [*index.notes, *findings.remarks],
        "index": index,
        "sentences": findings.statistics.sentences(),
        "classes": _count_classes(findings.statistics),
        "parts": [(at, part) for at, part in enumerate(PARTS) if findings.statistics.counts[:, at].any()],
        "leaks": choice.leaks,
        "leaks_words": describe_leaks(leaks) if len(leaks) else "",
        "copies": choice.copies,
        "copies_words": _describe_copies(counts),
        "counts": counts,
        "suspects": choice.suspects,
        "suspects_words": _describe_suspects(suspects) if suspects else "",
        "walls": choice.walls,
        "clean": _list_clean(choice.walls),
        "histograms": draw_sizes(index, findings.statistics.input_size),
        "chart_size": (WIDTH, HEIGHT),
        "samples": choice.samples,
        "previews": _preview(index, choice.previews, inspection.preprocess),
        "resize_words": RESIZE_WORDS[inspection.preprocess.resize],
        "pictures": {place: embed_thumbnail(picture) for place, picture in album.items()},
        "facts": _facts(inspection),
        "settings": asdict(inspection.settings),
        "versions": versions(),
        "created": timestamp(),
    }
    return render_page(TEMPLATE, values)


def _choose(inspection: Inspection) -> _Choice:
    index, findings, suspects = inspection.index, inspection.findings, inspection.suspects
    samples = pick_samples(index, seed=inspection.settings.seed)
    firsts = [members[0] for members in samples.values()][:MOST_PREVIEWS]
    return _Choice(
        leaks=pick_leaks(index, inspection.leaks),
        copies=pick_copies(index, findings.duplicates),
        suspects=suspects.first(min(suspects.review, MOST_SUSPECTS)) if suspects else (),
        walls=pick_findings(findings, without=ELSEWHERE[1:]),
        samples=samples,
        previews=firsts,
    )


def _count_classes(statistics: Statistics) -> list[ClassRow | None]:
    """Every class; of many the most and the least frequent ones, and None for those between."""
    totals, order = statistics.totals, np.arange(len(statistics.classes))
    if len(order) > MOST_CLASSES:
        order = np.argsort(-totals, kind="stable")
    rows: list[ClassRow | None] = [
        ClassRow(
            statistics.classes[code],
            statistics.counts[code].tolist(),
            int(totals[code]),
            float(totals[code] / max(1, statistics.labelled)),
            float(totals[code] / max(1, totals.max())),
        )
        for code in order.tolist()
    ]
    if len(rows) > MOST_CLASSES:
        rows[MOST_CLASSES // 2 : -MOST_CLASSES // 2] = [None]
    return rows


def _describe_copies(counts: CopyCounts) -> str:
    words = f"{counts.groups:,} {'picture is' if counts.groups == 1 else 'pictures are'} there more than once; "
    words += f"{counts.surplus:,} {'file' if counts.surplus == 1 else 'files'} could go if one of each were kept."
    if counts.mixed:
        words += f" {counts.mixed:,} of these pictures {'has' if counts.mixed == 1 else 'have'} different labels."
    return words


def _describe_suspects(suspects: Suspects) -> str:
    share = suspects.review / max(1, suspects.labelled)
    return (
        f"{suspects.review:,} of {suspects.labelled:,} labels ({100 * share:.1f} %) do not fit what the network sees "
        "in the picture. Look at each: some are wrong, some only hard to tell."
    )


def _list_clean(walls: Sequence[Wall]) -> list[str]:
    """The checks that found nothing and have no section of their own."""
    found = {wall.name for wall in walls}
    return [check.name for check in CHECKS if check.name not in found and check.name not in ELSEWHERE[1:]]


def _preview(index: Index, pictures: Sequence[Shown], preprocess: Preprocess) -> list[tuple[Shown, str, str]]:
    """Each picture with the square that the network gets and its mirror image, as addresses."""
    drawn = []
    for one in pictures:
        try:
            square = preprocess.apply(decode(index.store.read(one.path)).pixels)
        except (ImageError, OSError):
            continue
        ways = [data_uri(thumbnail(way, SQUARE, most=SQUARE_BYTES), "image/jpeg") for way in (square, mirror(square))]
        drawn.append((one, ways[0], ways[1]))
    return drawn


def mirror(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square mirrored from left to right, as the augmentation `flip` does it with every second one."""
    return np.ascontiguousarray(square[:, ::-1])


def _facts(inspection: Inspection) -> dict[str, str]:
    index = inspection.index
    facts = {
        "data": f"{index.name}: {index.layout}",
        "pictures": f"{len(index):,}",
        "classes": f"{len(index.classes):,}",
    }
    if inspection.settings.model:
        facts["network"] = inspection.settings.model
    return facts | {"time": f"{inspection.seconds:.1f} s"}
