"""`evaluate`: a classifier on labelled pictures, scored, and honest about those that it has learned from."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.index import Index, scan
from telltale.data.manifest import ALIKE, CHOSE, NEW, TRAINED
from telltale.errors import DataError, RecipeError
from telltale.evaluation.calibration import check_calibration
from telltale.evaluation.clustered import find_clusters, number_clusters, share_right
from telltale.evaluation.conformal import check_sets
from telltale.evaluation.evaluation import Evaluation, Seen, score
from telltale.evaluation.selective import check_selective
from telltale.model.classifier import Answers, Classifier, answer
from telltale.model.features import features
from telltale.progress import Tell, silent
from telltale.registry import suggest
from telltale.threads import pieces

SEEN: Final = ("refuse", "mark", "skip")
"""What to do with pictures that the classifier has learned from: refuse to score, score and say so, or leave out."""

_BLOCK: Final = 16_384
"""Pictures per block: 84 MB at 1,280 features."""


def evaluate(
    classifier: Classifier, data: Index | str | Path, *, seen: str = "refuse", seed: int = 0, tell: Tell = silent
) -> Evaluation:
    """How good `classifier` is on the labelled pictures of `data`: an `Index` (such as `splits.test`) or a source.

    Classes are matched by name. Unreadable pictures are counted, not scored. Pictures with the same pixels as one that
    was learned from are refused with a `DataError`; with `seen="mark"` they are scored, counted, and the accuracy
    without them stands beside; with `"skip"` they are left out. Pictures that only look like one that was learned from
    are scored and marked, with `"skip"` left out too. Also raises `DataError` where a label is none of the classifier's
    classes, or where no picture can be scored. Intervals count pictures of one group, and copies of one picture, as
    what they are: not independent (`clustered.py`). `seed` is that of the draws behind the calibration error's
    interval; the others are not drawn.
    """
    if seen not in SEEN:
        raise RecipeError(
            f"What to do with training pictures is {seen!r}.",
            expected=f"One of {', '.join(SEEN)}.",
            do="Give --seen mark.",
        )
    index = data if isinstance(data, Index) else scan(data, tell=tell)
    usable = index.readable
    usable = usable.take(np.flatnonzero(usable.codes >= 0))
    if not len(usable):
        raise DataError(
            f"No readable labelled pictures in {index.location!r}.",
            expected="At least one picture with its label.",
            do="Check the path and what is in it.",
        )
    labels = _match(usable, classifier.classes)
    known = _look_up(classifier, usable)
    if seen == "refuse" and (known == TRAINED).any():
        raise _explain_seen(usable, known)
    if seen == "skip":
        kept = np.flatnonzero((known != TRAINED) & (known != ALIKE))
        if not len(kept):
            raise DataError(
                f"All {len(known):,} pictures were learned from, or look like one that was.",
                expected="Pictures that are new to the classifier.",
                do="Give other data.",
            )
        usable, labels, known = usable.take(kept), labels[kept], known[kept]
    said = _ask(classifier, usable, tell)
    clusters = find_clusters(usable)
    evaluation = score(
        labels,
        said.probabilities,
        classifier.classes,
        paths=usable.paths,
        unreadable=len(index) - len(index.readable),
        clusters=clusters,
    )
    right = said.probabilities.argmax(axis=1) == labels
    return replace(
        _check(evaluation, classifier, said, seed, number_clusters(clusters)), seen=_count_seen(known, right, clusters)
    )


def _ask(classifier: Classifier, index: Index, tell: Tell) -> Answers:
    """What the classifier says of all pictures; features of `_BLOCK` of them are in memory at a time."""
    blocks = (index.take(np.arange(part.start, part.stop)) for part in pieces(len(index), _BLOCK))
    said = [answer(classifier, features(block, classifier.extractor, tell=tell)) for block in blocks]
    names = ("probabilities", "strangeness", "verdicts", "sets")
    return Answers(*(np.concatenate([getattr(one, name) for one in said]) for name in names))


def _check(
    evaluation: Evaluation, classifier: Classifier, said: Answers, seed: int, clusters: NDArray[np.int64] | None
) -> Evaluation:
    """`evaluation` with what the probabilities, the reject rule and the prediction sets of `classifier` are worth."""
    labels, probabilities, rule = evaluation.labels, said.probabilities, classifier.rule
    checked = replace(
        evaluation,
        calibration=check_calibration(labels, probabilities, classifier.head.temperature, seed=seed),
        strangeness=said.strangeness if classifier.familiarity is not None else evaluation.strangeness,
    )
    if rule is None:
        return checked
    return replace(
        checked,
        selective=check_selective(labels, probabilities, said.verdicts, rule, clusters),
        sets=check_sets(labels, probabilities, rule, clusters),
        verdicts=said.verdicts,
    )


def _look_up(classifier: Classifier, index: Index) -> NDArray[np.int8]:
    """What each picture is to the classifier: `NEW`, `TRAINED`, `CHOSE` or `ALIKE`."""
    if classifier.manifest is None:
        return np.full(len(index), NEW, np.int8)
    return classifier.manifest.look_up(index.table)


def _count_seen(known: NDArray[np.int8], right: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Seen:
    learned, alike, chose = (int((known == kind).sum()) for kind in (TRAINED, ALIKE, CHOSE))
    new = known == NEW
    accuracy = None
    if new.any() and not new.all():
        accuracy = share_right(right[new], number_clusters(clusters[new]))
    return Seen(learned, alike, chose, accuracy)


def _explain_seen(index: Index, known: NDArray[np.int8]) -> DataError:
    rows = np.flatnonzero(known == TRAINED)
    named = ", ".join(repr(index.paths[row]) for row in rows[:3])
    return DataError(
        f"{len(rows):,} of {len(index):,} pictures were learned from by this classifier: {named}.",
        expected="Pictures that it has never seen: on others a score says nothing.",
        do="Leave them out with --seen skip, score all and have it said with --seen mark, or give other data.",
    )


def _match(index: Index, classes: tuple[str, ...]) -> NDArray[np.int32]:
    """Number of each sample's class in the classifier's order."""
    unknown = [name for name, count in index.counts.items() if count and name not in classes]
    if unknown:
        close = suggest(unknown[0], classes)
        raise DataError(
            f"The data have pictures of {', '.join(map(repr, unknown[:5]))}, which the classifier does not know.",
            expected=f"Only its classes: {', '.join(classes[:8])}{' …' if len(classes) > 8 else ''}.",
            do=f"Rename the class to {close[0]!r} if it is the same, or take it out of the data."
            if close
            else "Take these pictures out of the data, or train a classifier with these classes.",
        )
    order = np.array([classes.index(name) if name in classes else -1 for name in index.classes], np.int32)
    return order[index.codes]
