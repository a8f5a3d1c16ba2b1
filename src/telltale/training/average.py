"""`Average`: the moving average of a network's weights while it is trained."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class Average:
    """After each step: average = rate * average + (1 - rate) * weights, over parameters and norm statistics.

    `rate` rises to `decay` as (1 + steps) / (10 + steps), so that the first weights, which know nothing, fade quickly.
    Source: Polyak & Juditsky, 1992; the warm-up is TensorFlow's `ExponentialMovingAverage(num_updates=...)`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.steps = network, decay, 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.steps += 1
        rate = min(self.decay, (1 + self.steps) / (10 + self.steps))
        now = self.network.state_dict()
        smooth = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[name] for name in smooth], [now[name] for name in smooth], 1 - rate)
        for name in now.keys() - set(smooth):  # counters
            self.values[name].copy_(now[name])

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights."""
        kept = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.values)
        try:
            yield
        finally:
            self.network.load_state_dict(kept)
