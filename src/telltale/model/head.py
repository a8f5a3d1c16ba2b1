"""`fit_head`: the linear classifier on frozen features, with its regularisation chosen on validation data.

Multinomial logistic regression with an L2 penalty on standardised features:

    minimise  mean_i -log softmax(W x_i + b)[y_i]  +  (penalty / 2) ||W||^2

The correlation matrix of the features (X'X, one pass, O(d^2) memory) is diagonalised once. In its basis the curvature
of the loss is close to diagonal, so L-BFGS (Nocedal & Wright, Numerical Optimization, algorithms 7.4 and 7.5) needs
few passes over the features for each penalty, and every penalty starts from the solution of the one before.
Features are read in blocks, so they may be a memory map larger than memory.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.device import cores
from telltale.errors import ModelError
from telltale.threads import map_in_order, pieces, single_threaded

PENALTIES: Final = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""What is tried, strongest first; weaker ones only while they still lower the validation loss."""

_BLOCK: Final = 16_384
"""Rows per block: 84 MB at 1,280 features."""

_PATIENCE: Final = 2
"""Stop after so many weaker penalties in a row without a better validation loss."""

FEW_CLASSES: Final = 10
"""Up to so many, heads of folds are quick to learn without a basis of their own."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """The last, linear layer: `weight` float32 `[classes, features]`, `bias` float32 `[classes]`.

    `temperature` divides the logits; 1 means as fitted.

    >>> head = Head(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    >>> head.probabilities(np.array([[0.0, 0.0]], np.float32)).tolist()
    [[0.5, 0.5]]
    """

    weight: Floats
    bias: Floats
    temperature: float = 1.0

    def logits(self, features: Floats) -> Floats:
        """float32 `[n, classes]` of features float32 `[n, features]`, before the softmax.

        A row's result does not depend on the rows beside it, as it would with a matrix product of BLAS.
        """
        product = np.einsum("nd,cd->nc", features, self.weight, optimize=False)
        return product + self.bias  # type: ignore[no-any-return]

    def probabilities(self, features: Floats) -> Floats:
        """float32 `[n, classes]`, rows sum to 1."""
        return softmax(self.logits(features) / np.float32(self.temperature))


@dataclass(frozen=True)
class Choice:
    """One penalty that was tried, with its mean log loss on the training and on the validation data."""

    penalty: float
    train_loss: float
    val_loss: float
    val_accuracy: float


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits along the last axis, safe for large values.

    >>> softmax(np.array([[1000.0, 1000.0]], np.float32)).tolist()
    [[0.5, 0.5]]
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def fit_head(
    features: Floats,
    labels: NDArray[np.int32],
    *,
    val_features: Floats,
    val_labels: NDArray[np.int32],
    classes: int,
) -> tuple[Head, list[Choice]]:
    """The head with the lowest validation log loss over `PENALTIES`, and what was tried.

    `features` float32 `[n, d]` and `labels` int `[n]` are learned from; the validation pictures only choose. Raises
    `ModelError` where features are no finite numbers.
    """
    if not all(
        np.isfinite(block[rows.start : rows.stop]).all()
        for block in (features, val_features)
        for rows in pieces(len(block), _BLOCK)
    ):
        raise ModelError(
            "The network gives features that are not finite numbers.",
            expected="Finite numbers for every picture.",
            do="The weights are probably damaged or of another network: give others with --weights.",
        )
    basis = Basis.of(features)
    problem = Problem(basis.rotate(features), np.asarray(labels), classes)
    val_rotated = basis.rotate(val_features)
    point = problem.start()
    least, best = math.inf, point
    tried: list[Choice] = []
    for penalty in PENALTIES:
        point, train_loss = minimise(problem, penalty, point)
        logits = val_rotated @ point[:-1] + point[-1]
        val_loss = _log_loss(logits, val_labels)
        tried.append(Choice(penalty, train_loss, val_loss, float((logits.argmax(axis=1) == val_labels).mean())))
        if val_loss < least:
            least, best = val_loss, point
        if all(one.val_loss > least for one in tried[-_PATIENCE:]):
            break
    return basis.head(best), tried


def fit_without(
    features: NDArray[Any],
    labels: NDArray[np.int32],
    folds: NDArray[np.int64],
    *,
    rows: NDArray[np.int64],
    penalty: float,
    classes: int,
) -> dict[int, Head]:
    """For each number in `folds` the head learned at `penalty` from those of `rows` that are in other folds.

    `features` `[n, d]` are numbers, `labels` and `folds` int `[n]`, `rows` row numbers. All heads share one copy of
    the features, standardised by all of `rows`, and learn from views of it. Of few classes that costs no
    diagonalisation: L-BFGS needs as many passes as in the basis of `fit_head` (210 and 204 for 5 folds of 2,000 photos
    of 2 classes). Of many, or where there are fewer pictures than features, the basis saves more than it
    costs (529 photos of 120 classes: 1.5 s instead of 8.8 s).
    """
    order = rows[np.argsort(folds[rows], kind="stable")]
    known = np.empty((len(order), features.shape[1]), np.float32)
    for part in pieces(len(order), _BLOCK):
        known[part.start : part.stop] = features[order[part.start : part.stop]]
    mean = known.mean(axis=0, dtype=np.float64).astype(np.float32)
    known -= mean
    scale = _soften(np.sqrt(np.einsum("nd,nd->d", known, known, dtype=np.float64) / max(1, len(known)))).astype(
        np.float32
    )
    known /= scale
    basis = Basis.of(known) if classes > FEW_CLASSES or len(known) < known.shape[1] else None
    if basis is not None:
        known = basis.rotate(known)
    said, sorted_folds = np.asarray(labels)[order], folds[order]

    def learn(number: int) -> Head:
        left_out = range(*np.searchsorted(sorted_folds, [number, number + 1]).tolist())
        problem = Problem(known, said, classes, left_out=left_out)
        point, _ = minimise(problem, penalty, problem.start())
        turned = basis.head(point) if basis is not None else Head(point[:-1].T, point[-1])
        weight = turned.weight / scale
        return Head(np.ascontiguousarray(weight), turned.bias - weight @ mean)

    numbers = np.unique(folds).tolist()
    with single_threaded():
        return dict(zip(numbers, map_in_order(learn, numbers, threads=cores()), strict=True))


def _soften(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations, none of them tiny, to divide by."""
    # A feature that hardly varies against the others is noise: it must not be blown up to unit variance.
    return np.maximum(scale, 1e-6 + 1e-3 * float(scale.mean()))


@dataclass(frozen=True)
class Basis:
    """Standardised features in the directions in which they vary: rotated = ((x - mean) / scale) @ directions."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]
    variances: NDArray[np.float32]

    @classmethod
    def of(cls, features: Floats) -> "Basis":
        """Diagonalise the correlation of the features; directions without variance are left out."""
        count, width = features.shape
        mean = np.zeros(width)
        for rows in pieces(count, _BLOCK):
            mean += features[rows.start : rows.stop].sum(axis=0, dtype=np.float64)
        mean /= count
        gram = np.zeros((width, width), np.float64)
        for rows in pieces(count, _BLOCK):
            centred = features[rows.start : rows.stop] - mean.astype(np.float32)
            gram += centred.T @ centred
        gram /= count
        scale = _soften(np.sqrt(np.maximum(np.diag(gram), 0)))
        variances, directions = np.linalg.eigh((gram / np.outer(scale, scale)).astype(np.float32))
        keep = variances > 1e-6 * variances[-1]
        return cls(
            mean.astype(np.float32),
            scale.astype(np.float32),
            np.ascontiguousarray(directions[:, keep]),
            np.ascontiguousarray(variances[keep]),
        )

    def rotate(self, features: Floats) -> Floats:
        """The features in this basis."""
        out = np.empty((len(features), self.directions.shape[1]), np.float32)
        for rows in pieces(len(features), _BLOCK):
            block = features[rows.start : rows.stop]
            np.matmul((block - self.mean) / self.scale, self.directions, out=out[rows.start : rows.stop])
        return out

    def head(self, point: NDArray[np.float32]) -> Head:
        """The same classifier on the features as they come."""
        weight = (self.directions @ point[:-1]) / self.scale[:, None]
        bias = point[-1] - self.mean @ weight
        return Head(np.ascontiguousarray(weight.T.astype(np.float32)), bias.astype(np.float32))


class Problem:
    """The penalised log loss of features float32 `[n, d]` with labels int `[n]`, and its gradient.

    A point is float32 `[d + 1, classes]`, weights and in the last row the biases. `minimise` is quick where features
    are hardly correlated, as those of `Basis.rotate` are. The rows `left_out` count as if they were not there.
    """

    def __init__(
        self, features: Floats, labels: NDArray[np.int32], classes: int, *, left_out: range = range(0)
    ) -> None:
        self.features, self.labels, self.classes = features, labels, classes
        self.left_out = left_out
        self.count = max(1, len(features) - len(left_out))

    def blocks(self) -> Iterator[tuple[Floats, NDArray[np.int32]]]:
        """Features and labels that are learned from, in pieces."""
        for begin, end in ((0, self.left_out.start), (self.left_out.stop, len(self.features))):
            for rows in pieces(end - begin, _BLOCK):
                part = slice(begin + rows.start, begin + rows.stop)
                yield self.features[part], self.labels[part]

    def start(self) -> NDArray[np.float32]:
        """No weights, and the biases that say the class frequencies: `[directions + 1, classes]`."""
        counts = sum(
            (np.bincount(labels, minlength=self.classes) for _, labels in self.blocks()), np.ones(self.classes)
        )
        point = np.zeros((self.features.shape[1] + 1, self.classes), np.float32)
        point[-1] = np.log(counts / counts.sum())
        return point

    def curvature(self, point: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
        """Diagonal of the Hessian at `point`, the scale of each unknown: `[directions + 1, classes]`."""
        diagonal = np.zeros_like(point)
        for block, _ in self.blocks():
            chances = softmax(block @ point[:-1] + point[-1])
            spread = chances * (1 - chances)
            diagonal[:-1] += (block * block).T @ spread
            diagonal[-1] += spread.sum(axis=0)
        diagonal /= self.count
        diagonal[:-1] += penalty
        return np.maximum(diagonal, 1e-6)

    def loss(self, point: NDArray[np.float32], penalty: float) -> tuple[float, NDArray[np.float32]]:
        """Mean log loss with its penalty, and the gradient of both."""
        gradient = np.zeros_like(point)
        total = 0.0
        for block, labels in self.blocks():
            shifted = block @ point[:-1] + point[-1]
            shifted -= shifted.max(axis=1, keepdims=True)
            odds = np.exp(shifted)
            sums = odds.sum(axis=1, keepdims=True)
            mine = np.arange(len(labels))
            total += float((np.log(sums[:, 0]) - shifted[mine, labels]).sum(dtype=np.float64))
            odds /= sums
            odds[mine, labels] -= 1
            gradient[:-1] += block.T @ odds
            gradient[-1] += odds.sum(axis=0)
        gradient /= self.count
        gradient[:-1] += penalty * point[:-1]
        return total / self.count + 0.5 * penalty * float((point[:-1] ** 2).sum(dtype=np.float64)), gradient


def _log_loss(logits: Floats, labels: NDArray[np.int32]) -> float:
    chosen = softmax(logits.astype(np.float64))[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-12, 1)).mean())


def minimise(
    problem: Problem,
    penalty: float,
    point: NDArray[np.float32],
    *,
    tolerance: float = 1e-3,
    steps: int = 200,
) -> tuple[NDArray[np.float32], float]:
    """The point with the least loss, from `point` on, and that loss with its penalty.

    L-BFGS with the Hessian's diagonal at `point` as first guess of the Hessian, and Armijo back-tracking.
    """
    curvature = problem.curvature(point, penalty)
    value, gradient = problem.loss(point, penalty)
    memory: deque[tuple[NDArray[np.float32], NDArray[np.float32], float]] = deque(maxlen=10)
    for _ in range(steps):
        direction = -_apply_inverse(gradient, memory, curvature)
        slope = float((direction * gradient).sum(dtype=np.float64))
        # `-slope` is twice the decrease that the quadratic model expects: below it nothing is left to gain.
        if -slope < tolerance * tolerance * max(1.0, abs(value)):
            break
        length = 1.0
        while True:
            moved, new_gradient = problem.loss(point + length * direction, penalty)
            if moved <= value + 1e-4 * length * slope or length < 1e-4:
                break
            length /= 2
        if length < 1e-4:
            break
        step, change = length * direction, new_gradient - gradient
        product = float((step * change).sum(dtype=np.float64))
        if product > 1e-12:
            memory.append((step, change, product))
        point, value, gradient = point + step, moved, new_gradient
    return point, value


def _apply_inverse(
    gradient: NDArray[np.float32],
    memory: deque[tuple[NDArray[np.float32], NDArray[np.float32], float]],
    curvature: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The two-loop recursion: approximate inverse Hessian times gradient."""
    result = gradient.copy()
    weights = []
    for step, change, product in reversed(memory):
        weight = float((step * result).sum(dtype=np.float64)) / product
        weights.append(weight)
        result -= weight * change
    result /= curvature
    for (step, change, product), weight in zip(memory, reversed(weights), strict=True):
        result += (weight - float((change * result).sum(dtype=np.float64)) / product) * step
    return result
