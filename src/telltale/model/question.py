"""What tells one class from the others in features: the question that a heat map answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from telltale.model.head import Floats, Head


class Question:
    """Of each picture: what speaks for its class (default: the predicted one), and against the others?

    The margin of a class is its logit minus the mean of the others': what is added to the logits of all classes alike
    changes no probability, and goes out here. So does what both of two classes have: a map of the logit alone lights up
    where a picture is like anything at all.

    >>> head = Head(np.array([[3, 1], [1, 0]], np.float32), np.zeros(2, np.float32))
    >>> Question(head).weigh(np.array([[1, 1]], np.float32)).tolist()
    [[2.0, 1.0]]
    """

    def __init__(self, head: Head, classes: Sequence[int] | None = None) -> None:
        self._head = head
        self._classes = None if classes is None else np.asarray(classes, np.int64)
        count = len(head.bias)
        self._weight = head.weight
        if count > 1:  # else there are no others
            self._weight = np.float32(count / (count - 1)) * (head.weight - head.weight.mean(axis=0))

    def weigh(self, features: Floats, start: int = 0) -> Floats:
        """Weight of each feature in the margin, float32 `[n, features]`, for the pictures from number `start` on."""
        if self._classes is None:
            wanted: NDArray[np.int64] = self._head.logits(features).argmax(axis=1)
        else:
            wanted = self._classes[start : start + len(features)]
        return np.asarray(self._weight[wanted])
