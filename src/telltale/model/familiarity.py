"""`Familiarity`: what the features of known pictures are like, and how strange those of another picture are.

The signed square root of the features, scaled to length 1, turns mean activations of a network into points among which
straight distances are meaningful (Perronnin et al., "Improving the Fisher kernel", ECCV 2010; Arandjelović and
Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012). Those of the training pictures
are described by a mean, at most `DIRECTIONS` directions in which they vary most, and one variance for all others:
probabilistic principal components (Tipping and Bishop, JRSS B 61, 1999). The strangeness is the squared Mahalanobis
distance of that description, divided by the number of features, so that 1 is usual.

Measured (benchmarks/RESULTS.md#unknown) with the limit at 99 % of photos of cats and dogs: beyond it are all drawn
pictures and noise, of 16 kinds, all photos of other things, and 0.05 of photos of 120 breeds of dogs. Features as they
come find 0.86 of the drawn ones and hardly a flat colour; of length 1 but without the root they find all, with 0.07 of
the dogs. The fifth nearest of 2,000 training pictures finds as much, with 0.09 of the dogs and at sixty times the size.
The energy and the largest logit, which know only what the head knows, find 0.10 of the drawn ones.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.sampling import sample_evenly

DIRECTIONS: Final = 32
"""At most so many: 169 kB for 1,280 features. 8 find 0.95 of the photos of other things, 16 to 64 all of them."""

MOST: Final = 20_000
"""Pictures that it is fitted on: 666 find what 2,000 do."""

KNOWN: Final = 0.99
"""Share of pictures of the same kind, not seen, that is to be within the limit."""

_MANY: Final = 200
"""Pictures from which on the limit is counted, and not also guessed from their spread."""

_LEAST: Final = 1e-8
"""Variance below which a direction counts as constant; points of length 1 have 1e-3 in each of 1,280 directions."""

_BLOCK: Final = 4_096
_MORE, _ROUNDS = 8, 4  # Halko, Martinsson and Tropp, SIAM Review 53, 2011: algorithm 4.4

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Few numbers about the features of known pictures, float32.

    `mean` `[features]`, `directions` `[features, k]` with columns of length 1 at right angles, `variances` `[k]` along
    them, and `rest`, the variance in each of the other directions. `score` needs one matrix product for each picture.
    """

    mean: Floats
    directions: Floats
    variances: Floats
    rest: float

    def score(self, features: Floats) -> Floats:
        """float32 `[n]`: the strangeness of features float32 `[n, features]`; 1 is usual, larger is less like those.

        A row's result does not depend on the rows beside it. It is not a number where the features are none.
        """
        out = np.empty(len(features), np.float32)
        for start in range(0, len(features), _BLOCK):
            centred = _unit_roots(features[start : start + _BLOCK]) - self.mean
            # As in `Head.logits`: a matrix product of BLAS would make a row's result depend on those beside it.
            along = np.einsum("nd,dk->nk", centred, self.directions, optimize=False)
            whole = np.einsum("nd,nd->n", centred, centred, optimize=False)
            squares = np.square(along)
            outside = np.maximum(whole - squares.sum(axis=1), 0) / np.float32(self.rest)
            out[start : start + _BLOCK] = ((squares / self.variances).sum(axis=1) + outside) / np.float32(
                max(1, len(self.mean))
            )
        return out

    def to_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Name to float32 array, for a file; `from_tensors` reads them."""
        rest = np.array([self.rest], np.float32)
        return {"mean": self.mean, "directions": self.directions, "variances": self.variances, "rest": rest}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[np.float32]]) -> "Familiarity":
        """What `to_tensors` gave. Raises `KeyError` where one is missing, `ValueError` where they do not fit."""
        mean, directions, variances = (tensors[name] for name in ("mean", "directions", "variances"))
        if directions.shape != (*mean.shape, *variances.shape) or tensors["rest"].shape != (1,):
            shapes = {name: value.shape for name, value in tensors.items()}
            raise ValueError(f"these tensors are no familiarity: {shapes}")
        return cls(mean, directions, variances, float(tensors["rest"][0]))


def fit_familiarity(features: Floats, labels: NDArray[np.int32], *, classes: int) -> Familiarity:
    """The `Familiarity` of features float32 `[n, d]` of pictures of `classes` classes, `labels` int `[n]`; n >= 1.

    Of more than `MOST` pictures so many are taken evenly from the classes; otherwise the labels have no part in it.
    There are never more directions than a quarter of the pictures or of the features: with few pictures the rest
    would be small by chance, and everything new strange.

    >>> known = np.random.default_rng(0).normal(5, 1, (100, 8)).astype(np.float32)
    >>> familiarity = fit_familiarity(known, np.zeros(100, np.int32), classes=1)
    >>> usual, other = familiarity.score(np.stack([known[0], -known[0]]))
    >>> bool(usual < 5 < other)
    True
    """
    if not 0 < len(features) == len(labels) or labels.max() >= classes:
        raise ValueError(f"{len(features)} rows of features do not go with {len(labels)} labels of {classes} classes")
    rows = sample_evenly(labels, MOST)
    points = np.empty((len(rows), features.shape[1]), np.float32)
    for start in range(0, len(rows), _BLOCK):
        points[start : start + _BLOCK] = _unit_roots(features[rows[start : start + _BLOCK]])
    mean = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    points -= mean
    count, width = points.shape
    total = float(np.einsum("nd,nd->", points, points, dtype=np.float64)) / count
    directions, variances = _find_directions(points, min(DIRECTIONS, count // 4, width // 4))
    rest = (total - float(variances.sum())) / max(1, width - len(variances))
    floor = max(rest, _LEAST)
    return Familiarity(mean, directions, np.maximum(variances, np.float32(floor)), floor)


def find_limit(strangeness: Floats, share: float = KNOWN) -> float:
    """The strangeness that `share` of the pictures like those of `strangeness` `[n]` do not exceed.

    These must not have been fitted on. The k-th smallest with k = ceil((n + 1) share), as in conformal prediction, so
    that new pictures are within it with at least that probability. Below `_MANY` pictures, of which the largest is
    hardly the hundredth, not less than what a normal distribution of the logarithms would have there.

    >>> find_limit(np.arange(1, 1000, dtype=np.float32))
    990.0
    """
    count = len(strangeness)
    if not count:
        return math.inf
    place = min(count, math.ceil(round((count + 1) * share, 9)))
    limit = float(np.sort(strangeness)[place - 1])
    if 1 < count < _MANY:
        logs = np.log(np.maximum(strangeness.astype(np.float64), 1e-12))
        reach = NormalDist().inv_cdf(share) * float(logs.std(ddof=1)) * (1 + 1 / count) ** 0.5
        limit = max(limit, math.exp(min(float(logs.mean()) + reach, 700.0)))
    return limit


def _unit_roots(features: Floats) -> Floats:
    """The signed square roots of the features, each row scaled to length 1; a row of zeros stays one."""
    roots = np.sqrt(np.abs(features)) * np.sign(features)
    # The sum of squared roots is the sum of magnitudes.
    lengths = np.sqrt(np.abs(features).sum(axis=1, keepdims=True))
    return (roots / np.maximum(lengths, np.float32(1e-6))).astype(np.float32)  # type: ignore[no-any-return]


def _find_directions(points: Floats, count: int) -> tuple[Floats, Floats]:
    """Directions `[d, count]` in which centred `points` vary most, and the variances along them `[count]`.

    By subspace iteration: 30 ms for 2,000 x 1,280, where diagonalising 1,280 x 1,280 numbers takes 400 ms.
    """
    width = points.shape[1]
    if count < 1:
        return np.zeros((width, 0), np.float32), np.zeros(0, np.float32)
    start = np.random.default_rng(0).standard_normal((width, min(width, count + _MORE)), np.float32)
    basis = np.linalg.qr(start)[0]
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(points.T @ (points @ basis))[0]
    along = (points @ basis).astype(np.float64)
    variances, turn = np.linalg.eigh(along.T @ along / len(points))
    chosen = np.arange(len(variances))[::-1][:count]
    directions = np.ascontiguousarray((basis @ turn[:, chosen]).astype(np.float32))
    return directions, np.maximum(variances[chosen], 0).astype(np.float32)
