"""Which classes are taken for which others."""

import numpy as np
import pytest

from telltale.evaluation.confusions import most_confused
from telltale.evaluation.evaluation import score


def evaluate(confusion):
    confusion = np.array(confusion)
    rows, columns = np.nonzero(confusion)
    times = confusion[rows, columns]
    return score(
        np.repeat(rows, times), np.eye(len(confusion))[np.repeat(columns, times)], list("abcd")[: len(confusion)]
    )


CASES = [
    ("nothing is confused", [[5, 0], [0, 5]], []),
    ("once is chance", [[5, 1], [0, 5]], []),
    ("most often first", [[5, 2, 0], [3, 5, 0], [0, 0, 1]], [("b", "a", 3, 8), ("a", "b", 2, 7)]),
    ("of equal ones the larger share", [[9, 2, 0], [0, 5, 0], [0, 2, 1]], [("c", "b", 2, 3), ("a", "b", 2, 11)]),
    ("a class without pictures", [[0, 0], [2, 0]], [("b", "a", 2, 2)]),
]


@pytest.mark.parametrize(("confusion", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_frequent_mistakes_are_named(confusion, expected):
    found = most_confused(evaluate(confusion))
    assert [(one.true, one.predicted, one.times, one.support) for one in found] == expected


def test_only_so_many_as_asked_for():
    assert len(most_confused(evaluate([[1, 2, 3], [2, 1, 3], [2, 3, 1]]), 4)) == 4
