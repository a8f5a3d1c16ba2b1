"""`State`: everything that changes while a network is trained, and that a training needs to go on."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import nn

from telltale.errors import BundleError
from telltale.training.average import Average
from telltale.training.checkpoint import Checkpoint

_FACTS: Final = ("epoch", "step", "seen", "lr", "rows", "best_row", "pieces", "precision")
"""Fields of a state that are plain values, as they are saved."""


@dataclass
class State:
    """A training at the end of a step.

    `frozen` are the modules that compute as when predicting. `epoch` counts from 1; `step` batches with `seen` pictures
    of it are behind. `losses` holds the summed loss of each of these batches, `lr` is the learning rate of the last
    step, `rows` has one row of results.csv per epoch that is done. `best` are the weights of the least validation loss,
    `best_row` is their row. Each batch goes through the network in so many `pieces`: more than one where memory did
    not suffice. `precision` is that of the layers, `f32` or `bf16`, wherever the training goes on: another one would
    make it another training. `seconds` were spent before this process began.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None = None
    frozen: tuple[nn.Module, ...] = ()
    epoch: int = 1
    step: int = 0
    seen: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    lr: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_row: dict[str, float] = field(default_factory=dict)
    pieces: int = 1
    precision: str = "f32"
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights; 0 where that is the start."""
        return int(self.best_row.get("epoch", 0))

    @property
    def is_best(self) -> bool:
        """Are the weights of the best epoch those that the network, or its average, holds now?"""
        return bool(self.best_row) and self.step == 0 and self.epoch - 1 == self.best_epoch

    @property
    def least_loss(self) -> float:
        """The least validation loss so far."""
        return self.best_row.get("val_loss", math.inf)

    @property
    def place(self) -> str:
        """How far it is, in words."""
        return f"batch {self.step} of epoch {self.epoch}" if self.step else f"epoch {self.epoch - 1}"

    def to_measure(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block the network is in evaluation mode, with the averaged weights where there are some."""
        self.network.eval()
        return self.average.applied() if self.average else contextlib.nullcontext()

    def keep_best(self, row: dict[str, float]) -> None:
        """These weights are the best so far; `row` says how good."""
        now = self.average.values if self.average else self.network.state_dict()
        self.best = {name: value.detach().clone() for name, value in now.items()}
        self.best_row = dict(row)

    def restore_best(self) -> None:
        """Put the best weights into the network, in evaluation mode."""
        if self.best:
            self.network.load_state_dict(self.best)
        self.network.eval()

    def save(self, seconds: float) -> Checkpoint:
        """Everything, the best weights too unless they are those of the epoch that has just ended."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= dict(self._moments())
        if self.average:
            tensors |= {f"average.{name}": value for name, value in self.average.values.items()}
        if self.losses:
            tensors["losses"] = torch.stack(self.losses)
        if not self.is_best:
            tensors |= {f"best.{name}": value for name, value in self.best.items()}
        facts: dict[str, Any] = {name: getattr(self, name) for name in _FACTS}
        facts |= {"seconds": seconds, "average_steps": self.average.steps if self.average else 0}
        return Checkpoint(tensors, facts)

    def load(self, checkpoint: Checkpoint) -> None:
        """Become what `save` saw; `BundleError` where the weights or facts are those of another training."""
        try:
            self.network.load_state_dict(checkpoint.part("network"))
            self._load_moments(checkpoint)
            if self.average:
                for name, value in self.average.values.items():
                    value.copy_(checkpoint.tensors[f"average.{name}"])
                self.average.steps = checkpoint.facts["average_steps"]
            for name in (*_FACTS, "seconds"):
                setattr(self, name, checkpoint.facts[name])
            self._load_best(checkpoint.part("best"))
        except (KeyError, RuntimeError) as error:
            raise BundleError(
                "The checkpoint is of another training: its weights or facts do not fit this one.",
                expected="The checkpoint that a training with this recipe wrote.",
                do="Copy it again from where it belongs, or train again.",
            ) from error
        device = next(self.network.parameters()).device
        losses = checkpoint.tensors.get("losses")
        self.losses = [] if losses is None else list(losses.to(device).unbind())

    def _load_best(self, best: dict[str, torch.Tensor]) -> None:
        """The weights of `best_row`: those that were saved for it, or those that the network holds now."""
        if self.is_best:
            self.keep_best(self.best_row)
        elif best.keys() == (self.network.state_dict().keys() if self.best_row else set()):
            device = next(self.network.parameters()).device
            self.best = {name: value.to(device) for name, value in best.items()}
        else:
            raise KeyError("best")

    def _moments(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The optimizer's numbers of each parameter, by name."""
        names = {id(one): name for name, one in self.network.named_parameters()}
        for one, values in self.optimizer.state.items():
            for key, value in values.items():
                if isinstance(value, torch.Tensor):
                    yield f"optimizer.{key}.{names[id(one)]}", value

    def _load_moments(self, checkpoint: Checkpoint) -> None:
        for name, one in self.network.named_parameters():
            found = {}
            for key in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer"):
                value = checkpoint.tensors.get(f"optimizer.{key}.{name}")
                if value is not None:
                    # In the layout of the parameter, as the optimizer makes them: fused kernels go by memory.
                    place = torch.empty_like(one) if key != "step" else torch.empty_like(value, device=one.device)
                    found[key] = place.copy_(value)
            if found:
                self.optimizer.state[one] = found
