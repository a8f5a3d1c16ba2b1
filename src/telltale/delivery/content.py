"""`ReportContent`: all that the report, its JSON and the model card say about a training, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from telltale.evaluation.baselines import Baseline
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.learning_curve import LearningCurve
from telltale.model.rejection import RejectRule
from telltale.training.ledger import Look

PARTS: Final = {"train": "training", "validation": "validation", "test": "test", "calibration": "calibration"}
"""Parts of the data and the words for them."""

PICTURES: Final = {
    "test": "test pictures never used in training",
    "validation": "validation pictures, which also chose between settings",
}
"""Of what kind the pictures of a part are."""


@dataclass(frozen=True)
class ReportContent:
    """All that a report says, as plain values."""

    title: str
    """Name of the run or of its source."""
    evaluations: Mapping[str, Evaluation]
    """By split, in the order to show; the verdict is about `test` where there is one, else about the last."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Words for the head of the report, such as {"model": "mobilenetv2_100", "data": "cats_and_dogs.zip"}."""
    notes: Sequence[str] = ()
    """Sentences a reader should see: what was decided and what was odd."""
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pictures by class, then by split (`train`, `validation`, `test`)."""
    quarantine: Sequence[tuple[str, str, str]] = ()
    """Pictures that could not be read: path, reason, detail."""
    identical: Sequence[Sequence[str]] = ()
    """Groups of paths with the same picture."""
    matrix: bytes = b""
    """PNG of the confusion matrix of the verdict's pictures, where it is drawn already."""
    preview: bytes = b""
    """PNG of some training pictures as the network sees them."""
    history: Sequence[Mapping[str, Any]] = ()
    """One row per epoch, as in results.csv: `epoch`, `train_loss`, `val_loss`, `val_accuracy`, …"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The recipe."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, libraries and machine."""
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    """Small JPEG by path (see `thumbnail`), for the pictures that `choose_pictures` names."""
    created: str = ""
    """When, as text."""
    baselines: Sequence[Baseline] = ()
    """Simple ways to answer and what they reach on the verdict's pictures."""
    curve: LearningCurve | None = None
    """Accuracy over the number of training pictures."""
    rule: RejectRule | None = None
    """When the classifier refuses to answer."""
    calibrated_on: str = ""
    """The pictures that temperature and reject rule were set on, in words."""
    looks: Sequence[Look] = ()
    """Every scoring of the test part, the first one first."""
    heatmaps: Mapping[str, bytes] = field(default_factory=dict)
    """Small JPEG by path of a mistake: the photo with what spoke for the predicted class laid over it."""

    @property
    def main(self) -> str:
        """The split that the verdict is about."""
        return "test" if "test" in self.evaluations else list(self.evaluations)[-1]

    @property
    def evaluation(self) -> Evaluation:
        """What the verdict is about."""
        return self.evaluations[self.main]

    @property
    def pictures(self) -> str:
        """Of what kind the pictures of the verdict are."""
        return PICTURES.get(self.main, f"{self.main} pictures")
