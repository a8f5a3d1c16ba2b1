"""Accuracy of the pictures that are answered, over the share that is."""

from dataclasses import dataclass

from telltale.evaluation.metrics import Interval


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """With this threshold, this share of pictures is answered with this accuracy."""

    coverage: float
    accuracy: Interval
    threshold: float


@dataclass(frozen=True, slots=True)
class Selective:
    """What a reject rule does to the scored pictures."""

    precision: float
    threshold: float
    coverage: Interval
    accuracy: Interval
    """Of the accepted pictures."""
    accepted: int
    unsure: int
    unlike: int
    curve: tuple[CurvePoint, ...]
