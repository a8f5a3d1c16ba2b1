"""`Evaluation`: how good a classifier is on labelled pictures, and how sure that is; as a value, as text, as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from telltale.errors import DataError, ModelError
from telltale.evaluation import clustered, means, metrics
from telltale.evaluation.metrics import Floats, Interval, Ints
from telltale.evaluation.notebook import lay_evaluation
from telltale.evaluation.scores import (
    NAMES as NAMES,
    ClassScore as ClassScore,
    Mistake as Mistake,
    Scores,
    Seen as Seen,
)
from telltale.evaluation.wording import tabulate

KEPT_MISTAKES: Final = 100


@dataclass(frozen=True, eq=False)
class Evaluation(Scores):
    """Metrics with 95 % intervals, each class's score and the confusion matrix, over the pictures that could be read.

    `score` makes one. `print` shows it as a table, `save` and `load` keep all but the probabilities of each picture,
    which `save_predictions` writes.
    """

    def __str__(self) -> str:
        return tabulate(self)

    def _repr_html_(self) -> str:
        return lay_evaluation(self)


def score(
    labels: Ints,
    probabilities: Floats,
    classes: Sequence[str],
    *,
    paths: Sequence[str] = (),
    unreadable: int = 0,
    clusters: Ints | None = None,
) -> Evaluation:
    """The `Evaluation` of probabilities `[images, classes]` against true class numbers.

    `clusters` int `[images]` has the same number for pictures that are not independent of each other: of a patient, a
    scene, copies of one photo. Intervals then allow for it (`clustered.py`). None, or a number of its own for each
    picture: all are independent. Raises `DataError` where there is no picture, `ModelError` where a probability is not
    a number.

    >>> evaluation = score(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), ["cat", "dog"])
    >>> print(evaluation.metrics["accuracy"])
    0.667 [0.208, 0.939]
    >>> evaluation.mistakes()[0].predicted
    'dog'
    """
    _check(labels, probabilities, classes, paths, unreadable)
    if clusters is not None and len(clusters) != len(labels):
        raise ValueError(f"{len(clusters)} numbers of clusters do not go with {len(labels)} labels")
    groups = clustered.number_clusters(clusters)
    confusion = metrics.confusion_matrix(labels, probabilities)
    judged = None
    if groups is not None:
        judged = clustered.Judged(labels, probabilities.argmax(axis=1), groups, len(classes))
    return Evaluation(
        classes=tuple(classes),
        metrics=_find_metrics(labels, probabilities, confusion, judged),
        per_class=_find_class_scores(classes, metrics.count(confusion), judged),
        confusion=confusion,
        hardest=_hardest(labels, probabilities, classes, paths),
        unreadable=unreadable,
        clusters=0 if groups is None else int(groups.max()) + 1,
        paths=tuple(paths),
        labels=labels,
        probabilities=probabilities,
    )


def _find_metrics(
    labels: Ints, probabilities: Floats, confusion: Ints, judged: clustered.Judged | None
) -> dict[str, Interval]:
    """Every metric by its name; with intervals by the clusters of `judged`, where it is given."""
    groups, figures = judged.clusters if judged else None, {}
    figures["accuracy"] = clustered.share_right(labels == probabilities.argmax(axis=1), groups)
    if len(confusion) > 5:
        figures["top5_accuracy"] = clustered.share_right(metrics.among_top(labels, probabilities, 5), groups)
    figures["balanced_accuracy"] = means.balanced_accuracy(confusion, judged)
    figures["macro_f1"] = means.macro_f1(confusion, judged)
    losses = metrics.log_losses(labels, probabilities)
    figures["log_loss"] = metrics.log_loss(losses, groups)
    return figures


def _find_class_scores(
    classes: Sequence[str], counts: metrics.Counts, judged: clustered.Judged | None
) -> tuple[ClassScore, ...]:
    if judged:
        figures = clustered.precisions(judged), clustered.recalls(judged), clustered.f1_scores(judged, counts)
    else:
        precisions, recalls = (metrics.wilson(counts.hits, whole) for whole in (counts.said, counts.support))
        figures = precisions, recalls, metrics.f1_intervals(counts)
    parts = zip(classes, *figures, counts.support.tolist(), strict=True)
    return tuple(ClassScore(*part) for part in parts)


def _check(labels: Ints, probabilities: Floats, classes: Sequence[str], paths: Sequence[str], unreadable: int) -> None:
    if probabilities.shape != (len(labels), len(classes)) or (paths and len(paths) != len(labels)):
        raise ValueError(
            f"{len(labels)} labels, {len(classes)} classes and {len(paths)} paths "
            f"do not go with probabilities of shape {probabilities.shape}"
        )
    if not len(labels):
        raise DataError(
            f"There is no picture to evaluate ({unreadable} could not be read).",
            expected="At least one readable picture with a label.",
            do="Give other data.",
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f"labels are {labels.min()} to {labels.max()} where there are {len(classes)} classes")
    bad = int((~np.isfinite(probabilities).all(axis=1)).sum())
    if bad:
        raise ModelError(
            f"For {bad} of {len(labels)} pictures the network's answer is not a number.",
            expected="Probabilities between 0 and 1.",
            do="Train again with a smaller learning rate (--lr), or with --set arithmetic=f32.",
        )


def _hardest(labels: Ints, probabilities: Floats, classes: Sequence[str], paths: Sequence[str]) -> tuple[Mistake, ...]:
    predicted = probabilities.argmax(axis=1)
    wrong = np.nonzero(predicted != labels)[0]
    sure = probabilities[wrong, predicted[wrong]]
    chosen = wrong[np.argsort(-sure, kind="stable")[:KEPT_MISTAKES]]
    return tuple(
        Mistake(
            paths[row] if paths else f"picture {row}",
            classes[labels[row]],
            classes[predicted[row]],
            float(probabilities[row, predicted[row]]),
        )
        for row in chosen.tolist()
    )
