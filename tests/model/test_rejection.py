"""The reject rule: what is accepted, what is unsure, what is unlike, and which classes are in a set."""

import json
import math

import numpy as np
import pytest

from telltale.model.rejection import ACCEPTED, UNLIKE, UNSURE, RejectRule, judge, prediction_sets
from telltale.values import from_plain, to_plain

RULE = RejectRule(0.99, 0.9, 2.0, 0.95, 0.3, 500, True)


@pytest.mark.parametrize(
    ("row", "strange", "verdict"),
    [
        ([0.95, 0.05], 1.0, ACCEPTED),
        ([0.1, 0.9], 2.0, ACCEPTED),
        ([0.11, 0.89], 1.0, UNSURE),
        ([1.0, 0.0], 2.1, UNLIKE),
        ([0.5, 0.5], 2.1, UNLIKE),
        ([1.0, 0.0], math.nan, UNLIKE),
        ([math.nan, math.nan], 1.0, UNSURE),
        ([1.0, 0.0], math.inf, UNLIKE),
    ],
)
def test_what_is_accepted(row, strange, verdict):
    verdicts = judge(RULE, np.array([row], np.float32), np.array([strange], np.float32))
    assert verdicts.tolist() == [verdict]
    assert verdicts.dtype == np.int8


def test_without_a_strangeness_only_probabilities_count():
    table = np.array([[1.0, 0.0], [0.6, 0.4]], np.float32)
    assert judge(RULE, table, None).tolist() == [ACCEPTED, UNSURE]
    assert judge(RULE, table[:0], None).shape == (0,)


def test_a_threshold_that_came_from_float32_accepts_its_own_picture():
    table = np.random.default_rng(0).dirichlet([1, 1, 1], 300).astype(np.float32)
    for row in range(300):
        rule = RejectRule(0.9, float(table[row].max()), math.inf, 0.9, float(table[row].min()), 3, False)
        assert judge(rule, table, None)[row] == ACCEPTED
        assert prediction_sets(rule, table)[row].all()


def test_sets_hold_every_class_that_is_probable_enough():
    table = np.array([[0.3, 0.3, 0.4], [0.98, 0.01, 0.01], [0.29, 0.42, 0.29]])
    assert prediction_sets(RULE, table).sum(axis=1).tolist() == [3, 1, 1]
    assert not prediction_sets(RejectRule(0.99, 0.9, 2.0, 0.5, 0.99, 9, False), table).any(), "sets may be empty"


@pytest.mark.parametrize("limit", [2.0, math.inf])
def test_a_rule_survives_json(limit):
    rule = RejectRule(0.99, 0.9, limit, 0.95, 0.3, 500, True)
    assert from_plain(RejectRule, json.loads(json.dumps(to_plain(rule), allow_nan=False))) == rule


def test_a_damaged_rule_is_told():
    values = to_plain(RULE)
    with pytest.raises(TypeError, match="threshold"):
        from_plain(RejectRule, {name: value for name, value in values.items() if name != "threshold"})
    with pytest.raises(ValueError, match="high"):
        from_plain(RejectRule, values | {"threshold": "high"})
