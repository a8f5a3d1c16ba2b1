"""How well probabilities fit what is right."""

from dataclasses import dataclass

from telltale.evaluation.metrics import Interval


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures whose highest probability lies between `low` and `high`."""

    low: float
    high: float
    confidence: float
    """Mean of their highest probabilities."""
    accuracy: Interval
    """Share of them that is right."""
    pictures: int


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """Calibration error and reliability before and after the temperature."""

    temperature: float
    ece_before: float
    ece_after: Interval
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]
