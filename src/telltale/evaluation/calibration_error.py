"""How far the probabilities of a classifier are from how often it is right."""

from typing import Final

import numpy as np

from telltale.evaluation.metrics import Floats, Ints

BINS: Final = 15
"""As in Guo et al. 2017, "On Calibration of Modern Neural Networks"."""


def calibration_error(labels: Ints, probabilities: Floats, bins: int = BINS) -> float:
    """Expected calibration error of probabilities `[images, classes]` against true class numbers; 0 is perfect.

    The pictures are sorted by their highest probability and cut into `bins` parts of equal count (Nixon et al. 2019,
    "Measuring Calibration in Deep Learning"); the error is the mean distance between that probability and the share
    that is right, over the parts. With few pictures chance alone makes it large: 0.04 for 400 pictures of which 90 %
    are right, as their probabilities say.

    >>> calibration_error(np.array([0, 0, 1, 1]), np.array([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.25, 0.75]]), 1)
    0.0
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order))))
    distances = [abs(float((confidence[part] - right[part]).sum())) for part in parts]
    return sum(distances) / max(1, len(order))
