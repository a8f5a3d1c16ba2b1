"""`draw_learning_curve`: what heads say that have learned from fewer pictures. "Would more data help?"

Heads are fitted on sub-samples of the training part, half, a quarter and so on of it, and score the validation part:
the test part is not touched. The band of a size says where 95 of 100 training sets of that size would end, were they
drawn anew: Student's t over the repeats, and nothing else. It does not hold the chance of the validation pictures,
which is the same for all sizes; the verdict counts both (`learning_verdict.py`).

* Sub-samples are drawn without replacement from n pictures, so they agree the more the larger they are: the variance
  over repeats of size m is divided by 1 - m / n (Politis, Romano and Wolf, "Subsampling", 1999). The whole training
  part is there only once; for it that of halves counts as it is, since halves of n pictures lie as far apart as sets
  of n pictures do (McCarthy, "Replication: an approach to the analysis of data from complex surveys", 1966).
* Within a repeat the smaller sub-sample is part of the larger. Every sub-sample has the classes in the shares of the
  whole, and at least one picture of each. Copies and groups are not kept together: all of it is training part, and no
  validation picture can be a copy of it but where the source has split so.
* A size's penalty is chosen by its first repeat's validation loss, as `fit_head` does, and holds for the others.
* Wide features are projected to `held_out.WIDTH` random directions and diagonalised once, for all heads: 20 heads on
  2,000 pictures take 0.5 s of a core. The last point is therefore close to the trained head's validation accuracy,
  and mostly a little below.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.index import Index
from telltale.data.splits import Splits
from telltale.evaluation.held_out import draw_directions, project
from telltale.evaluation.learning_verdict import Answers, describe_curve, predict_gain
from telltale.evaluation.metrics import Interval, log_losses
from telltale.evaluation.student import t_quantile
from telltale.model.features import Extractor, features
from telltale.model.head import PENALTIES, Basis, Floats, Problem, minimise, softmax
from telltale.progress import Advance, Tell, silent
from telltale.words import fit

REPEATS: Final = 5
"""Sub-samples of one size; of large ones fewer, at least `LEAST_REPEATS`, so that they have about `PER_SIZE` pictures
together: the larger, the less they differ."""

LEAST_REPEATS: Final = 3
PER_SIZE: Final = 20_000

HALVINGS: Final = 4
"""The smallest sub-sample is a sixteenth of the training part."""

LEAST_SIZE: Final = 4
"""A sub-sample has at least so many pictures, and at least one of each class."""

MOST: Final = 20_000
"""Training pictures that the curve ends at: 100 MB of features at 1,280, 4 s of a core with two classes."""

MOST_CELLS: Final = 1_200_000
"""Fewer where that times the classes is more than this, so that 120 classes take 8 s of a core; but five of a class."""

MOST_SCORED: Final = 10_000
"""Validation pictures that score it: the chance of a share is then at most ±0.01, and that of a gain less."""

LEAST_SUPPORT: Final = 5
"""Validation pictures below which a class has no curve of its own: it would jump between 0 and 1."""

SHOWN_CLASSES: Final = 10

_PATIENCE: Final = 2
"""Stop after so many weaker penalties in a row without a better validation loss."""


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """Mean accuracy (of a class: recall) of heads that learned from `pictures`, and its band over the repeats."""

    pictures: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Validation accuracy over the number of training pictures, and the answer to "would more data help?" in words."""

    points: tuple[LearningPoint, ...]
    """From few to many; the last is the whole training part, or `MOST` of it."""
    per_class: dict[str, tuple[LearningPoint, ...]]
    """Recall of each class with at least `LEAST_SUPPORT` validation pictures; `pictures` are those of all classes."""
    verdict: str
    next_gain: Interval | None = None
    """Accuracy that twice the training pictures would probably add, with its 95 % interval."""
    validation: int = 0
    """Pictures that the heads were scored on."""

    def __str__(self) -> str:
        return tabulate(self)


