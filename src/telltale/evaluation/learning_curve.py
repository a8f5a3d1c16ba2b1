"""Would more data help?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """Mean accuracy of heads learned from this many pictures, and its band over the repeats."""

    pictures: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Accuracy over the number of training pictures; of each class its recall."""

    points: tuple[LearningPoint, ...]
    per_class: dict[str, tuple[LearningPoint, ...]]
    verdict: str
