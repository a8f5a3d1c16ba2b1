"""`name_nearest`: the class that the most similar known pictures vote for."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.model.head import Floats
from telltale.threads import pieces

_BLOCK: Final = 1024
"""Pictures that are compared at a time: 41 MB of similarities to 10,000 known ones."""


def name_nearest(
    known: Floats, labels: NDArray[np.int32], asked: Floats, *, classes: int, counts: Sequence[int]
) -> NDArray[np.int64]:
    """int64 `[len(counts), len(asked)]`: the class that the nearest pictures name, for each of the numbers in `counts`.

    `known` float32 `[n, d]` with `labels` int `[n]` are compared with `asked` float32 `[m, d]` by the cosine of what is
    left when the mean of `known` is taken away: features are mostly positive, and without that all are alike. A
    neighbour's vote is its cosine, and next to nothing below 0; so of two that disagree the nearer wins. `counts` are
    ascending, at least 1; above `n` all are asked.

    >>> known, labels = np.float32([[1, 0], [2, 0], [0, 3]]), np.array([0, 0, 1], np.int32)
    >>> name_nearest(known, labels, np.float32([[0, 1], [3, 1]]), classes=2, counts=(1, 3)).tolist()
    [[1, 0], [1, 0]]
    """
    middle = known.mean(axis=0, dtype=np.float64).astype(np.float32)
    known = _to_unit(known - middle)
    most = min(max(counts), len(known))
    named = np.empty((len(counts), len(asked)), np.int64)
    for part in pieces(len(asked), _BLOCK):
        near = _to_unit(asked[part.start : part.stop] - middle) @ known.T
        mine = np.arange(len(part))
        rows = np.argpartition(-near, most - 1, axis=1)[:, :most]
        rows = np.take_along_axis(rows, np.argsort(-np.take_along_axis(near, rows, axis=1), axis=1, kind="stable"), 1)
        weights = np.maximum(np.take_along_axis(near, rows, axis=1), 1e-6)
        votes = np.zeros((len(part), classes), np.float32)
        for place in range(most):
            votes[mine, labels[rows[:, place]]] += weights[:, place]
            for which, count in enumerate(counts):
                if min(count, most) == place + 1:
                    named[which, part.start : part.stop] = votes.argmax(axis=1)
    return named


def _to_unit(rows: Floats) -> Floats:
    length = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    rows /= np.maximum(length, 1e-12)[:, None]
    return rows
