"""`score_baselines`: what simple ways to answer get right of the same test pictures that a classifier is scored on.

* **majority**: always the most frequent class of the training part;
* **file facts**, **border**, **thumbnail**: linear heads that see what `find_shortcuts` looks at;
* **nearest neighbours**: what the most similar training pictures are, by the frozen network's features.

Each learns from the training part, its penalty or number of neighbours is chosen with the validation part, and it is
asked about the test part once: so their figures stand beside the classifier's.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telltale.data.index import Index
from telltale.data.sampling import sample_evenly
from telltale.data.splits import Splits
from telltale.evaluation.clustered import find_clusters, number_clusters, share_right
from telltale.evaluation.metrics import Interval
from telltale.evaluation.nearest import name_nearest
from telltale.evaluation.shortcuts import LEAK, Shortcut, file_facts, judge, read_hints
from telltale.model.features import Extractor, features
from telltale.model.head import fit_head
from telltale.progress import Tell, silent
from telltale.words import printable

MAJORITY: Final = "majority"
NEAREST: Final = "nearest neighbours"

MOST: Final = 10_000
"""Training pictures that are learned from, evenly from the classes."""

MOST_CHOOSING: Final = 2_000
"""Validation pictures that choose a penalty or a number of neighbours, evenly from the classes."""

MOST_SCORED: Final = 5_000
"""Test pictures that are asked about, drawn at random: the interval of a share is then at most ±0.014."""

NEIGHBOURS: Final = (1, 3, 5, 10, 20, 50)

_SAYS: Final = {
    "file facts": "From file facts alone (size, format, quality) {} are right.",
    "border": "From the border alone (the outer sixteenth on every side) {} are right.",
    "thumbnail": "From a thumbnail of 16 x 16 pixels {} are right.",
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """A simple way to answer, the share of test pictures that it gets right, and that as one sentence."""

    name: str
    accuracy: Interval
    says: str


def score_baselines(
    splits: Splits, extractor: Extractor | None, *, seed: int = 0, tell: Tell = silent
) -> tuple[Baseline, ...]:
    """A `Baseline` for the majority, each name of `LEAK` and, with an `extractor`, the nearest neighbours.

    Empty where a part has no pictures; only the majority where the training part has one class. `seed` draws the
    pictures where there are more than `MOST`, `MOST_CHOOSING` and `MOST_SCORED`. File facts are binned, and borders
    measured, against the pictures of all three parts, without their labels.
    """
    train, test = splits.train, splits.test
    if not (len(train) and len(splits.validation) and len(test)):
        return ()
    parts = _Parts(
        train.take(sample_evenly(train.codes, MOST, seed=seed)),
        splits.validation.take(sample_evenly(splits.validation.codes, MOST_CHOOSING, seed=seed)),
        test.take(_draw(len(test), seed)),
    )
    most = int(np.bincount(train.codes).argmax())
    says = f"Always saying {printable(train.classes[most], 40)!r} is right for {{}}."
    found = [_score(MAJORITY, np.full(len(parts.test), most), parts, says)]
    if len(np.unique(train.codes)) < 2:
        return tuple(found)
    found += _score_hints(parts, tell)
    if extractor is not None:
        found.append(_score_nearest(parts, extractor, tell))
    return tuple(found)


def judge_baselines(baselines: tuple[Baseline, ...], accuracy: Interval) -> tuple[str, ...]:
    """Warnings where a baseline comes near the classifier, whose `accuracy` on the same test pictures is given.

    File facts, border and thumbnail are judged as `find_shortcuts` finds are. Nearest neighbours are surely better only
    where the two intervals do not meet.

    >>> head, nearest = Interval(0.80, 0.75, 0.84), Baseline(NEAREST, Interval(0.9, 0.86, 0.93), "")
    >>> print(judge_baselines((nearest,), head)[0][:87])
    Nearest neighbours on the same features are surely better: 90.0 % right, the trained he
    """
    majority = next((one.accuracy.value for one in baselines if one.name == MAJORITY), 0.0)
    said = [
        judge(Shortcut(one.name, one.accuracy, majority, pictures=0), accuracy.value)
        for one in baselines
        if one.name in LEAK
    ]
    said += [_praise(one.accuracy, accuracy) for one in baselines if one.name == NEAREST]
    return tuple(words for words in said if words)


@dataclass(frozen=True)
class _Parts:
    """The pictures to learn from, to choose with, and to be asked about."""

    train: Index
    validation: Index
    test: Index

    @cached_property
    def clusters(self) -> NDArray[np.int64] | None:
        """Number of each test picture's cluster; None where each is alone."""
        return number_clusters(find_clusters(self.test))

    def cut(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """What belongs to each part, of rows for all of them in this order."""
        first, second = len(self.train), len(self.train) + len(self.validation)
        return rows[:first], rows[first:second], rows[second:]


def _score_hints(parts: _Parts, tell: Tell) -> list[Baseline]:
    """One linear head for each name of `LEAK`."""
    tables = [part.table for part in (parts.train, parts.validation, parts.test)]
    pictures = replace(parts.train, table=pa.concat_tables(tables))
    found = []
    for name, seen in read_hints(pictures, file_facts(pictures), tell=tell).items():
        learned, chooses, asked = parts.cut(seen)
        head, _ = fit_head(
            learned,
            parts.train.codes,
            val_features=chooses,
            val_labels=parts.validation.codes,
            classes=len(pictures.classes),
        )
        found.append(_score(name, (asked @ head.weight.T + head.bias).argmax(axis=1), parts, _SAYS[name]))
    return found


def _score_nearest(parts: _Parts, extractor: Extractor, tell: Tell) -> Baseline:
    known = features(parts.train, extractor, tell=tell)
    labels, classes = parts.train.codes, len(parts.train.classes)
    counts = [count for count in NEIGHBOURS if count <= len(known)]
    named = name_nearest(
        known, labels, features(parts.validation, extractor, tell=tell), classes=classes, counts=counts
    )
    right = (named == parts.validation.codes).sum(axis=1)
    # Of equal numbers the larger: it hangs less on single pictures.
    best = max(zip(right.tolist(), counts, strict=True))[1]
    said = name_nearest(known, labels, features(parts.test, extractor, tell=tell), classes=classes, counts=[best])[0]
    who = "the most similar training picture" if best == 1 else f"the {best} most similar training pictures"
    return _score(NEAREST, said, parts, f"From {who}, by the same features, {{}} are right.")


def _score(name: str, said: NDArray[Any], parts: _Parts, says: str) -> Baseline:
    accuracy = share_right(said == parts.test.codes, parts.clusters)
    start, _, end = says.rpartition("{}")  # the last: a class may be called so, too
    return Baseline(name, accuracy, f"{start}{100 * accuracy.value:.1f} %{end}")


def _praise(nearest: Interval, head: Interval) -> str:
    if nearest.low <= head.high:
        return ""
    return (
        f"Nearest neighbours on the same features are surely better: {100 * nearest.value:.1f} % right, the trained "
        f"head {100 * head.value:.1f} %. Either classes fall into kinds that no straight line parts (try --fit "
        "finetune), or test pictures have near copies among those learned from (look with telltale inspect)."
    )


def _draw(count: int, seed: int) -> NDArray[np.int64]:
    """Row numbers, in order, of at most `MOST_SCORED`; their classes are as frequent as in all."""
    if count <= MOST_SCORED:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 6]).choice(count, MOST_SCORED, replace=False))
