"""Prediction sets have the true class in them as often as is said."""

import numpy as np
import pytest

from telltale.evaluation.conformal import check_sets, find_set_threshold
from telltale.model.head import softmax
from telltale.model.rejection import RejectRule, prediction_sets


def draw(count, classes, rng):
    logits = rng.normal(0, 1.5, (count, classes))
    labels = (softmax(logits).cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(0, classes - 1)
    return softmax((2 * logits).astype(np.float32)), labels  # too certain: coverage must not need calibration


def rule(threshold, nominal=0.9):
    return RejectRule(0.99, 0.9, np.inf, nominal, threshold, 1, True)


@pytest.mark.parametrize(("classes", "nominal"), [(2, 0.9), (5, 0.95), (5, 0.8)])
def test_coverage_is_within_a_point_of_nominal_over_200_resamplings(classes, nominal):
    rng = np.random.default_rng(7)
    held = []
    for _ in range(200):
        probabilities, labels = draw(900, classes, rng)
        threshold = find_set_threshold(probabilities[:400], labels[:400], nominal)
        held.append(check_sets(labels[400:], probabilities[400:], rule(threshold)).coverage.value)
    assert nominal - 0.005 < np.mean(held) < nominal + 0.01


@pytest.mark.parametrize(("count", "place"), [(99, 95), (100, 96), (19, 19), (1000, 951)])
def test_the_quantile_is_that_of_a_finite_sample(count, place):
    own = np.linspace(0.99, 0.01, count)
    table = np.stack([own, 1 - own], axis=1)
    assert find_set_threshold(table, np.zeros(count, np.int64), 0.95) == own[place - 1]


@pytest.mark.parametrize("count", [0, 1, 18])
def test_too_few_pictures_put_every_class_into_every_set(count):
    table = np.full((count, 2), 0.5)
    assert find_set_threshold(table, np.zeros(count, np.int64), 0.95) == 0.0


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1, 2])
def test_a_coverage_is_a_share(coverage):
    with pytest.raises(ValueError, match="between 0 and 1"):
        find_set_threshold(np.ones((3, 1)), np.zeros(3, np.int64), coverage)


def test_the_check_counts_sizes():
    table = np.array([[0.8, 0.1, 0.1], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.3, 0.3, 0.3]], np.float32)
    check = check_sets(np.array([0, 1, 0, 2]), table, rule(0.35, 0.75))
    assert check.sizes == {0: 1, 1: 1, 2: 2}
    assert check.mean_size == 1.25
    assert check.nominal == 0.75
    assert check.coverage.value == 0.5
    assert sum(check.sizes.values()) == 4
    assert prediction_sets(rule(0.35), table).sum() == 5
    empty = check_sets(np.zeros(0, np.int64), table[:0], rule(0.35))
    assert (empty.mean_size, empty.sizes, empty.coverage.high) == (0.0, {}, 1.0)


def test_the_coverage_counts_groups():
    probabilities, labels = draw(100, 3, np.random.default_rng(5))
    probabilities, labels = np.repeat(probabilities, 4, axis=0), np.repeat(labels, 4)
    alone = check_sets(labels, probabilities, rule(0.2))
    found = check_sets(labels, probabilities, rule(0.2), np.repeat(np.arange(100), 4))
    assert check_sets(labels, probabilities, rule(0.2), np.arange(400)) == alone
    assert (found.sizes, found.coverage.value) == (alone.sizes, pytest.approx(alone.coverage.value))
    assert found.coverage.high - found.coverage.low > 1.5 * (alone.coverage.high - alone.coverage.low)
