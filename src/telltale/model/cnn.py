"""`PlainCNN`: the small network of the seeds, which trains from nothing."""

import torch
from torch import nn

from telltale.errors import ModelError


class PlainCNN(nn.Module):
    """For each of `filters`: 3x3 convolution without padding, ReLU, 2x2 max pool; then a dense layer and the head.

    In: float `[n, 3, size, size]`, normalised. Out: `[n, outputs]` logits, or the features where `outputs` is 0.
    With one output at 160 pixels it has the seeds' number of parameters:

    >>> sum(parameter.numel() for parameter in PlainCNN(1, 160).parameters())
    1346753
    """

    def __init__(
        self,
        outputs: int,
        size: int = 160,
        *,
        filters: tuple[int, ...] = (32, 32, 32),
        hidden: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, size
        for count in filters:
            # ReLU after the pool: the same numbers and gradients with a quarter of the work.
            layers += [nn.Conv2d(channels, count, 3), nn.MaxPool2d(2), nn.ReLU()]
            channels, side = count, (side - 2) // 2
        if side < 1:
            raise ModelError(
                f"{size} pixels are too few for {len(filters)} convolutions with pooling.",
                expected=f"At least {_least(len(filters))} pixels.",
                do="Give a larger --img-size.",
            )
        self.blocks = nn.Sequential(*layers)
        self.dense = nn.Sequential(nn.Linear(channels * side * side, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.num_features = hidden
        self.head: nn.Module = nn.Linear(hidden, outputs) if outputs else nn.Identity()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head sees: `[n, num_features]`."""
        hidden: torch.Tensor = self.dense(self.blocks(x).flatten(1))
        return hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(x))
        return logits


def _least(blocks: int) -> int:
    """Smallest input that leaves one pixel after so many blocks."""
    return 1 if blocks == 0 else 2 * _least(blocks - 1) + 2
