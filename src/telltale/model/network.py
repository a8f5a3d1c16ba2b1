"""`Network`: what is trained. A network without its head gives features; dropout and one linear layer follow.

What is left of it after training is `features`, stored like any frozen backbone, and the linear layer.
"""

from typing import Final

import torch
from torch import nn

from telltale.errors import ModelError
from telltale.model.cnn import begin_layer

MOST_HIDDEN: Final = 65_536
"""Widest dense layer that is built, whoever asks for it."""


class Features(nn.Module):
    """A network without its head (`trunk`), dropout, a dense layer and ReLU: `[n, 3, s, s]` to `[n, hidden]`.

    The seeds' transfer network with its head has their number of parameters outside of MobileNetV2:

    >>> trunk = nn.Flatten()
    >>> trunk.num_features = 1280
    >>> network = Network(Features(trunk, 128), 1)
    >>> sum(parameter.numel() for parameter in network.parameters())
    164097
    """

    def __init__(self, trunk: nn.Module, hidden: int, *, dropout: float = 0.2) -> None:
        super().__init__()
        if type(hidden) is not int or not 1 <= hidden <= MOST_HIDDEN:
            raise ModelError(
                f"The dense layer is to have {hidden!r} outputs.",
                expected=f"A whole number from 1 to {MOST_HIDDEN}.",
                do="Give another number; if a bundle says so, use one from a source that you trust.",
            )
        self.trunk = trunk
        dense = nn.Linear(count_features(trunk), hidden)
        begin_layer(dense)
        self.hidden = nn.Sequential(nn.Dropout(dropout), dense, nn.ReLU())
        self.num_features = hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.hidden(self.trunk(x))
        return features


class Network(nn.Module):
    """`features`, dropout and the linear `head`: float `[n, 3, s, s]`, normalised, to logits `[n, outputs]`.

    With a plain CNN and one output at 160 pixels it has the seeds' number of parameters:

    >>> from telltale.model.cnn import PlainCNN
    >>> sum(parameter.numel() for parameter in Network(PlainCNN(160), 1).parameters())
    1346753
    """

    def __init__(self, features: nn.Module, outputs: int, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(count_features(features), outputs)
        begin_layer(self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.features(x)))
        return logits


def build_network(backbone: nn.Module, outputs: int, *, hidden: int = 0, dropout: float = 0.2) -> Network:
    """A network on top of `backbone`, whose module it keeps; what is new has random weights.

    With `hidden` a dense layer stands before the head, as wide as that. A backbone that ends in one already keeps it
    where `hidden` is 0 or its width. `dropout` is the rate before the head and before the dense layer.
    """
    if isinstance(backbone, Features) and hidden in (0, backbone.num_features):
        for layer in backbone.hidden:
            if isinstance(layer, nn.Dropout):
                layer.p = dropout
        return Network(backbone, outputs, dropout=dropout)
    trunk = backbone.trunk if isinstance(backbone, Features) else backbone
    features = Features(trunk, hidden, dropout=dropout) if hidden else trunk
    return Network(features, outputs, dropout=dropout)


def count_features(backbone: nn.Module) -> int:
    """How many features a network without head gives.

    timm's networks say it themselves: `head_hidden_size` counts the layers after the pool that some have, such as
    MobileNetV3, `num_features` does not. It is right for all but seven of 1,371 (timm 1.0.31), which give no row of
    features per picture.
    """
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]
