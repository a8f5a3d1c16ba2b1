"""`choose_pictures`: which of the scored pictures a report shows, and what was said of each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from telltale.evaluation.confusions import Confusion, most_confused
from telltale.evaluation.evaluation import Evaluation, Mistake
from telltale.model.rejection import ACCEPTED, UNLIKE, UNSURE

MOST_MISTAKES: Final = 24
MOST_SAMPLES: Final = 12
MOST_REFUSED: Final = 8
MOST_PAIRS: Final = 10
EACH_PAIR: Final = 4
"""Pictures beside a pair of classes that are confused."""

WORDS: Final = {ACCEPTED: "accepted", UNSURE: "unsure", UNLIKE: "unlike"}
"""What the reject rule says of a picture."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """What was said of one picture; `second` is empty and `strangeness` None where that is not known."""

    path: str
    true: str
    predicted: str
    probability: float
    second: str = ""
    second_probability: float = 0.0
    verdict: str = ""
    """accepted, unsure or unlike; empty without a reject rule."""
    strangeness: float | None = None

    @property
    def right(self) -> bool:
        """Whether it was called what it is."""
        return self.true == self.predicted


@dataclass(frozen=True, slots=True)
class Pair:
    """Two classes that are confused, and some of the pictures."""

    confusion: Confusion
    pictures: tuple[PictureRow, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The pictures of a report."""

    samples: tuple[PictureRow, ...]
    """Evenly from all."""
    mistakes: tuple[PictureRow, ...]
    """The most confident first."""
    refused: tuple[PictureRow, ...]
    """The strangest first, then those that it is least sure of."""
    pairs: tuple[Pair, ...]

    @property
    def rows(self) -> tuple[PictureRow, ...]:
        """Every picture once, in the order of the page."""
        return tuple({row.path: row for row in self._all()}.values())

    @property
    def paths(self) -> list[str]:
        """Their names: what thumbnails are needed of."""
        return [row.path for row in self.rows]

    def places(self, path: str) -> int:
        """How often a picture is shown."""
        return sum(row.path == path for row in self._all())

    def _all(self) -> Iterator[PictureRow]:
        yield from self.samples
        yield from self.refused
        for pair in self.pairs:
            yield from pair.pictures
        yield from self.mistakes


def choose_pictures(evaluation: Evaluation) -> Choice:
    """The pictures that a report of `evaluation` shows: the same ones for the same evaluation.

    One that was loaded from a file knows its mistakes only.
    """
    known = {path: row for row, path in enumerate(evaluation.paths)}
    hardest = evaluation.mistakes(len(evaluation.hardest))
    mistakes = [_describe(evaluation, known[one.path]) if one.path in known else _from(one) for one in hardest]
    count = len(evaluation.paths)
    samples = np.unique(np.linspace(0, count - 1, min(MOST_SAMPLES, count)).astype(np.int64)).tolist()
    return Choice(
        samples=tuple(_describe(evaluation, row) for row in samples),
        mistakes=tuple(mistakes[:MOST_MISTAKES]),
        refused=tuple(_describe(evaluation, row) for row in _find_refused(evaluation)),
        pairs=tuple(_find_pairs(evaluation, mistakes)),
    )


def _from(mistake: Mistake) -> PictureRow:
    return PictureRow(mistake.path, mistake.true, mistake.predicted, mistake.probability)


def _describe(evaluation: Evaluation, row: int) -> PictureRow:
    probabilities = evaluation.probabilities[row]
    first, second = np.argsort(-probabilities, kind="stable")[:2].tolist()
    return PictureRow(
        evaluation.paths[row],
        evaluation.classes[evaluation.labels[row]],
        evaluation.classes[first],
        float(probabilities[first]),
        evaluation.classes[second],
        float(probabilities[second]),
        WORDS[int(evaluation.verdicts[row])] if len(evaluation.verdicts) else "",
        float(evaluation.strangeness[row]) if len(evaluation.strangeness) else None,
    )


def _find_refused(evaluation: Evaluation) -> list[int]:
    """Half of those shown are unlike what was learned, where there are so many; the rest it is unsure of."""
    if not len(evaluation.verdicts) or not evaluation.paths:
        return []
    unlike = np.nonzero(evaluation.verdicts == UNLIKE)[0]
    if len(evaluation.strangeness):
        unlike = unlike[np.argsort(-evaluation.strangeness[unlike], kind="stable")]
    unsure = np.nonzero(evaluation.verdicts == UNSURE)[0]
    unsure = unsure[np.argsort(evaluation.probabilities[unsure].max(axis=1), kind="stable")]
    room = max(MOST_REFUSED // 2, MOST_REFUSED - len(unsure))
    return [*unlike[:room].tolist(), *unsure[: MOST_REFUSED - min(room, len(unlike))].tolist()]


def _find_pairs(evaluation: Evaluation, mistakes: list[PictureRow]) -> Iterator[Pair]:
    """The most frequent mistakes of more than one picture, each with some of its pictures."""
    for one in most_confused(evaluation, MOST_PAIRS):
        found = [row for row in mistakes if (row.true, row.predicted) == (one.true, one.predicted)][:EACH_PAIR]
        yield Pair(one, tuple(found))
