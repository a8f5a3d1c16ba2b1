"""What training minimises: cross entropy per picture, with smoothing, class weights and mixed pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from telltale.batches.feed import Batch


def class_logits(outputs: torch.Tensor) -> torch.Tensor:
    """Logits `[n, classes]` of a network's outputs; one output `z` for two classes becomes `[0, z]`.

    The softmax of `[0, z]` is the sigmoid of `z`, so cross entropy is the same as binary cross entropy.

    >>> class_logits(torch.tensor([[2.0]])).softmax(1)[0, 1] == torch.tensor(2.0).sigmoid()
    tensor(True)
    """
    return nn.functional.pad(outputs, (1, 0)) if outputs.shape[1] == 1 else outputs


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weight of each class, inverse to its number of pictures; their mean over `labels` is 1.

    >>> class_weights(np.array([0, 0, 1, 1, 1, 1]), 2).tolist()
    [1.5, 0.75]
    """
    counts = np.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    return (len(labels) / (present * np.maximum(counts, 1))).astype(np.float32)


class Loss:
    """Cross entropy of a batch; `smoothing` spreads that share of the target, `weights` float32 `[classes]` multiply.

    After MixUp or CutMix both labels of a picture count, each by its share.
    """

    def __init__(self, *, smoothing: float = 0.0, weights: torch.Tensor | None = None) -> None:
        self.smoothing, self.weights = smoothing, weights

    def __call__(self, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """float32 `[n]`: the loss of each picture."""
        logits = class_logits(outputs.float())
        loss = self._each(logits, batch.labels)
        if batch.others is not None and batch.share is not None:
            loss = batch.share * loss + (1 - batch.share) * self._each(logits, batch.others)
        return loss

    def _each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        return loss if self.weights is None else loss * self.weights[labels]
