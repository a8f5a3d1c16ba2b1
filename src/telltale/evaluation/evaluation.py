"""`Evaluation`: how good a classifier is on labelled pictures, and how sure that is; as a value, as text, as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.errors import BundleError, DataError, ModelError
from telltale.evaluation import metrics
from telltale.evaluation.calibration import CalibrationCheck
from telltale.evaluation.conformal import SetCheck
from telltale.evaluation.metrics import Floats, Interval, Ints
from telltale.evaluation.selective import Selective
from telltale.files import read_json, write_atomic, write_json
from telltale.values import from_plain, to_plain

KIND: Final = "evaluation"
VERSION: Final = 1

NAMES: Final = {
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
}
"""Every metric and the words for it, in the order in which they are shown."""

KEPT_MISTAKES: Final = 100


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class does: `support` pictures are of it."""

    name: str
    precision: Interval
    recall: Interval
    f1: Interval
    support: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture that is `true` and was called `predicted` with `probability`."""

    path: str
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True, slots=True)
class Seen:
    """Scored pictures that are not new to the classifier, and what it gets right of the others."""

    learned: int = 0
    """It has learned from a picture with the same pixels."""
    alike: int = 0
    """It has learned from one that looks the same."""
    chose: int = 0
    """It was used to choose between settings."""
    accuracy_on_new: Interval | None = None
    """Accuracy on the pictures that are none of these; None where all are, or none is."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics with 95 % intervals, each class's score and the confusion matrix, over the pictures that could be read.

    `score` makes one. `print` shows it as a table, `save` and `load` keep all but the probabilities of each picture,
    which `save_predictions` writes.
    """

    classes: tuple[str, ...]
    metrics: dict[str, Interval]
    """By the names in `NAMES`; `top5_accuracy` only where there are more than 5 classes."""
    per_class: tuple[ClassScore, ...]
    """One for each class, in their order."""
    confusion: NDArray[np.int64]
    """Pictures by true class (row) and predicted class (column)."""
    hardest: tuple[Mistake, ...] = ()
    """Up to 100 mistakes, the most confident first."""
    unreadable: int = 0
    """Pictures that could not be read and count in no metric."""
    seen: Seen = Seen()
    """Which of the scored pictures the classifier knows from its training."""
    looks: int = 1
    """How often this run has scored these pictures; from the second time on their result may have led to a choice."""
    calibration: CalibrationCheck | None = None
    """How well the probabilities fit what is right."""
    selective: Selective | None = None
    """What the reject rule does here."""
    sets: SetCheck | None = None
    """What the prediction sets are worth here."""
    clusters: int = 0
    """Groups of pictures that the intervals are clustered by; 0: every picture counts alone."""
    paths: tuple[str, ...] = ()
    """Names of the pictures, in the order of `labels`; empty after `load`."""
    labels: Ints = field(default_factory=lambda: np.empty(0, np.int32), repr=False)
    """True class of each picture; empty after `load`."""
    probabilities: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)
    """Probability of each class for each picture; empty after `load`."""
    verdicts: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8), repr=False)
    """Of the reject rule on each picture; empty where there is none, and after `load`."""
    strangeness: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32), repr=False)
    """How unlike the training pictures each one is; empty where that is not known, and after `load`."""

    @property
    def images(self) -> int:
        """Pictures that were scored."""
        return int(self.confusion.sum())

    @property
    def majority(self) -> str:
        """The most frequent class here."""
        return self.classes[int(self.confusion.sum(axis=1).argmax())]

    @property
    def baseline(self) -> float:
        """The accuracy of always saying `majority`."""
        return float(self.confusion.sum(axis=1).max() / self.images)

    def mistakes(self, count: int = 20) -> tuple[Mistake, ...]:
        """The `count` most confident mistakes; at most 100 are kept."""
        return self.hardest[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `load` reads them."""
        return {
            "images": self.images,
            "unreadable": self.unreadable,
            "seen": to_plain(self.seen),
            "looks": self.looks,
            "clusters": self.clusters,
            "classes": list(self.classes),
            "baseline": {"class": self.majority, "accuracy": self.baseline},
            "metrics": to_plain(self.metrics),
            "calibration": to_plain(self.calibration),
            "selective": to_plain(self.selective),
            "sets": to_plain(self.sets),
            "per_class": to_plain(self.per_class),
            "confusion": self.confusion.tolist(),
            "mistakes": to_plain(self.hardest),
        }

    def save(self, path: Path) -> Path:
        """Write as JSON: everything but the labels and probabilities of each picture."""
        return write_json(Path(path), KIND, VERSION, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Read what `save` wrote."""
        content = read_json(Path(path), KIND, VERSION)
        try:
            return cls(
                classes=tuple(content["classes"]),
                metrics=from_plain(dict[str, Interval], content["metrics"]),
                per_class=from_plain(tuple[ClassScore, ...], content["per_class"]),
                confusion=np.array(content["confusion"], np.int64).reshape(len(content["classes"]), -1),
                hardest=from_plain(tuple[Mistake, ...], content["mistakes"]),
                unreadable=int(content["unreadable"]),
                seen=from_plain(Seen, content.get("seen", {})),
                looks=int(content.get("looks", 1)),
                calibration=from_plain(CalibrationCheck | None, content.get("calibration")),
                selective=from_plain(Selective | None, content.get("selective")),
                sets=from_plain(SetCheck | None, content.get("sets")),
                clusters=int(content.get("clusters", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"The evaluation {str(path)!r} is damaged ({type(error).__name__}: {error}).",
                expected="All the parts that Telltale wrote.",
                do="Evaluate again: telltale evaluate MODEL DATA.",
            ) from error

    def save_predictions(self, path: Path) -> Path:
        """Write one row per picture as Parquet: path, label, predicted, and the probability of each class in order.

        The names of the classes are in the metadata of the column `probabilities`, one per line.
        """
        import pyarrow as pa
        from pyarrow import parquet

        names = pa.array(self.classes)
        rows = pa.array(self.probabilities.astype(np.float32).ravel())
        kind = pa.field("probabilities", pa.list_(pa.float32(), len(self.classes)))
        table = pa.table(
            [
                pa.array(self.paths or [""] * len(self.labels), pa.string()),
                pa.DictionaryArray.from_arrays(self.labels.astype(np.int32), names),
                pa.DictionaryArray.from_arrays(self.probabilities.argmax(axis=1).astype(np.int32), names),
                pa.FixedSizeListArray.from_arrays(rows, len(self.classes)),
            ],
            schema=pa.schema(
                [
                    pa.field("path", pa.string()),
                    pa.field("label", pa.dictionary(pa.int32(), pa.string())),
                    pa.field("predicted", pa.dictionary(pa.int32(), pa.string())),
                    kind.with_metadata({"classes": "\n".join(self.classes)}),
                ]
            ),
        )
        return write_atomic(Path(path), lambda file: parquet.write_table(table, file))

    def __str__(self) -> str:
        from telltale.evaluation.wording import tabulate

        return tabulate(self)

    def _repr_html_(self) -> str:
        from telltale.evaluation.notebook import lay_evaluation

        return lay_evaluation(self)


def score(
    labels: Ints,
    probabilities: Floats,
    classes: Sequence[str],
    *,
    paths: Sequence[str] = (),
    unreadable: int = 0,
    seed: int = 0,
) -> Evaluation:
    """The `Evaluation` of probabilities `[images, classes]` against true class numbers.

    >>> evaluation = score(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), ["cat", "dog"])
    >>> print(evaluation.metrics["accuracy"])
    0.667 [0.208, 0.939]
    >>> evaluation.mistakes()[0].predicted
    'dog'
    """
    _check(labels, probabilities, classes, paths, unreadable)
    confusion = metrics.confusion_matrix(labels, probabilities)
    counts, draws = metrics.count(confusion), metrics.resample(confusion, seed)
    figures = {"accuracy": metrics.accuracy(counts)}
    if len(classes) > 5:
        figures["top5_accuracy"] = metrics.top_k_accuracy(labels, probabilities, 5)
    figures["balanced_accuracy"] = metrics.balanced_accuracy(counts, draws)
    figures["macro_f1"] = metrics.macro_f1(counts, draws)
    figures["log_loss"] = metrics.log_loss(metrics.log_losses(labels, probabilities), seed)
    parts = zip(
        classes,
        metrics.wilson(counts.hits, counts.said),
        metrics.wilson(counts.hits, counts.support),
        metrics.f1_intervals(counts),
        counts.support.tolist(),
        strict=True,
    )
    return Evaluation(
        classes=tuple(classes),
        metrics=figures,
        per_class=tuple(ClassScore(*part) for part in parts),
        confusion=confusion,
        hardest=_hardest(labels, probabilities, classes, paths),
        unreadable=unreadable,
        paths=tuple(paths),
        labels=labels,
        probabilities=probabilities,
    )


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
