"""The training loop, written once, from top to bottom; it speaks in events (`events.py`) and nothing else changes it.

Bit for bit the same on the same processor with the same number of threads: the order of pictures, their changes and
every random number follow from the seed, the epoch and the step, so neither what a listener does between two events
nor a stop and a new start can change the weights.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from telltale.batches.feed import Batch, Feed
from telltale.errors import OutputError
from telltale.model.cutting import set_training
from telltale.model.seeding import seeded
from telltale.training.checkpoint import to_bytes
from telltale.training.events import (
    CheckpointFailed,
    CheckpointSaved,
    EpochDone,
    Event,
    LossLost,
    MemoryShort,
    Reason,
    StepDone,
    TrainingStarted,
    TrainingStopped,
)
from telltale.training.guard import Guard, NotFinite
from telltale.training.loss import Loss, class_logits
from telltale.training.optimizer import learning_rate, set_rate
from telltale.training.recipe import Recipe
from telltale.training.state import State
from telltale.training.store import STATE, Store

SAVE_SECONDS: Final = 300.0
"""A longer epoch is saved in between, so that a machine that dies takes at most five minutes with it."""


class Stopped(KeyboardInterrupt):
    """The training was asked to stop, has finished its step and saved everything."""


class TooLarge(MemoryError):
    """Memory does not suffice for a step, whatever the number of pieces."""


@dataclass(frozen=True)
class Lesson:
    """What is learned, from what: the part of the network that runs in each step, its pictures and its loss.

    `forward` is the whole network, or what lies above frozen layers whose results `training` keeps. `recipe` is a
    resolved one (`Recipe.resolved`).
    """

    forward: nn.Module
    training: Feed
    validation: Feed
    loss: Loss
    recipe: Recipe
    precision: str = "f32"
    until: float = math.inf
    """`time.perf_counter()` at which the time is up."""
    wants_stop: Callable[[], bool] = lambda: False
    """Asked after every step: has somebody asked to stop?"""


def train_epochs(state: State, lesson: Lesson, store: Store | None = None) -> Iterator[Event]:
    """Train `state.network` where it lies, from where `state` is, and tell of each step and epoch.

    Afterwards the network holds the weights of the least validation loss, in evaluation mode. `store` receives the
    state after each epoch, every few minutes in a long one, and when the training is asked to stop (`Stopped`). A save
    that fails does not end the training, unless it was asked to stop: `OutputError`. A loss that is no finite number
    ends it; where there are no best weights yet, it raises `NotFinite`.
    Raises `TooLarge` where memory does not suffice for two or three pictures.
    """
    saver = _Saver(store, state)
    yield _describe(state, lesson)
    while (reason := _find_end(state, lesson)) is None:
        began = time.perf_counter()
        try:
            yield from _learn_epoch(state, lesson, saver)
            row = _measure_epoch(state, lesson)
        except NotFinite as error:
            yield from saver.save()
            if not state.best_row:
                raise
            yield LossLost(error.epoch, error.step, error.rows)
            reason = "a loss that is no number"
            break
        improved = row["val_loss"] < state.least_loss
        state.rows.append(row)
        if improved:
            state.keep_best(row)
        state.epoch, state.step, state.seen, state.losses = state.epoch + 1, 0, 0, []
        yield from saver.save()
        lr, loss, val_loss, accuracy = (row[name] for name in ("lr", "train_loss", "val_loss", "val_accuracy"))
        seconds = time.perf_counter() - began
        yield EpochDone(state.epoch - 1, loss, val_loss, accuracy, lr, seconds=seconds, improved=improved)
        if lesson.wants_stop() and _find_end(state, lesson) is None:
            saver.insist()
            raise Stopped

    state.restore_best()
    best, seconds = state.best_row, time.perf_counter() - saver.start
    yield TrainingStopped(reason, state.epoch - 1, state.best_epoch, best["val_loss"], best["val_accuracy"], seconds)


def _describe(state: State, lesson: Lesson) -> TrainingStarted:
    """What will be trained."""
    parameters = list(state.network.parameters())
    return TrainingStarted(
        lesson.recipe.epochs,
        lesson.training.steps,
        len(lesson.training),
        len(lesson.validation),
        sum(one.numel() for one in parameters if one.requires_grad),
        str(parameters[0].device),
        lesson.precision,
        state.epoch,
        state.step,
    )


def _find_end(state: State, lesson: Lesson) -> Reason | None:
    """Why no further epoch is to be trained, if so."""
    recipe = lesson.recipe
    if state.epoch > recipe.epochs:
        return "all epochs done"
    if recipe.patience and state.epoch - 1 - state.best_epoch >= recipe.patience:
        return "no better validation loss"
    if time.perf_counter() >= lesson.until and state.rows:
        return "time is up"
    return None


class _Saver:
    """Writes the state when it is time to; `start` is when the training would have begun without any stop."""

    def __init__(self, store: Store | None, state: State) -> None:
        self.store, self.state = store, state
        self.failure: OutputError | None = None
        self.saved = time.perf_counter()
        self.start = self.saved - state.seconds

    def is_due(self) -> bool:
        """Is the last time long ago?"""
        return time.perf_counter() - self.saved > SAVE_SECONDS

    def save(self) -> Iterator[Event]:
        """Write a checkpoint, and tell what came of it."""
        state, done = self.state, self.state.epoch - 1
        self.saved = time.perf_counter()
        if self.store is None:
            return
        try:
            content = {STATE: to_bytes(state.save(self.saved - self.start))}
            facts = state.rows[-1] if state.rows else {}
            written = self.store.save(done, state.step, content, facts=facts, best=state.is_best and done > 0)
        except OutputError as error:
            self.failure = error
            yield CheckpointFailed(done, state.step, f"{error.given} {error.do}")
        else:
            self.failure = None
            yield CheckpointSaved(done, state.step, written.mark.name, written.sacrificed)

    def insist(self) -> None:
        """Raise what went wrong at the last save, if anything did."""
        if self.failure is not None:
            raise self.failure


def _learn_epoch(state: State, lesson: Lesson, saver: _Saver) -> Iterator[Event]:
    """The steps of one epoch that are still to be done."""
    guard = Guard(state, clip=lesson.recipe.clip)
    batches = lesson.training.epoch(state.epoch, first=state.step + 1)
    set_training(state.network, state.frozen)
    for group in chunks(batches, lesson.recipe.accumulate):
        state.lr = _rate(state, lesson, saver.start)
        set_rate(state.optimizer, state.lr)
        pieces = state.pieces
        losses = learn(state, lesson, group)
        if state.pieces != pieces:
            yield MemoryShort(state.epoch, state.step + 1, state.pieces)
        guard.apply(losses, group)
        state.losses += losses
        for batch in group:
            state.step, state.seen = state.step + 1, state.seen + len(batch.labels)
            yield StepDone(state.epoch, state.step, len(batch.labels))
        stop = lesson.wants_stop()
        if stop or saver.is_due():
            guard.look()
            yield from saver.save()
        if stop:
            saver.insist()
            raise Stopped
        if time.perf_counter() >= lesson.until:
            break
    guard.look()


def _rate(state: State, lesson: Lesson, start: float) -> float:
    """The learning rate of the next step; where time is limited, whichever of steps and time is further on counts."""
    now = time.perf_counter()
    passed = state.epoch - 1 + state.step / lesson.training.steps
    in_time = 0.0 if lesson.until == math.inf else (now - start) / max(lesson.until - start, 1e-9)
    done = min(1.0, max(passed / lesson.recipe.epochs, in_time))
    losses = [row["val_loss"] for row in state.rows]
    return learning_rate(lesson.recipe, passed=passed, done=done, losses=losses)


def learn(state: State, lesson: Lesson, group: Sequence[Batch]) -> list[torch.Tensor]:
    """Add up the gradient of a group of batches: the summed loss of each. Smaller pieces where memory ends."""
    count = sum(len(batch.labels) for batch in group)
    while True:
        try:
            return [_backward(state, lesson, batch, state.step + place, count) for place, batch in enumerate(group, 1)]
        except RuntimeError as error:  # torch.OutOfMemoryError is one, too
            if not _is_memory(error):
                raise
            if state.pieces >= max(len(batch.labels) for batch in group) // 2:
                raise TooLarge(str(error).partition("\n")[0]) from error
        # Outside the handler, which would keep the failed step's memory.
        state.optimizer.zero_grad()
        state.pieces *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _backward(state: State, lesson: Lesson, batch: Batch, step: int, count: int) -> torch.Tensor:
    """Add the gradient of batch number `step`, in pieces; its summed loss. `count` pictures make one change."""
    total = torch.zeros((), device=batch.labels.device)
    for place, piece in enumerate(_cut(batch, state.pieces)):
        with seeded(lesson.recipe.seed, state.epoch, step, place, device=batch.labels.device):
            with precise(batch.labels.device.type, lesson.precision):
                outputs = lesson.forward(piece.inputs)
            summed = lesson.loss(outputs, piece).sum()
            torch.autograd.backward(summed / count)
        total += summed.detach()
    return total


def chunks(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Groups of `size` batches; the last may be smaller."""
    while group := list(itertools.islice(batches, size)):
        yield group


