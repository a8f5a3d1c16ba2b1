"""`find_suspects`: pictures whose label is probably wrong, the most suspicious first.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR
70, 2021, arXiv:1911.00068) on out-of-fold probabilities of linear heads on a frozen network's features:

1. A class's threshold is the mean probability that its own pictures have for it.
2. A picture belongs confidently to the most probable of the classes whose threshold it reaches. Where that is another
   class than its label, it is counted off the diagonal of the confident joint: the label is called wrong.
3. Pictures are ranked by the probability of the given label (self-confidence), the least first.

Two things were settled by measurement, with 5 % of the labels flipped (benchmarks/RESULTS.md#label-suspects):

* Ranked by self-confidence, not by the margin to the best other class. Of two classes both are the same order. Of the
  120 dog breeds, where heads learn from 4 pictures a breed, the first 8 % hold 0.73 of the flips by self-confidence and
  0.26 by margin: the margin puts the confident confusions of a weak head first.
* For review is suggested what confident learning calls wrong *and* has less than 1/classes for its label: less than by
  guessing. Of two classes nothing changes. Of the 120 breeds confident learning alone calls 463 of 798 labels wrong, of
  which 40 are; with the limit 111, of which 34 are.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.duplicates import find_duplicates
from telltale.data.index import Index
from telltale.data.splits import deal_folds, find_units
from telltale.errors import DataError
from telltale.evaluation.clustered import share_right
from telltale.evaluation.held_out import LEAST_FOLDS, predict_held_out
from telltale.evaluation.metrics import Interval
from telltale.model.features import Extractor, features
from telltale.model.head import Floats
from telltale.progress import Tell, silent
from telltale.threads import pieces

FOLDS: Final = 5
"""Three of them are learned from at a time; with 10 folds twice the time finds no more (0.952 for 0.947 of flips)."""

_SLACK: Final = 1e-6
"""Rounding: a class whose pictures all have the same probability reaches its own mean."""

_BLOCK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture, the label that it has, the most probable other class, and that class's out-of-fold probability."""

    path: str
    given: str
    suggested: str
    confidence: float


@dataclass(frozen=True)
class Ranking:
    """What `rank_suspects` found about `n` labels.

    `order` int64 `[n]`: row numbers, most suspicious first; the first `review` of them are suggested for review.
    `suggested` int32 `[n]`: the most probable other class of each row. `wrong` bool `[n]`: what confident learning
    calls wrong.
    """

    order: NDArray[np.int64]
    suggested: NDArray[np.int32]
    wrong: NDArray[np.bool_]
    review: int


@dataclass(frozen=True)
class Suspects:
    """All labelled pictures ranked by how suspicious their labels are.

    `pictures` are those that were judged: readable and with a label. `probabilities` float32 `[labelled, classes]` are
    theirs, out of fold, in that order. `accuracy` is the share of labels that the heads say too: where it is low, the
    suspects are many and mean little.
    """

    pictures: Index
    ranking: Ranking
    accuracy: Interval
    probabilities: Floats

    @property
    def labelled(self) -> int:
        """Pictures that were judged."""
        return len(self.pictures)

    @property
    def review(self) -> int:
        """How many of the first rows are suggested for review: their labels are probably wrong."""
        return self.ranking.review

    @cached_property
    def rows(self) -> tuple[Suspect, ...]:
        """The whole ranking, most suspicious first: 200 bytes a picture, so prefer `first` where there are millions."""
        return self.first(self.labelled)

    def first(self, count: int) -> tuple[Suspect, ...]:
        """The `count` most suspicious pictures."""
        rows = self.ranking.order[:count]
        chosen, classes = self.pictures.take(rows), self.pictures.classes
        suggested = self.ranking.suggested[rows]
        confidence = self.probabilities[rows, suggested].tolist()
        return tuple(
            Suspect(path, classes[given], classes[other], chance)
            for path, given, other, chance in zip(chosen.paths, chosen.codes, suggested, confidence, strict=True)
        )


def find_suspects(
    index: Index,
    extractor: Extractor,
    *,
    units: NDArray[np.int64] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    tell: Tell = silent,
) -> Suspects:
    """The labelled readable pictures of `index`, ranked by how suspicious their labels are.

    `units` int64 `[len(index)]` says which pictures stay in one fold, as `find_units` does: a copy must not vouch for
    a wrong label. Without it they are found here. Raises `DataError` where nothing can be said: fewer than two
    classes, or fewer than three separate pictures.
    """
    usable = np.flatnonzero(index.table.column("error").is_null().to_numpy() & (index.codes >= 0))
    pictures = index.take(usable)
    units = find_units(pictures, find_duplicates(pictures)) if units is None else units[usable]
    dealt = deal_folds(units, pictures.codes, folds, seed=seed)
    present = int((np.bincount(pictures.codes, minlength=1) > 0).sum())
    if present < 2 or len(np.unique(dealt)) < LEAST_FOLDS:
        raise DataError(
            f"{len(pictures):,} labelled pictures of {present} {'class' if present == 1 else 'classes'} are too few to "
            "look for wrong labels.",
            expected=f"Pictures of two classes or more, in {LEAST_FOLDS} folds or more that share no copies.",
            do="Add pictures, or leave the label suspects out.",
        )
    matrix = features(pictures, extractor, tell=tell)
    probabilities = predict_held_out(matrix, pictures.codes, dealt, classes=len(pictures.classes), seed=seed)
    return Suspects(
        pictures,
        rank_suspects(probabilities, pictures.codes),
        share_right(probabilities.argmax(axis=1) == pictures.codes),
        probabilities,
    )


def rank_suspects(probabilities: Floats, labels: NDArray[np.int32]) -> Ranking:
    """The labels ranked by how suspicious they are.

    `probabilities` float `[n, classes]` must be of classifiers that have not seen the row they speak of; `labels` int
    `[n]` are the given classes. A class without labels is never what a picture is confidently taken for.

    >>> ranking = rank_suspects(np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]]), np.array([0, 0, 1, 1]))
    >>> ranking.order.tolist(), ranking.review, ranking.suggested.tolist()
    ([3, 1, 2, 0], 1, [1, 1, 0, 0])
    """
    count, classes = probabilities.shape
    own = probabilities[np.arange(count), labels]
    support = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    thresholds = np.where(support > 0, sums / np.maximum(support, 1), np.inf) - _SLACK
    suggested, wrong = np.zeros(count, np.int32), np.zeros(count, np.bool_)
    for part in pieces(count, _BLOCK):
        here = slice(part.start, part.stop)
        suggested[here], wrong[here] = _judge(probabilities[here], labels[here], thresholds)
    review = wrong & (own < 1 / max(1, int((support > 0).sum())))
    return Ranking(np.lexsort((own, ~review)), suggested, wrong, int(review.sum()))


def _judge(
    probabilities: Floats, labels: NDArray[np.int32], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The most probable other class of each row, and whether confident learning calls its label wrong."""
    mine = np.arange(len(labels))
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    confident = reached.argmax(axis=1)
    others = probabilities.copy()
    others[mine, labels] = -1
    suggested = others.argmax(axis=1)
    doubted = others[mine, suggested] > probabilities[mine, labels]
    return suggested, (reached[mine, confident] >= 0) & (confident != labels) & doubted
