"""Scores of simple ways to answer, to stand beside a classifier's."""

from dataclasses import dataclass

from telltale.evaluation.metrics import Interval


@dataclass(frozen=True, slots=True)
class Baseline:
    """A simple way to answer and how often it is right."""

    name: str
    accuracy: Interval
    says: str