def _cut(batch: Batch, pieces: int) -> Iterator[Batch]:
    """The batch in at most so many pieces of nearly equal size."""
    if pieces == 1:
        yield batch
        return
    for part in pieces_of(len(batch.labels), pieces):
        others, share = (None if one is None else one[part] for one in (batch.others, batch.share))
        yield Batch(batch.inputs[part], batch.labels[part], batch.rows[part], others, share)


def pieces_of(count: int, most: int) -> list[slice]:
    """`count` rows as at most so many slices of nearly equal size, none with a single row where there are more.

    >>> pieces_of(7, 4)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    pieces = max(1, min(most, count // 2))
    ends = [count * place // pieces for place in range(pieces + 1)]
    return list(itertools.starmap(slice, itertools.pairwise(ends)))


def _is_memory(error: Exception) -> bool:
    """Did the memory of a GPU or of the machine not suffice?"""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _measure_epoch(state: State, lesson: Lesson) -> dict[str, float]:
    """The row of results.csv of the epoch that was just learned."""
    train_loss = add_up(state.losses) / max(state.seen, 1)
    with state.to_measure():
        validation = lesson.validation
        val_loss, val_accuracy = measure(lesson.forward, validation, precision=lesson.precision, pieces=state.pieces)
    if not math.isfinite(val_loss):
        raise NotFinite(state.epoch, 0)
    losses = {"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accuracy}
    return {"epoch": state.epoch, **losses, "lr": state.lr}


def measure(forward: nn.Module, feed: Feed, *, precision: str = "f32", pieces: int = 1) -> tuple[float, float]:
    """Mean cross entropy and accuracy over `feed`, as the network is now; put it into evaluation mode before.

    Each batch goes through in so many `pieces`.
    """
    losses, right = [], []
    with torch.inference_mode():
        for piece in (piece for batch in feed.in_order() for piece in _cut(batch, pieces)):
            with precise(piece.labels.device.type, precision):
                outputs = forward(piece.inputs)
            logits = class_logits(outputs.float())
            losses.append(nn.functional.cross_entropy(logits, piece.labels, reduction="sum"))
            right.append((logits.argmax(1) == piece.labels).sum())
    return add_up(losses) / len(feed), add_up(right) / len(feed)


def precise(device: str, precision: str) -> contextlib.AbstractContextManager[None]:
    """Inside the block layers multiply in `precision`, `f32` or `bf16`; weights and sums stay f32."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def add_up(values: Sequence[torch.Tensor]) -> float:
    """The sum as a number: one wait for the device instead of one per step."""
    return float(torch.stack(list(values)).cpu().double().sum()) if values else 0.0
