"""`Scores`: what an `Evaluation` holds and saves; apart from it, so that it can import what puts it into words."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from telltale.errors import BundleError
from telltale.evaluation.calibration import CalibrationCheck
from telltale.evaluation.conformal import SetCheck
from telltale.evaluation.metrics import Floats, Interval, Ints
from telltale.evaluation.predictions import Predictions, write_predictions
from telltale.evaluation.selective import Selective
from telltale.files import read_json, write_json
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
class Scores:
    """What an `Evaluation` holds, without how it is shown: what shows it imports this file."""

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
    def wrong(self) -> int:
        """Pictures that were called something else than what they are."""
        return self.images - int(self.confusion.trace())

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
    def load(cls, path: Path) -> Self:
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
        """Write what was said of each picture as Parquet (`write_predictions`); `read_predictions` reads it."""
        predictions = Predictions(self.classes, self.paths, self.labels, self.probabilities)
        return write_predictions(Path(path), predictions)
