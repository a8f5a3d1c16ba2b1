"""`RejectRule`: when an answer is accepted, and when "unknown" is said instead; obeyed by everything that predicts."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ACCEPTED: Final = 0
"""The most probable class is the answer."""

UNSURE: Final = 1
"""Like the pictures learned from, but no class is probable enough."""

UNLIKE: Final = 2
"""Unlike the pictures learned from, whatever the probabilities say."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class RejectRule:
    """When a picture's most probable class is accepted, and which classes are in its prediction set."""

    precision: float
    """Wanted share right among accepted pictures, such as 0.99."""
    threshold: float
    """Least calibrated probability of the most probable class; above 1 where nothing is accepted."""
    unlike_above: float
    """Strangeness above which a picture is unlike those learned from; infinite: none is."""
    coverage: float
    """Nominal coverage of prediction sets, such as 0.95."""
    set_threshold: float
    """A class with at least this probability is in the prediction set."""
    pictures: int
    """How many pictures it was set on."""
    assured: bool
    """Whether those pictures show the wanted precision with 95 % confidence; else the best that there is was taken."""


def always(rule: RejectRule) -> RejectRule:
    """`rule` without refusals: every answer is accepted."""
    return replace(rule, precision=0.0, threshold=0.0, unlike_above=math.inf, assured=False)


def judge(rule: RejectRule, probabilities: Floats, strangeness: Floats | None) -> NDArray[np.int8]:
    """`ACCEPTED`, `UNSURE` or `UNLIKE` for each row of calibrated `probabilities` `[n, classes]`: int8 `[n]`.

    `strangeness` `[n]` is what `Familiarity.score` says, None where there is no familiarity. What is no number is
    never accepted.

    >>> rule = RejectRule(0.99, 0.9, 2.0, 0.95, 0.2, 500, True)
    >>> judge(rule, np.array([[0.95, 0.05], [0.6, 0.4], [1.0, 0.0]]), np.array([1.0, 1.0, 7.0])).tolist()
    [0, 1, 2]
    """
    sure = probabilities.max(axis=1) >= rule.threshold
    verdicts = np.where(sure, ACCEPTED, UNSURE).astype(np.int8)
    if strangeness is not None:
        verdicts[~(strangeness <= rule.unlike_above)] = UNLIKE
    return verdicts


def prediction_sets(rule: RejectRule, probabilities: Floats) -> NDArray[np.bool_]:
    """Which classes are in each picture's set: bool `[n, classes]` of calibrated `probabilities` `[n, classes]`.

    The true class is in it for the share `rule.coverage` of pictures like those learned from. A set may be empty: no
    class fits well. Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers", JASA 114, 2019.

    >>> rule = RejectRule(0.99, 0.9, 2.0, 0.95, 0.2, 500, True)
    >>> prediction_sets(rule, np.array([[0.7, 0.25, 0.05]])).tolist()
    [[True, True, False]]
    """
    return probabilities >= rule.set_threshold
