"""What the training loop says while it runs: one frozen value per event; progress bars, tables and trackers listen."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Reason: TypeAlias = Literal["all epochs done", "no better validation loss"]


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """The first event: what will be trained, and how long at most."""

    epochs: int
    steps: int
    """Steps in each epoch."""
    pictures: int
    validation_pictures: int
    parameters: int
    """Numbers that training changes."""
    device: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """One batch was learned from; `epoch` and `step` count from 1."""

    epoch: int
    step: int
    pictures: int
    """Pictures in this batch."""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One pass over the training pictures and one over the validation pictures are done; `epoch` counts from 1."""

    epoch: int
    train_loss: float
    """Mean over the epoch, while the weights were changing and with dropout."""
    val_loss: float
    val_accuracy: float
    lr: float
    """Learning rate of the epoch's last step."""
    seconds: float
    improved: bool
    """Whether `val_loss` is the least so far."""


@dataclass(frozen=True, slots=True)
class TrainingStopped:
    """The last event: the network now holds the weights of `best_epoch`."""

    reason: Reason
    epochs: int
    """Epochs that were done."""
    best_epoch: int
    val_loss: float
    val_accuracy: float
    seconds: float


Event: TypeAlias = TrainingStarted | StepDone | EpochDone | TrainingStopped
