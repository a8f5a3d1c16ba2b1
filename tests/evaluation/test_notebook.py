"""An evaluation in a notebook: the figures that matter, and names that stay text."""

from dataclasses import replace

import numpy as np
import pytest

from telltale.evaluation.calibration import CalibrationCheck
from telltale.evaluation.evaluation import score
from telltale.evaluation.metrics import Interval


def evaluated(classes, images=60):
    labels = np.arange(images) % len(classes)
    said = np.where(np.arange(images) < 6, (labels + 1) % len(classes), labels)
    return score(labels, np.eye(len(classes))[said] * 0.9 + 0.1 / len(classes), classes)


@pytest.mark.parametrize("words", ["60 pictures: 90.0 % right", "0.900", "0.799 to 0.953", "was called", "27"])
def test_an_evaluation_shows_its_verdict_metrics_classes_and_confusion(words):
    assert words in evaluated(("cats", "dogs"))._repr_html_()


def test_calibration_is_shown_where_it_is_known():
    check = CalibrationCheck(1.2, 0.05, Interval(0.0123, 0.01, 0.02), (), ())
    evaluation = evaluated(("cats", "dogs"))
    assert "ECE" not in evaluation._repr_html_()
    assert "0.012" in replace(evaluation, calibration=check)._repr_html_()


def test_names_stay_text_and_nothing_is_loaded():
    page = evaluated(("<script>alert(1)</script>", "'\"><img src=x>"))._repr_html_()
    assert "<script" not in page and "<img" not in page and "http" not in page


def test_of_many_classes_only_the_weakest_are_shown():
    page = evaluated(tuple(f"class {number:03d}" for number in range(200)), 400)._repr_html_()
    assert "180 more classes with a higher recall." in page
    assert len(page) < 30_000
