"""`listen`: run the training loop, write each epoch into the run folder, and tell what happens."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from telltale.errors import Interrupted, ModelError, OutputError, RecipeError
from telltale.progress import Advance, Note, Tell
from telltale.training.events import (
    CheckpointFailed,
    CheckpointSaved,
    EpochDone,
    Event,
    Listener,
    LossLost,
    MemoryShort,
    StepDone,
    TrainingStarted,
    TrainingStopped,
)
from telltale.training.guard import NotFinite
from telltale.training.interruption import noted_signals
from telltale.training.loop import Lesson, Stopped, TooLarge, train_epochs
from telltale.training.recipe import RATES
from telltale.training.run import Run
from telltale.training.state import State
from telltale.training.store import Store

_NAMED: Final = 3
"""Pictures of a bad batch that are named."""


def listen(state: State, lesson: Lesson, store: Store, *, run: Run, paths: Sequence[str], tell: Tell) -> dict[str, Any]:
    """Train to the end, with Ctrl-C and SIGTERM heard between two steps: facts about how it ended.

    `paths` are the training pictures, by row. Raises `Interrupted` where a signal came, `RecipeError` where the loss
    became no finite number before there was anything to keep, `ModelError` where memory does not suffice.
    """
    listener = _Teller(run, state, paths, lesson.recipe.lr, tell)
    for one in run.listeners:
        one.begin(state.rows, state.epoch - 1, step=state.step)
    with noted_signals() as wants_stop:
        try:
            with explain_memory():
                for event in train_epochs(state, replace(lesson, wants_stop=wants_stop), store):
                    for one in (listener, *run.listeners):
                        one.hear(event)
        except Stopped as stopped:
            raise Interrupted(f"Stopped after {state.place}; everything is saved.", str(run.folder)) from stopped
        except NotFinite as error:
            raise RecipeError(
                f"The loss became no finite number in {_place(error, paths)}.",
                expected="A finite number in every batch.",
                do=f"Start a new training with a smaller learning rate, such as --lr {listener.lower:g}. "
                f"The last finite weights are in {str(store.pointed('last'))!r}.",
            ) from error
    return listener.found


@contextlib.contextmanager
def explain_memory() -> Iterator[None]:
    """Turn `TooLarge` into a `ModelError` that says what to do."""
    try:
        yield
    except TooLarge as error:
        raise ModelError(
            f"Memory does not suffice to learn from two or three pictures at once ({error}).",
            expected="Memory for a few pictures and for what the network computes from them.",
            do="Use a smaller --img-size or another --model.",
        ) from error


class _Teller(Listener):
    """Writes results.csv, and tells the user."""

    def __init__(self, run: Run, state: State, paths: Sequence[str], lr: float, tell: Tell) -> None:
        self.run, self.state, self.paths, self.tell = run, state, paths, tell
        # A tenth, but not more than what usually works.
        self.lower = min(lr / 10, RATES["scratch"])
        self.found: dict[str, Any] = {}
        self.done = self.total = self.epochs = 0

    def hear(self, event: Event) -> None:
        """Write down and pass on one event."""
        match event:
            case TrainingStarted():
                self.epochs, self.total = event.epochs, event.epochs * event.pictures
                self.done = (event.epoch - 1) * event.pictures + event.step * event.pictures // event.steps
                where = "a GPU" if event.device.startswith("cuda") else "the processor"
                counts = f"{event.pictures:,} pictures, {event.parameters:,} numbers to learn"
                self.tell(Note(f"Training on {where} in {event.precision}: {counts}, at most {_count(event.epochs)}."))
            case StepDone():
                self.done += event.pictures
                epoch = f"epoch {event.epoch} of {self.epochs}"
                self.tell(Advance("train", min(self.done, self.total), self.total, detail=epoch))
            case MemoryShort():
                self.tell(Note(f"Memory was short: each batch goes through in {event.pieces} pieces.", warning=True))
            case LossLost():
                text = f"The loss became no finite number in {_place(event, self.paths)}: the best weights are kept."
                self.tell(Note(f"{text} A smaller learning rate may help: --lr {self.lower:g}.", warning=True))
            case CheckpointSaved() if event.sacrificed:
                gone = f"{len(event.sacrificed)} older checkpoint{'s' * (len(event.sacrificed) != 1)}"
                self.tell(Note(f"The disk is full: {gone} removed to make room for {event.name}.", warning=True))
            case CheckpointFailed():
                self.tell(Note(f"Not saved: {event.why} The training goes on.", warning=True))
            case EpochDone():
                self._write_rows()
                losses = f"loss {event.train_loss:.4f}, validation loss {event.val_loss:.4f}"
                better = ", the best so far" if event.improved else ""
                text = f"epoch {event.epoch} of {self.epochs}: {losses}, accuracy {event.val_accuracy:.4f}{better}"
                self.tell(Note(f"{text} ({event.seconds:.1f} s)"))
            case TrainingStopped():
                self.found = {"epochs": event.epochs, "best_epoch": event.best_epoch, "stopped": event.reason}
                best = f"epoch {event.best_epoch}" if event.best_epoch else "where it started, the probe"
                end = "Done" if event.reason == "all epochs done" else f"Stopped, {event.reason},"
                self.tell(Note(f"{end} after {_count(event.epochs)}; the best was {best}."))

    def _write_rows(self) -> None:
        """results.csv; where it cannot be written now, the whole of it is written after the next epoch."""
        try:
            self.run.rewrite(self.state.rows)
        except OutputError as error:
            self.tell(Note(f"{error.given} The training goes on.", warning=True))


def _count(epochs: int) -> str:
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def _place(lost: LossLost | NotFinite, paths: Sequence[str]) -> str:
    """Where the loss was lost, with the pictures of the batch.

    >>> _place(LossLost(2, 5, (0, 1)), ["a.jpg", "b.jpg"])
    'batch 5 of epoch 2 (a.jpg, b.jpg)'
    """
    if not lost.step:
        return f"the validation of epoch {lost.epoch}"
    names = ", ".join(paths[row] for row in lost.rows[:_NAMED])
    more = f" and {len(lost.rows) - _NAMED} more" if len(lost.rows) > _NAMED else ""
    return f"batch {lost.step} of epoch {lost.epoch} ({names}{more})"
