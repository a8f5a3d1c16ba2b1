"""`PlainCNN`: the small networks of the seeds, which train from nothing, without their head."""

import torch
from torch import nn

from telltale.errors import ModelError


class PlainCNN(nn.Module):
    """For each of `filters`: 3x3 convolution without padding, ReLU, 2x2 max pool, dropout; then a dense layer.

    In: float `[n, 3, size, size]`, normalised. Out: `[n, hidden]`, none below 0. Without `dropout` there are no
    layers for it.

    >>> PlainCNN(32)(torch.rand(5, 3, 32, 32)).shape
    torch.Size([5, 128])
    """

    def __init__(
        self, size: int = 160, *, filters: tuple[int, ...] = (32, 32, 32), hidden: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, size
        for count in filters:
            # ReLU after the pool: the same numbers and gradients with a quarter of the work.
            layers += [nn.Conv2d(channels, count, 3), nn.MaxPool2d(2), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            channels, side = count, (side - 2) // 2
        if side < 1:
            raise ModelError(
                f"{size} pixels are too few for {len(filters)} convolutions with pooling.",
                expected=f"At least {_least(len(filters))} pixels.",
                do="Give a larger --img-size.",
            )
        self.blocks = nn.Sequential(*layers)
        self.dense = nn.Sequential(nn.Linear(channels * side * side, hidden), nn.ReLU())
        self.num_features = hidden
        for layer in (*self.blocks, *self.dense):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                begin_layer(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.dense(self.blocks(x).flatten(1))
        return features


def begin_layer(layer: nn.Conv2d | nn.Linear) -> None:
    """First weights as Keras draws them: uniform with variance 2 / (inputs + outputs), biases 0.

    torch's own have a third of that variance in a convolution and a sixth in the seeds' dense layer, and learn slower.
    Source: Glorot & Bengio 2010, formula 16.
    """
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _least(blocks: int) -> int:
    """Smallest input that leaves one pixel after so many blocks."""
    return 1 if blocks == 0 else 2 * _least(blocks - 1) + 2
