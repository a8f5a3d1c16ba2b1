"""The probe: a frozen backbone, its features computed once, and the head fitted on them."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.index import Index
from telltale.data.splits import Splits
from telltale.model.features import Extractor, features
from telltale.model.head import Head, fit_head
from telltale.progress import Note, Tell
from telltale.training.views import Views, view_features

GATE_PICTURES: Final = 128
"""Validation pictures on which bf16 must agree with f32: 0.15 s of MobileNetV2 on 2 cores."""

GATE_LEAST: Final = 32
"""With fewer validation pictures the comparison says nothing, and speed matters little: f32."""

GATE_DIFFERENCE: Final = 0.02
"""Largest mean difference of the probability of the right class that bf16 may cause."""


@dataclass(frozen=True)
class Probe:
    """What a probe found: the extractor that passed the gate, the head on its features, and facts for the record."""

    extractor: Extractor
    head: Head
    facts: dict[str, Any]
    losses: dict[str, float]


def fit_probe(splits: Splits, extractor: Extractor, *, views: Views | None = None, tell: Tell) -> Probe:
    """Fit the head on the training part; its regularisation is the one with the least validation log loss.

    With `precision="auto"` bf16 features are kept only where the head answers the same with f32 features. With `views`
    a head that has learned from augmented copies, too, is kept where its validation log loss is lower.
    """
    probe = _fit_plain(splits, extractor, tell)
    if views is None or not views.differ:
        return probe
    copies = [
        view_features(splits.train, probe.extractor, views, number=number, tell=tell)
        for number in range(1, views.count + 1)
    ]
    known = [features(splits.train, probe.extractor, tell=tell), *copies]
    other = _fit_head(splits, probe.extractor, np.concatenate(known), tell)
    losses = probe.losses["val_loss"], other.losses["val_loss"]
    used = losses[1] < losses[0]
    words = "they are used" if used else "they are not used"
    tell(Note(f"{views.count} augmented copies: validation loss {losses[1]:.4f}, without {losses[0]:.4f}; {words}."))
    found = {"views": views.count, "val_loss_without": losses[0], "val_loss_with": losses[1], "used": used}
    return replace(other if used else probe, facts=(other if used else probe).facts | {"views": found})


def _fit_plain(splits: Splits, extractor: Extractor, tell: Tell) -> Probe:
    if extractor.precision == "auto" and len(splits.validation) < GATE_LEAST:
        extractor = _with_precision(extractor, "f32")
    probe = _fit(splits, extractor, tell)
    if extractor.precision != "auto" or extractor.arithmetic == "f32":
        return probe
    sample = splits.validation.take(_spread(len(splits.validation), GATE_PICTURES))
    exact = _with_precision(extractor, "f32")
    gate = _compare(probe.head, sample, extractor, exact, tell)
    if gate["passed"]:
        return Probe(extractor, probe.head, probe.facts | {"precision_gate": gate}, probe.losses)
    tell(
        Note(
            f"bf16 gives other answers than f32 on {gate['pictures']} pictures ({gate['right_bf16']} right instead of "
            f"{gate['right_f32']}, probabilities {gate['mean_difference']:.3f} apart): f32 is used.",
            warning=True,
        )
    )
    probe = _fit(splits, exact, tell)
    return Probe(exact, probe.head, probe.facts | {"precision_gate": gate}, probe.losses)


def _fit(splits: Splits, extractor: Extractor, tell: Tell) -> Probe:
    return _fit_head(splits, extractor, features(splits.train, extractor, tell=tell), tell)


def _fit_head(splits: Splits, extractor: Extractor, known: NDArray[np.float32], tell: Tell) -> Probe:
    """The head on `known`, the features of the training part and perhaps of copies of all of it."""
    head, tried = fit_head(
        known,
        np.tile(splits.train.codes, len(known) // len(splits.train)),
        val_features=features(splits.validation, extractor, tell=tell),
        val_labels=splits.validation.codes,
        classes=len(splits.index.classes),
    )
    best = min(tried, key=lambda choice: choice.val_loss)
    facts = {"penalty": best.penalty, "tried": {str(one.penalty): round(one.val_loss, 6) for one in tried}}
    losses = {"train_loss": best.train_loss, "val_loss": best.val_loss, "val_accuracy": best.val_accuracy}
    return Probe(extractor, head, facts, losses)


def _compare(head: Head, sample: Index, fast: Extractor, exact: Extractor, tell: Tell) -> dict[str, Any]:
    """Does the head say the same of the features of both precisions?"""
    mine = np.arange(len(sample)), sample.codes
    one = head.probabilities(features(sample, fast, tell=tell))
    other = head.probabilities(features(sample, exact, tell=tell))
    right = [int((table.argmax(axis=1) == sample.codes).sum()) for table in (one, other)]
    difference = float(np.abs(one[mine] - other[mine]).mean())
    passed = right[0] >= right[1] - max(1, len(sample) // 100) and difference <= GATE_DIFFERENCE
    return {
        "passed": bool(passed),
        "pictures": len(sample),
        "right_bf16": right[0],
        "right_f32": right[1],
        "mean_difference": round(difference, 5),
    }


def _with_precision(extractor: Extractor, precision: str) -> Extractor:
    return Extractor(extractor.backbone, extractor.preprocess, precision, extractor.device)


def _spread(count: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """At most `most` row numbers, evenly spread.

    >>> _spread(10, 5).tolist()
    [0, 2, 4, 6, 8]
    """
    return np.arange(0, count, max(1, -(-count // most)))
