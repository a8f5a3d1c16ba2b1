"""Prediction sets: the classes that a picture may be of."""

from dataclasses import dataclass

from telltale.evaluation.metrics import Interval


@dataclass(frozen=True, slots=True)
class SetCheck:
    """How often the true class is in the set, and how many classes a set holds."""

    nominal: float
    coverage: Interval
    mean_size: float
    sizes: dict[int, int]
    """Pictures by the number of classes in their set."""