def draw_learning_curve(
    splits: Splits, extractor: Extractor, *, repeats: int = REPEATS, seed: int = 0, tell: Tell = silent
) -> LearningCurve | None:
    """The learning curve of heads on the extractor's features of the training part of `splits`.

    What a fine-tuned network would gain is not known from it. None where there is nothing to see: one class only, no
    validation picture, or too few training pictures to halve them.
    """
    classes = len(splits.index.classes)
    train = _cut(splits.train, min(MOST, max(MOST_CELLS // classes, 5 * classes)), seed)
    validation = _cut(splits.validation, MOST_SCORED, seed)
    sizes = choose_sizes(len(train), classes=len(np.unique(train.codes)))
    if len(np.unique(train.codes)) < 2 or not len(validation) or len(sizes) < 2:
        return None
    orders = [order_evenly(train.codes, seed=[seed, 7, repeat]) for repeat in range(max(repeats, 2))]
    asker = _Asker(train.codes, validation.codes, classes)
    seen = _rotate(features(train, extractor, tell=tell), features(validation, extractor, tell=tell), seed)
    right = tuple(asker.ask_all(seen, sizes, orders, tell))
    answers = Answers(sizes, right, validation.codes, splits.index.classes)
    gain = predict_gain(answers, pictures=len(splits.train), seed=seed)
    return LearningCurve(
        _to_points(answers, np.ones(len(validation), np.bool_)),
        {
            name: _to_points(answers, validation.codes == number)
            for number, name in enumerate(splits.index.classes)
            if (validation.codes == number).sum() >= LEAST_SUPPORT
        },
        describe_curve(answers, gain, pictures=len(splits.train)),
        gain,
        len(validation),
    )


def choose_sizes(count: int, *, classes: int) -> tuple[int, ...]:
    """Sizes of sub-samples of `count` pictures, ascending: all of them, half, a quarter, …

    >>> choose_sizes(2000, classes=2), choose_sizes(600, classes=120)
    ((125, 250, 500, 1000, 2000), (150, 300, 600))
    """
    least = max(LEAST_SIZE, classes)
    sizes = [round(count / 2**halving) for halving in range(HALVINGS, -1, -1)]
    return tuple(size for size in sizes if size >= least)


def order_evenly(labels: NDArray[np.int32], *, seed: Sequence[int]) -> NDArray[np.int64]:
    """Row numbers in a random order of which every beginning has the classes in the shares of the whole, as near as can
    be; each class's first row comes before all second ones.

    >>> labels = np.array([0, 0, 0, 0, 1, 1], np.int32)
    >>> labels[order_evenly(labels, seed=[0])[:3]].tolist() in ([0, 1, 0], [1, 0, 0])
    True
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = np.where(place == 0, 0, (place + 0.5) / np.repeat(counts, counts))
    return order[np.lexsort((rng.random(len(order)), share))]


def tabulate(curve: LearningCurve) -> str:
    """The verdict and the curve as text for 80 columns; of many classes those that end lowest."""
    classes = sorted(curve.per_class, key=lambda name: curve.per_class[name][-1].accuracy)
    shown = set(classes[:SHOWN_CLASSES])
    names = [name for name in curve.per_class if name in shown]
    lines = [*textwrap.wrap(curve.verdict, 80), "", f"{'training pictures':<20}" + _row(curve.points, "{:>10,}", 0)]
    lines.append(f"{'accuracy':<20}" + _row(curve.points, "{:>10.3f}", 1))
    lines.append(f"{'  95 % band':<20}" + "".join(f"{f'{one.low:.2f}-{one.high:.2f}':>10}" for one in curve.points))
    lines += [f"{fit(f'  {name}', 20)}" + _row(curve.per_class[name], "{:>10.3f}", 1) for name in names]
    if len(classes) > SHOWN_CLASSES:
        lines.append(f"The {SHOWN_CLASSES} of {len(classes)} classes that end lowest.")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Asker:
    """Fits heads on sub-samples of the training pictures and asks them about the validation pictures."""

    labels: NDArray[np.int32]
    asked_labels: NDArray[np.int32]
    classes: int

    def ask_all(
        self, seen: tuple[Floats, Floats], sizes: Sequence[int], orders: Sequence[NDArray[np.int64]], tell: Tell
    ) -> Iterator[NDArray[np.bool_]]:
        """For each size, bool `[repeats, m]`: which validation pictures its heads get right.

        A head starts from that of the smaller sub-sample within its own, so it needs few steps.
        """
        known, asked = seen
        repeats = [_count_repeats(size, len(orders)) for size in sizes[:-1]] + [1]
        penalty, points, done = 0, dict[int, Floats](), 0
        for size, count in zip(sizes, repeats, strict=True):
            right = np.empty((count, len(asked)), np.bool_)
            for repeat in range(count):
                rows = orders[repeat][:size]
                problem = Problem(known[rows], self.labels[rows], self.classes)
                point = points.get(repeat, problem.start())
                if repeat == 0:
                    penalty, point = self._choose(problem, point, asked, max(0, penalty - 1))
                else:
                    point, _ = minimise(problem, PENALTIES[penalty], point)
                points[repeat] = point
                right[repeat] = (asked @ point[:-1] + point[-1]).argmax(axis=1) == self.asked_labels
                done += 1
                tell(Advance("draw the learning curve", done, sum(repeats), "heads"))
            yield right

    def _choose(self, problem: Problem, point: Floats, asked: Floats, first: int) -> tuple[int, Floats]:
        """Place in `PENALTIES`, from `first` on, of the one with the least validation loss, and its head."""
        least, best, chosen = math.inf, first, point
        for place in range(first, len(PENALTIES)):
            point, _ = minimise(problem, PENALTIES[place], point)
            loss = float(log_losses(self.asked_labels, softmax(asked @ point[:-1] + point[-1])).mean())
            if loss < least:
                least, best, chosen = loss, place, point
            elif place - best >= _PATIENCE:
                break
        return best, chosen


def _rotate(known: Floats, asked: Floats, seed: int) -> tuple[Floats, Floats]:
    """Both in at most `held_out.WIDTH` directions that are uncorrelated among the `known`."""
    mean, directions = draw_directions(known, np.arange(len(known)), seed)
    known, asked = (project(rows, np.arange(len(rows)), mean, directions) for rows in (known, asked))
    basis = Basis.of(known)
    return basis.rotate(known), basis.rotate(asked)


def _cut(part: Index, most: int, seed: int) -> Index:
    """At most `most` pictures of `part`, with its classes in their shares."""
    return part if len(part) <= most else part.take(np.sort(order_evenly(part.codes, seed=[seed, 8])[:most]))


def _count_repeats(size: int, most: int) -> int:
    return min(most, max(LEAST_REPEATS, PER_SIZE // size))


def _to_points(answers: Answers, mine: NDArray[np.bool_]) -> tuple[LearningPoint, ...]:
    """Mean and band of every size over the pictures that are `mine`, bool `[m]`."""
    whole, points, reach = answers.sizes[-1], [], 0.0
    for size, right in zip(answers.sizes, answers.right, strict=True):
        shares = right[:, mine].mean(axis=1)
        if size < whole:
            times = float(t_quantile(np.array(len(shares) - 1)))
            reach = times * float(shares.std(ddof=1)) / (1 - size / whole) ** 0.5
        else:
            reach *= (answers.sizes[-2] / whole) ** 0.5
        mean = float(shares.mean())
        points.append(LearningPoint(size, mean, max(0.0, mean - reach), min(1.0, mean + reach)))
    return tuple(points)


def _row(points: Sequence[LearningPoint], form: str, column: int) -> str:
    return "".join(form.format((one.pictures, one.accuracy)[column]) for one in points)
