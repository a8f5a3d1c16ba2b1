"""Accepting what is sure: the wanted precision holds on new pictures, and nothing is refused without need."""

import numpy as np
import pytest
from scipy import stats

from telltale.evaluation.selective import NEVER, POINTS, check_selective, choose_threshold
from telltale.model.rejection import ACCEPTED, UNLIKE, UNSURE, RejectRule, judge


def draw(count, rng, *, harder=0.0):
    """Confidences of a classifier of two classes that is 96 % right, and which of them are right."""
    margins = np.abs(rng.normal(0, 7, count)) * np.exp(rng.normal(0, 0.3, count))
    confidence = 1 / (1 + np.exp(-margins))
    return confidence, rng.random(count) < 1 / (1 + np.exp(harder - margins))


def bound(accepted, wrong):
    """Clopper and Pearson's lower end, one-sided 95 %."""
    return np.where(wrong < accepted, stats.beta.ppf(0.05, np.maximum(accepted - wrong, 1), wrong + 1), 0)


@pytest.mark.parametrize("precision", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("count", [50, 300, 2500])
def test_the_threshold_is_the_lowest_that_is_assured(count, precision):
    for seed in range(5):
        confidence, right = draw(count, np.random.default_rng(seed), harder=1.0)
        order = np.argsort(-confidence)
        wrong = np.cumsum(~right[order])
        shown = bound(np.arange(1, count + 1), wrong) >= precision
        threshold, assured = choose_threshold(confidence, right, precision)
        assert assured == shown.any()
        if assured:
            assert threshold == confidence[order][np.flatnonzero(shown)[-1]]


@pytest.mark.parametrize(("count", "often", "assures"), [(400, 0.7, False), (2000, 0.88, True)])
def test_the_precision_holds_on_new_pictures(count, often, assures):
    rng = np.random.default_rng(0)
    new, right = draw(100_000, rng)
    holds, accepted, assured = [], [], []
    for _ in range(60):
        threshold, sure = choose_threshold(*draw(count, rng), 0.99)
        taken = new >= threshold
        holds.append(right[taken].mean() >= 0.99)
        accepted.append(taken.mean())
        assured.append(sure)
    assert np.mean(holds) > often
    assert np.mean(accepted) > 0.5
    assert not assures or all(assured)


@pytest.mark.parametrize("count", [1, 5, 60, 298])
def test_few_pictures_assure_nothing_but_are_not_refused(count):
    confidence = np.linspace(0.995, 1, count)
    threshold, assured = choose_threshold(confidence, np.ones(count, bool), 0.99)
    assert not assured, "299 right of 299 are needed to show 0.99"
    assert threshold == confidence.min()
    assert choose_threshold(np.ones(299), np.ones(299, bool), 0.99) == (1.0, True)


def test_where_nothing_is_assured_calibrated_probabilities_have_a_say():
    confidence = np.array([0.999, 0.995, 0.99, 0.9, 0.6])
    assert choose_threshold(confidence, np.ones(5, bool), 0.99) == (0.99, False)
    low = np.array([0.5, 0.4, 0.3])
    assert choose_threshold(low, np.array([True, True, False]), 0.99) == (0.4, False), "they are of no help here"


def test_where_even_the_surest_are_wrong_nothing_is_accepted():
    threshold, assured = choose_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.99)
    assert (threshold, assured) == (NEVER, False)
    assert choose_threshold(np.zeros(0), np.zeros(0, bool), 0.99) == (NEVER, False)
    rule = RejectRule(0.99, threshold, np.inf, 0.95, 0.5, 2, assured)
    assert judge(rule, np.array([[1.0, 0.0]]), None).tolist() == [UNSURE]


def test_equal_confidences_are_accepted_together_or_not_at_all():
    confidence = np.repeat([0.99, 0.9], [500, 500])
    right = np.ones(1000, bool)
    right[500:540] = False
    assert choose_threshold(confidence, right, 0.94) == (0.9, True)
    assert choose_threshold(confidence, right, 0.98) == (0.99, True)
    everything = np.ones(400)
    assert choose_threshold(everything, np.arange(400) > 20, 0.99) == (NEVER, False)


def table(confidence, right):
    labels = np.where(right, 0, 1)
    return labels, np.stack([confidence, 1 - confidence], axis=1)


