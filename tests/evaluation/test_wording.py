"""The verdict in sentences: it says what it compares with, and leaves out what says nothing."""

from dataclasses import replace

import numpy as np
import pytest
from tests.delivery.report_example import evaluated, with_trust

from telltale.evaluation.evaluation import score
from telltale.evaluation.wording import describe, describe_refusals


@pytest.mark.parametrize(
    ("right", "end"),
    [
        (95, "would be 80.0 % right."),
        (82, "That is not surely better than always saying the same."),
        (60, "That is worse than always saying the same."),
    ],
)
def test_the_baseline_is_named_in_the_comparison(right, end):
    labels = np.array([0] * 80 + [1] * 20)
    said = np.where(np.arange(100) < right, labels, 1 - labels)
    assert describe(score(labels, np.eye(2)[said], ["cat", "dog"])).endswith(end)


def test_two_pictures_are_too_few_to_beat_the_majority():
    assert describe(score(np.array([0, 1]), np.eye(2), ["cat", "dog"])) == (
        "On 2 pictures: 100.0 % right, 95 % interval 34.2 to 100.0 %. Always saying 'cat' would be 50.0 % right. "
        "That is not surely better than always saying the same."
    )


def test_pictures_of_one_class_are_not_compared_with_always_saying_it():
    one = score(np.zeros(5, np.int64), np.eye(2)[np.zeros(5, np.int64)], ["cat", "dog"])
    assert "lways saying" not in describe(one)


@pytest.mark.parametrize(
    ("unsure", "unlike", "end"),
    [
        (0, 1, "; 1 is unlike what it knows."),
        (3, 0, "; 3 it is not sure of."),
        (0, 0, "; none is refused."),
        (3, 2, "; 3 it is not sure of and 2 are unlike what it knows."),
    ],
)
def test_refusals_leave_zeros_out(unsure, unlike, end):
    test = with_trust(evaluated())
    (words,) = describe_refusals(replace(test, selective=replace(test.selective, unsure=unsure, unlike=unlike)))
    assert words.endswith(end)
