"""What a linear head says of every picture, when it has learned from other pictures only.

`cross_fit` tells what the heads of a probe say at the one penalty that is known already. `predict_held_out` is for
labels that may be wrong and features of any kind, and chooses the penalty for itself.

The samples are in folds. For each fold `predict_held_out` learns a head from the others but one, and that one chooses
its penalty; so nothing of a picture's own fold has a part in what is said of it.

Three things keep it cheap, also for a million pictures:

* Wide features are first projected to `WIDTH` random directions of signs (Achlioptas, "Database-friendly random
  projections", JCSS 66, 2003), which keeps distances nearly as they are, and `fit_head` then diagonalises 512 x 512
  numbers and not 1,280 x 1,280 in each fold: 0.5 s instead of 2.6 s of one core for 2,500 pictures of two classes, at
  an accuracy of 0.909 instead of 0.912 (benchmarks/RESULTS.md#label-suspects).
* Heads learn from at most `MOST` pictures, taken evenly from the classes.
* Features are read in blocks, so they may be a memory map larger than memory.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.sampling import sample_evenly
from telltale.model.head import Floats, fit_head, fit_without, softmax
from telltale.threads import pieces

LEAST_FOLDS: Final = 3
"""One to be judged, one to choose the penalty, one to learn from."""

WIDTH: Final = 512
"""Directions that wider features are projected to."""

MOST: Final = 50_000
"""Pictures that the heads learn from: 100 MB at 512 directions."""

_BLOCK: Final = 16_384
"""Rows per block: 84 MB at 1,280 features."""


def predict_held_out(
    features: NDArray[Any], labels: NDArray[np.int32], folds: NDArray[np.int64], *, classes: int, seed: int = 0
) -> Floats:
    """float32 `[n, classes]`: the probabilities of every sample by a head that has not seen its fold; rows sum to 1.

    `features` `[n, d]` are numbers of any kind, `labels` int `[n]`, `folds` int `[n]` with at least `LEAST_FOLDS`
    different numbers. `seed` draws the directions and, above `MOST` samples, those that are learned from.

    >>> features = np.repeat(np.float32([[0], [9]]), 30, axis=0)
    >>> labels, folds = np.repeat([0, 1], 30).astype(np.int32), np.arange(60) % 5
    >>> predict_held_out(features, labels, folds, classes=2).argmax(axis=1).tolist() == labels.tolist()
    True
    """
    numbers = np.unique(folds)
    rows = sample_evenly(labels, MOST, seed=seed)
    mean, directions = draw_directions(features, rows, seed)
    learned, said, held = project(features, rows, mean, directions), labels[rows], folds[rows]
    heads = []
    for place, number in enumerate(numbers):
        chooses = held == numbers[(place + 1) % len(numbers)]
        learns = (held != number) & ~chooses
        head, _ = fit_head(
            learned[learns], said[learns], val_features=learned[chooses], val_labels=said[chooses], classes=classes
        )
        heads.append((number, directions @ head.weight.T, head.bias))
    probabilities = np.empty((len(labels), classes), np.float32)
    for part in pieces(len(labels), _BLOCK):
        block = features[part.start : part.stop] - mean
        for number, weight, bias in heads:
            mine = folds[part.start : part.stop] == number
            probabilities[part.start : part.stop][mine] = softmax(block[mine] @ weight + bias)
    return probabilities


def cross_fit(
    features: NDArray[Any], labels: NDArray[np.int32], folds: NDArray[np.int64], *, penalty: float, classes: int
) -> Floats:
    """float32 `[n, classes]`: the logits of every sample by a head that has learned from the other folds only.

    `features` `[n, d]` are numbers, `labels` and `folds` int `[n]`, with at least two different folds; `penalty` is
    that of `fit_head`. Above `MOST` samples the heads learn from so many, taken evenly from the classes. For 2,000 x
    1,280, two classes and 5 folds 0.5 s of one core.

    >>> features = np.repeat(np.float32([[0], [9]]), 30, axis=0)
    >>> labels, folds = np.repeat([0, 1], 30).astype(np.int32), np.arange(60) % 5
    >>> cross_fit(features, labels, folds, penalty=0.1, classes=2).argmax(axis=1).tolist() == labels.tolist()
    True
    """
    rows = sample_evenly(labels, MOST)
    heads = fit_without(features, labels, folds, rows=rows, penalty=penalty, classes=classes)
    logits = np.empty((len(labels), classes), np.float32)
    for part in pieces(len(labels), _BLOCK):
        block = np.asarray(features[part.start : part.stop], np.float32)
        for number, head in heads.items():
            mine = folds[part.start : part.stop] == number
            logits[part.start : part.stop][mine] = block[mine] @ head.weight.T + head.bias
    return logits


def draw_directions(features: NDArray[Any], rows: NDArray[np.int64], seed: int) -> tuple[Floats, Floats]:
    """Mean of the features `[d]` over `rows`, and the directions `[d, width]` to project what is left onto.

    Both float32; `width` is `WIDTH`, or `d` where that is not wider.
    """
    total = np.zeros((2, features.shape[1]))
    mean = features[rows[:_BLOCK]].mean(axis=0, dtype=np.float64)
    for part in pieces(len(rows), _BLOCK):
        centred = features[rows[part.start : part.stop]] - mean
        total += centred.sum(axis=0), np.square(centred).sum(axis=0)
    shift, squares = total / len(rows)
    mean += shift
    if features.shape[1] <= WIDTH:
        return mean.astype(np.float32), np.eye(features.shape[1], dtype=np.float32)
    scale = np.sqrt(np.maximum(squares - shift**2, 0))
    # As in `fit_head`: a feature that hardly varies is noise and must not be blown up.
    scale = np.maximum(scale, 1e-6 + 1e-3 * float(scale.mean()))
    signs = np.random.default_rng([seed, 4]).choice([-1.0, 1.0], (len(mean), WIDTH))
    return mean.astype(np.float32), (signs / (scale[:, None] * WIDTH**0.5)).astype(np.float32)


def project(features: NDArray[Any], rows: NDArray[np.int64], mean: Floats, directions: Floats) -> Floats:
    """float32 `[len(rows), width]`: these rows of the features, less their mean, in the directions; read in blocks."""
    out = np.empty((len(rows), directions.shape[1]), np.float32)
    for part in pieces(len(rows), _BLOCK):
        np.matmul(features[rows[part.start : part.stop]] - mean, directions, out=out[part.start : part.stop])
    return out
