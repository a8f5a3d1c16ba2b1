"""The optimizer, and the learning rate over time as plain functions of what has happened so far."""

import math
from collections.abc import Sequence

import torch
from torch import nn


def build_optimizer(network: nn.Module, *, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """AdamW over what requires a gradient; only matrices and kernels decay. Without decay this is plain Adam."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim >= 2], "weight_decay": weight_decay},
        # Biases and the scales of norms: shrinking them only costs accuracy.
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr)


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def learning_rate(schedule: str, lr: float, *, done: float, losses: Sequence[float], patience: int) -> float:
    """The rate at one step, from the largest rate `lr`.

    `done` is the share of all planned steps that is behind, `losses` the validation loss of each epoch so far.

    >>> learning_rate("cosine", 0.1, done=0.5, losses=[], patience=0)
    0.05
    >>> round(learning_rate("plateau", 0.1, done=0.5, losses=[2.0, 1.0, 1.1, 1.2], patience=4), 6)
    0.01
    """
    if schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "plateau":
        return lr * 0.1 ** count_stalls(losses, max(1, patience // 2) if patience else 6)
    return lr


def count_stalls(losses: Sequence[float], wait: int) -> int:
    """How many times `wait` epochs in a row brought no loss below the least before them.

    >>> count_stalls([1.0, 0.5, 0.6, 0.7, 0.8, 0.9], wait=2)
    2
    """
    stalls, best, waited = 0, math.inf, 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == wait:
            stalls, waited = stalls + 1, 0
    return stalls
