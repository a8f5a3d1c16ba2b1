"""`Inspection`: what is wrong with a collection of pictures, in the order of how much it harms."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telltale.batches.preprocess import Preprocess
from telltale.data.checks import CHECKS
from telltale.data.findings import Findings
from telltale.data.index import Index, describe_reasons
from telltale.data.leaks import GROUP, LEAKS
from telltale.data.splits import PARTS, deal_folds, find_units
from telltale.data.store import portable_name
from telltale.delivery.selection import anchor, count_copies
from telltale.errors import RecipeError
from telltale.evaluation.held_out import LEAST_FOLDS
from telltale.evaluation.shortcuts import Shortcut, judge
from telltale.evaluation.suspects import FOLDS, Suspects
from telltale.training.recipe import Recipe

UNEVEN: Final = 10
"""How many times as many pictures the largest class has as one that is called rare."""

WEAK: Final = 0.7
"""Share of the labels below which a network that agrees with them is too weak to call the others wrong."""

ELSEWHERE: Final = (
    "unreadable",
    "duplicate with another label",
    "duplicate across given splits",
    "exact duplicate",
    "near-duplicate",
)
"""Checks whose findings are counted as groups, pairs or reasons."""


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    """What an inspection is asked for, beside the data."""

    model: str = ""
    """Network whose features tell which labels are probably wrong; empty: labels are not judged."""
    weights: str = ""
    """Its pretrained weights (.safetensors or .pth); empty: the folder in TELLTALE_WEIGHTS, then the hub."""
    img_size: int = 0
    """Height and width of the input that the report shows, and of the network's; 0: what fits."""
    labels_fix: str = ""
    """A fix file whose labels count instead of the source's own; empty: none."""
    mirrored: bool = False
    """Pictures that are mirror images of each other count as copies too."""
    lookalikes: bool = False
    """With a network: pictures whose features are nearly equal (another crop, another shot) count as copies too."""
    seed: int = 0
    """Of the folds that suspects and shortcuts are judged in, and of the samples that are shown."""

    def __post_init__(self) -> None:
        if self.lookalikes and not self.model:
            raise RecipeError(
                "Lookalikes are asked for, but no network.",
                expected="A network whose features are compared.",
                do="Name one, such as --model mobilenetv2_100, or leave out --lookalikes.",
            )

    @property
    def recipe(self) -> Recipe:
        """The training that the first look is made for: a probe where there is a network, else one from scratch."""
        return Recipe(
            model=self.model or Recipe().model,
            fit="probe" if self.model else "scratch",
            weights=self.weights,
            img_size=self.img_size,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of thing that is wrong: where the report shows it, how often, and in words."""

    anchor: str
    count: int
    words: str
    sentence: str
    grave: bool = True
    """It can make a classifier or its score wrong, not only a picture less useful."""


@dataclass(frozen=True)
class Inspection:
    """What `inspect_source` found, and the folder where it lies.

    `leaks` (columns of `LEAKS`) are copies across the split that the source itself fixes. `suspects` is None where no
    network was asked for, or labels cannot be judged. `preprocess` says what a network would see of the pictures.
    """

    findings: Findings
    source: str = ""
    """Where the pictures come from, as it was given."""
    settings: InspectionSettings = field(default_factory=InspectionSettings)
    leaks: pa.Table = field(default_factory=LEAKS.empty_table)
    suspects: Suspects | None = None
    shortcuts: tuple[Shortcut, ...] = ()
    preprocess: Preprocess = field(default_factory=Preprocess)
    seconds: float = 0.0
    folder: Path = Path()

    @property
    def index(self) -> Index:
        """The pictures."""
        return self.findings.index

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report.html"

    @property
    def fixes(self) -> Path | None:
        """The file of labels to edit; None where labels were not judged."""
        return self.folder / "labels-fix.csv" if self.suspects is not None else None

    @cached_property
    def held_out(self) -> int:
        """Pictures that the source itself puts into validation or test; 0 where it has no split."""
        return int(pc.sum(pc.is_in(self.index.table.column("split"), value_set=pa.array(PARTS[1:]))).as_py() or 0)

    @cached_property
    def judgeable(self) -> bool:
        """Labels can be judged, and learned: there are two classes or more, and enough pictures that are no copies."""
        index = self.index
        usable = index.table.column("error").is_null().to_numpy() & (index.codes >= 0)
        codes, units = index.codes[usable], find_units(index, self.findings.duplicates)[usable]
        if len(np.unique(codes)) < 2:
            return False
        return len(np.unique(deal_folds(units, codes, FOLDS, seed=self.settings.seed))) >= LEAST_FOLDS

    @property
    def weak(self) -> bool:
        """The network agrees with so few labels that those it calls wrong may well be right."""
        return self.suspects is not None and self.suspects.accuracy.value < WEAK

    @cached_property
    def judged(self) -> list[tuple[Shortcut, str]]:
        """Every shortcut and what to say about it; empty where that is nothing."""
        reference = self.suspects.accuracy.value if self.suspects else None
        return [(one, judge(one, reference)) for one in self.shortcuts]

    @cached_property
    def problems(self) -> list[Problem]:
        """What is wrong, the worst first."""
        return [one for one in _find_problems(self) if one.count]

    @property
    def verdict(self) -> str:
        """One or two sentences: what is most wrong, or that nothing was found."""
        grave = [one for one in self.problems if one.grave]
        if grave:
            return " ".join(one.sentence for one in grave[:2])
        pictures = f"{len(self.index):,} pictures of {len(self.index.classes):,} classes"
        if self.problems:
            listed = ", ".join(f"{one.count:,} {one.words}" for one in self.problems[:3])
            return f"Nothing grave was found in {pictures}. Worth a look: {listed}."
        return f"Nothing wrong was found in {pictures}."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: everything that was found."""
        return {
            "verdict": self.verdict,
            "folder": portable_name(str(self.folder)),
            "seconds": round(self.seconds, 3),
            "problems": [{"what": one.words, "count": one.count, "grave": one.grave} for one in self.problems],
            "notes": list(self.index.notes),
            **self.findings.to_dict(),
            "leaks": self._leaking_pairs(),
            "shortcuts": [
                {"sees": one.name, **asdict(one.accuracy), "baseline": one.baseline, "says": words}
                for one, words in self.judged
            ],
            "suspects": None if self.suspects is None else self._suspected(self.suspects),
            "settings": {
                name: portable_name(value) if isinstance(value, str) else value
                for name, value in asdict(self.settings).items()
            },
        }

    def _leaking_pairs(self) -> list[dict[str, str]]:
        paths = self.index.table.column("path")
        one, other = (paths.take(self.leaks.column(name)).to_pylist() for name in ("row", "other"))
        kinds = self.leaks.column("kind").to_pylist()
        return [
            {"path": path, "copy_of": copied, "kind": kind}
            for path, copied, kind in zip(one, other, kinds, strict=True)
        ]

    def _suspected(self, suspects: Suspects) -> dict[str, Any]:
        return {
            "judged": suspects.labelled,
            "accuracy": asdict(suspects.accuracy),
            "labels": [asdict(one) for one in suspects.first(suspects.review)],
        }


def _find_problems(inspection: Inspection) -> Iterator[Problem]:
    """Everything that was looked for, the gravest first, whether or not it was found."""
    index, suspects = inspection.index, inspection.suspects
    counts = inspection.findings.counts
    held_out, has = inspection.held_out, "has" if len(inspection.leaks) == 1 else "have"
    grouped = GROUP in inspection.leaks.column("kind").to_pylist()
    what = "a copy, or one of their group," if grouped else "a copy"
    yield Problem(
        "leaks",
        len(inspection.leaks),
        _plural(len(inspection.leaks), "copy across the split", "copies across the split"),
        f"{len(inspection.leaks):,} of {held_out:,} pictures of validation and test {has} {what} in an earlier part: "
        "scores on them flatter a model.",
    )
    copies = count_copies(index, inspection.findings.duplicates)
    yield Problem(
        "copies",
        copies.mixed,
        _plural(copies.mixed, "copy with another label", "copies with different labels"),
        f"{_number(copies.mixed, 'picture is', 'pictures are')} there under different labels, of which one must be "
        "wrong.",
    )
    review, judged = (suspects.review, suspects.labelled) if suspects else (0, 0)
    yield Problem(
        "suspects",
        review,
        _plural(review, "suspect label", "suspect labels"),
        f"{review:,} of {judged:,} labels to look at: the network disagrees with {_plural(review, 'it', 'them')}.",
        grave=not inspection.weak,
    )
    yield from _find_hints(inspection)
    yield Problem(
        "check-unreadable",
        len(index.quarantined),
        "unreadable",
        f"{_number(len(index.quarantined), 'picture', 'pictures')} cannot be used: "
        f"{describe_reasons(index.quarantined)}.",
    )
    yield Problem("copies", copies.surplus, _plural(copies.surplus, "surplus copy", "surplus copies"), "", grave=False)
    for check in CHECKS:
        if check.name not in ELSEWHERE:
            yield Problem(anchor(check.name), counts[check.name], check.name, "", grave=False)


def _find_hints(inspection: Inspection) -> Iterator[Problem]:
    """What makes a score say little: shortcuts to the label, and classes of very uneven size."""
    told = [words for _, words in inspection.judged if words]
    first = "".join(told[:1]).partition(" label.")
    yield Problem(
        "shortcuts",
        len(told),
        _plural(len(told), "shortcut to the label", "shortcuts to the label"),
        f"{first[0]}{first[1]}",
    )
    counts = inspection.findings.statistics.totals
    rare = int(((counts > 0) & (counts * UNEVEN <= counts.max(initial=0))).sum())
    yield Problem(
        "classes",
        rare,
        _plural(rare, "rare class", "rare classes"),
        f"{_number(rare, 'class has', 'classes have')} at most a tenth of the pictures that the largest class has.",
    )


def _number(count: int, one: str, several: str) -> str:
    return f"{count:,} {_plural(count, one, several)}"


def _plural(count: int, one: str, several: str) -> str:
    return one if count == 1 else several
