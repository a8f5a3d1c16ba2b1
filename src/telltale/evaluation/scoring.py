"""`evaluate`: a classifier on labelled pictures, scored."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from telltale.data.index import Index, scan
from telltale.errors import DataError
from telltale.evaluation.evaluation import Evaluation, score
from telltale.model.classifier import Classifier
from telltale.model.features import features
from telltale.progress import Tell, silent
from telltale.registry import suggest


def evaluate(classifier: Classifier, data: Index | str | Path, *, seed: int = 0, tell: Tell = silent) -> Evaluation:
    """How good `classifier` is on the labelled pictures of `data`: an `Index` (such as `splits.test`) or a source.

    Classes are matched by name. Unreadable pictures are counted, not scored. Raises `DataError` where a label is none
    of the classifier's classes, or where no picture can be scored. `seed` is that of the bootstrap.
    """
    index = data if isinstance(data, Index) else scan(data, tell=tell)
    usable = index.readable
    if not len(usable):
        raise DataError(
            f"No readable labelled pictures in {index.location!r}.",
            expected="At least one picture with its label.",
            do="Check the path and what is in it.",
        )
    labels = _match(usable, classifier.classes)
    probabilities = classifier.head.probabilities(features(usable, classifier.extractor, tell=tell))
    return score(
        labels,
        probabilities,
        classifier.classes,
        paths=usable.paths,
        unreadable=len(index) - len(usable),
        seed=seed,
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
