"""The probe: a frozen backbone, its features computed once, and the head fitted on them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from telltale.data.index import Index
from telltale.data.splits import Splits
from telltale.model.features import Extractor, features
from telltale.model.head import Head, fit_head
from telltale.progress import Note, Tell

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


def fit_probe(splits: Splits, extractor: Extractor, *, tell: Tell) -> Probe:
    """Fit the head on the training part; its regularisation is the one with the least validation log loss.

    With `precision="auto"` bf16 features are kept only where the head answers the same with f32 features.
    """
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
    head, tried = fit_head(
        features(splits.train, extractor, tell=tell),
        splits.train.codes,
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