def test_the_check_counts_what_the_rule_does():
    confidence, right = np.array([0.99, 0.95, 0.8, 0.99, 0.7]), np.array([True, False, True, True, False])
    labels, probabilities = table(confidence, right)
    rule = RejectRule(0.9, 0.9, 2.0, 0.95, 0.5, 100, True)
    verdicts = judge(rule, probabilities, np.array([1, 1, 1, 3, 1]))
    found = check_selective(labels, probabilities, verdicts, rule)
    assert (found.accepted, found.unsure, found.unlike) == (2, 2, 1)
    assert found.coverage.value == 0.4
    assert found.accuracy.value == 0.5
    assert [(point.coverage, point.accuracy.value) for point in found.curve] == [
        (0.2, 1),
        (0.4, 0.5),
        (0.6, 2 / 3),
        (0.8, 0.5),
    ]
    assert (found.precision, found.threshold) == (0.9, 0.9)


def test_the_curve_is_short_and_true():
    rng = np.random.default_rng(2)
    confidence, right = draw(5000, rng)
    confidence = confidence.round(3)  # many equal ones
    labels, probabilities = table(confidence, right)
    verdicts = np.where(rng.random(5000) < 0.1, UNLIKE, ACCEPTED).astype(np.int8)
    curve = check_selective(labels, probabilities, verdicts, RejectRule(0.9, 0, 2, 0.95, 0.5, 1, True)).curve
    assert 10 < len(curve) <= POINTS
    known = verdicts != UNLIKE
    for point in curve:
        taken = known & (confidence >= point.threshold)
        assert point.coverage == pytest.approx(taken.mean())
        assert point.accuracy.value == pytest.approx(right[taken].mean())
    assert curve[-1].coverage == pytest.approx(known.mean())


def test_where_all_is_unlike_there_is_no_curve():
    labels, probabilities = table(np.array([0.9, 0.8]), np.array([True, True]))
    found = check_selective(
        labels, probabilities, np.full(2, UNLIKE, np.int8), RejectRule(0.9, 0, 2, 0.95, 0.5, 1, True)
    )
    assert found.curve == ()
    assert (found.accuracy.low, found.accuracy.high) == (0.0, 1.0)


def test_pictures_of_a_group_are_one_witness():
    rng = np.random.default_rng(4)
    confidence, right = draw(120, rng)
    confidence, right = np.repeat(confidence, 5), np.repeat(right, 5)
    labels, probabilities = table(confidence, right)
    rule = RejectRule(0.9, 0.9, 2.0, 0.95, 0.5, 100, True)
    verdicts = judge(rule, probabilities, None)
    patients = np.repeat(np.arange(120) * 3, 5)  # numbers may have gaps
    alone = check_selective(labels, probabilities, verdicts, rule)
    found = check_selective(labels, probabilities, verdicts, rule, patients)
    assert check_selective(labels, probabilities, verdicts, rule, np.arange(600)) == alone
    pairs = [(found.coverage, alone.coverage), (found.accuracy, alone.accuracy)]
    pairs += [(one.accuracy, two.accuracy) for one, two in zip(found.curve[5:], alone.curve[5:], strict=True)]
    for wide, narrow in pairs:
        assert wide.value == pytest.approx(narrow.value)
        assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    strict = check_selective(labels, probabilities, np.full(600, UNSURE, np.int8), rule, patients)
    assert (strict.accuracy.low, strict.accuracy.high) == (0.0, 1.0)


def test_only_clusters_of_accepted_pictures_count_for_their_accuracy():
    """The refused ones are of a large group, the accepted ones each of their own."""
    confidence, right = np.repeat([0.95, 0.6], 40), np.arange(80) % 8 > 0
    labels, probabilities = table(confidence, right)
    rule = RejectRule(0.9, 0.9, 2.0, 0.95, 0.5, 100, True)
    verdicts = judge(rule, probabilities, None)
    clusters = np.minimum(np.arange(80), 40)
    alone = check_selective(labels, probabilities, verdicts, rule)
    found = check_selective(labels, probabilities, verdicts, rule, clusters)
    assert found.accuracy == alone.accuracy
    assert found.coverage != alone.coverage
