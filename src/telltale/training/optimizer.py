"""The optimizer, and the learning rate over time as plain functions of what has happened so far."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from telltale.training.recipe import Recipe

Named = tuple[str, nn.Parameter]


def build_optimizer(groups: Sequence[Sequence[Named]], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD over what requires a gradient; only matrices and kernels decay.

    `groups` are layers from the input to the output. The last learns at the full rate, each one below it at
    `recipe.layer_decay` times the rate of the one above (Howard & Ruder 2018, "discriminative fine-tuning").
    """
    settings = []
    for height, group in enumerate(reversed(groups)):
        trained = [(name, one) for name, one in group if one.requires_grad]
        for decays in (True, False):
            # Biases and the scales of norms: shrinking them only costs accuracy.
            chosen = [(name, one) for name, one in trained if (one.ndim >= 2) == decays]
            if chosen:
                decay = recipe.weight_decay if decays else 0.0
                share = recipe.layer_decay**height
                settings.append({"params": chosen, "weight_decay": decay, "share": share})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(settings, lr=recipe.lr, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(settings, lr=recipe.lr, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` from the next step on, each group its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["share"]


def learning_rate(recipe: Recipe, *, passed: float, done: float, losses: Sequence[float]) -> float:
    """The largest rate at one step.

    `passed` are the epochs that are behind (3.5: half of the fourth), `done` is the share of the whole training that
    is behind, `losses` the validation loss of each epoch so far.

    >>> learning_rate(Recipe(lr=0.1), passed=5, done=0.5, losses=[])
    0.05
    >>> plateau = Recipe(lr=0.1, schedule="plateau", patience=4)
    >>> round(learning_rate(plateau, passed=4, done=0.5, losses=[2.0, 1.0, 1.1, 1.2]), 6)
    0.01
    >>> round(learning_rate(Recipe(lr=0.1, warmup=2), passed=0.5, done=0.1, losses=[]), 6)
    0.025
    """
    if passed < recipe.warmup:
        return recipe.lr * passed / recipe.warmup
    if recipe.schedule == "cosine":
        # The share of the warm-up, which the half wave leaves out.
        warm = done * recipe.warmup / passed if passed else 0.0
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1 - warm, 1e-9)))
    if recipe.schedule == "plateau":
        return recipe.lr * recipe.factor ** count_stalls(losses, max(1, recipe.patience // 2) if recipe.patience else 6)
    if recipe.schedule == "step":
        return recipe.lr * recipe.factor ** (int(passed) // recipe.step_epochs)
    return recipe.lr


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
