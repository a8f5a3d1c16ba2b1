"""What the training loop says while it runs: one frozen value per event; progress bars, tables and trackers listen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from telltale.training.about import About

Reason: TypeAlias = Literal["all epochs done", "no better validation loss", "time is up", "a loss that is no number"]


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """The first event: what will be trained, and how long at most."""

    epochs: int
    steps: int
    """Batches in each epoch."""
    pictures: int
    validation_pictures: int
    parameters: int
    """Numbers that training changes."""
    device: str
    precision: str
    """`f32` or `bf16`."""
    epoch: int = 1
    """The first epoch that is trained here; more than 1 where a training goes on."""
    step: int = 0
    """Batches of that epoch that are behind."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """One batch was learned from; `epoch` and `step` count from 1."""

    epoch: int
    step: int
    pictures: int
    """Pictures in this batch."""


@dataclass(frozen=True, slots=True)
class MemoryShort:
    """A step did not fit into memory; from now on each batch goes through the network in so many pieces."""

    epoch: int
    step: int
    pieces: int


@dataclass(frozen=True, slots=True)
class LossLost:
    """The loss or its gradient became infinite or no number; the training ends with the best weights before.

    `step` counts from 1, and is 0 where the loss of the validation is meant; `rows` are the numbers of the pictures of
    that batch in the training part.
    """

    epoch: int
    step: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One pass over the training pictures and one over the validation pictures are done; `epoch` counts from 1."""

    epoch: int
    train_loss: float
    """Mean over the epoch, while the weights were changing, with dropout and augmentation."""
    val_loss: float
    val_accuracy: float
    lr: float
    """Learning rate of the epoch's last step."""
    seconds: float
    improved: bool
    """Whether `val_loss` is the least so far."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """Everything up to here is on this machine's disk; the event comes before the `EpochDone` of its epoch.

    `epoch` epochs and `step` batches of the next one are done; `name` is that of its folder. `sacrificed` are older
    checkpoints that were removed because the disk was full.
    """

    epoch: int
    step: int
    name: str
    sacrificed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointFailed:
    """This checkpoint could not be written, and the training goes on; `why` is a sentence or two for people."""

    epoch: int
    step: int
    why: str


@dataclass(frozen=True, slots=True)
class TrainingStopped:
    """The last event: the network now holds the weights of `best_epoch`; 0 where those of the start were the best."""

    reason: Reason
    epochs: int
    """Epochs that were done."""
    best_epoch: int
    val_loss: float
    val_accuracy: float
    seconds: float


Event: TypeAlias = (
    TrainingStarted
    | StepDone
    | MemoryShort
    | LossLost
    | EpochDone
    | CheckpointSaved
    | CheckpointFailed
    | TrainingStopped
)


class Listener:
    """Somebody who is told of a training, in order, in its thread: to be quick, and to raise nothing.

    Each method does nothing unless a listener has something to do there.
    """

    def introduce(self, about: About) -> None:
        """The training is known: what it learns from and how."""

    def begin(self, rows: Sequence[Mapping[str, float]], epochs: int, *, step: int = 0) -> None:
        """It begins, or goes on after so many epochs and steps of the next one; `rows` are those of results.csv."""

    def hear(self, event: Event) -> None:
        """Something has happened."""
