"""The training loop, written once, from top to bottom; it speaks in events (`events.py`) and nothing else changes it.

Bit for bit the same on the same processor: the order of pictures and every random number follow from the seed, the
epoch and the step, so neither threads nor what a listener does between two events can change the weights.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from telltale.batches.loader import PictureBatches
from telltale.batches.preprocess import Preprocess
from telltale.errors import RecipeError
from telltale.model.seeding import seeded
from telltale.training.checkpoint import Checkpoint, Checkpoints
from telltale.training.events import EpochDone, Event, Reason, StepDone, TrainingStarted, TrainingStopped
from telltale.training.optimizer import build_optimizer, learning_rate, set_rate
from telltale.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """What the loop needs to know of a `Recipe`; the fields mean the same."""

    epochs: int
    lr: float
    weight_decay: float
    schedule: str
    patience: int
    seed: int


def plan_from(recipe: Recipe) -> Plan:
    """The plan that `recipe` asks for."""
    return Plan(recipe.epochs, recipe.lr, recipe.weight_decay, recipe.schedule, recipe.patience, recipe.seed)


def train_epochs(
    network: nn.Module,
    training: PictureBatches,
    *,
    validation: PictureBatches,
    plan: Plan,
    checkpoints: Checkpoints | None = None,
) -> Iterator[Event]:
    """Train `network` (float `[n, 3, size, size]` to logits) where it lies, and tell of each step and epoch.

    Afterwards it holds the weights of the least validation loss, in evaluation mode. `checkpoints` receives the
    weights of each epoch. A loss that is no finite number ends the training with a `RecipeError`; the network then
    holds the best weights before.
    """
    start = time.perf_counter()
    device = next(network.parameters()).device
    # Kernels with channels last, as the pixels come: 0.8 of the time of a step (plain CNN, 64 pixels, 2 cores).
    network.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(network, lr=plan.lr, weight_decay=plan.weight_decay)
    normalise = Normalise(training.preprocess, device)
    steps, losses, best = training.steps, list[float](), Checkpoint({}, 0, {})
    yield TrainingStarted(plan.epochs, steps, len(training), len(validation), _count(network), str(device))

    for epoch in range(1, plan.epochs + 1):
        epoch_start = time.perf_counter()
        network.train()
        step_losses = []
        for step, (squares, labels) in enumerate(training.epoch(epoch), start=1):
            done = (epoch - 1 + (step - 1) / steps) / plan.epochs
            lr = learning_rate(plan.schedule, plan.lr, done=done, losses=losses, patience=plan.patience)
            set_rate(optimizer, lr)
            with seeded(plan.seed, epoch, step, device=device):
                loss = nn.functional.cross_entropy(network(normalise(squares)), labels.to(device))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
            step_losses.append(loss.detach() * len(labels))
            yield StepDone(epoch, step, len(labels))

        train_loss = _sum(step_losses) / len(training)
        val_loss, val_accuracy = measure(network, validation)
        if not math.isfinite(train_loss + val_loss):
            _restore(network, best)
            raise _no_number(train_loss + val_loss, epoch, plan.lr)
        improved = val_loss < min(losses, default=math.inf)
        losses.append(val_loss)
        metrics = {"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accuracy, "lr": lr}
        if improved:
            best = Checkpoint(_copy(network), epoch, metrics)
        if checkpoints:
            checkpoints.write(Checkpoint(network.state_dict(), epoch, metrics), improved=improved)
        yield EpochDone(epoch, **metrics, seconds=time.perf_counter() - epoch_start, improved=improved)
        if plan.patience and epoch - best.epoch >= plan.patience:
            break

    _restore(network, best)
    reason: Reason = "all epochs done" if epoch == plan.epochs else "no better validation loss"
    val_loss, val_accuracy = best.metrics["val_loss"], best.metrics["val_accuracy"]
    yield TrainingStopped(reason, epoch, best.epoch, val_loss, val_accuracy, time.perf_counter() - start)


class Normalise:
    """uint8 `[n, size, size, 3]`, wherever it is, to what a network takes: float `[n, 3, size, size]` on `device`."""

    def __init__(self, preprocess: Preprocess, device: torch.device | str = "cpu") -> None:
        std = torch.tensor(preprocess.std, dtype=torch.float64).reshape(1, 3, 1, 1)
        mean = torch.tensor(preprocess.mean, dtype=torch.float64).reshape(1, 3, 1, 1)
        self.device = device
        self.scale = (1 / (255 * std)).float().to(device)
        self.shift = (-mean / std).float().to(device)

    def __call__(self, squares: torch.Tensor) -> torch.Tensor:
        return squares.to(self.device).permute(0, 3, 1, 2).float() * self.scale + self.shift


def measure(network: nn.Module, batches: PictureBatches) -> tuple[float, float]:
    """Mean cross entropy and accuracy over `batches`, in evaluation mode, without mirrored pictures."""
    device = next(network.parameters()).device
    normalise = Normalise(batches.preprocess, device)
    network.eval()
    losses, right = [], []
    with torch.inference_mode():
        for squares, labels in batches.in_order():
            logits, known = network(normalise(squares)), labels.to(device)
            losses.append(nn.functional.cross_entropy(logits, known, reduction="sum"))
            right.append((logits.argmax(1) == known).sum())
    return _sum(losses) / len(batches), _sum(right) / len(batches)


def _no_number(loss: float, epoch: int, lr: float) -> RecipeError:
    return RecipeError(
        f"The loss became {loss} in epoch {epoch}.",
        expected="A finite number in every epoch.",
        do=f"Use a smaller learning rate, such as --lr {lr / 10:g}.",
    )


def _sum(values: list[torch.Tensor]) -> float:
    """One wait for the device instead of one per step."""
    return float(torch.stack(values).cpu().double().sum())


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _restore(network: nn.Module, best: Checkpoint) -> None:
    if best.state:
        network.load_state_dict(best.state)
    network.eval()
