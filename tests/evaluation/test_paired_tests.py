"""Paired tests and intervals: what scipy says, what the papers' tables say, and the coverage that is promised."""

import itertools

import numpy as np
import pytest
from scipy import stats

from telltale.evaluation.metrics import WORST
from telltale.evaluation.paired_tests import (
    accuracy_difference,
    design_effect,
    flip_test,
    group_sums,
    holm,
    mean_difference,
    newcombe,
    pictures_needed,
    student,
)


def signs(gains: int, losses: int) -> np.ndarray:
    """Differences of single pictures."""
    return np.array([1] * gains + [-1] * losses + [0] * 20)


@pytest.mark.parametrize(("gains", "losses"), [(0, 0), (1, 0), (5, 12), (12, 5), (7, 7), (40, 3), (900, 1010)])
def test_mcnemar_is_a_binomial_test_of_the_pictures_that_differ(gains, losses):
    expected = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert flip_test(signs(gains, losses)) == pytest.approx(expected, rel=1e-9)


def test_a_hundred_thousand_differences_are_still_exact():
    found = flip_test(signs(51_000, 50_000))
    assert found == pytest.approx(stats.binomtest(50_000, 101_000).pvalue, rel=1e-6)


@pytest.mark.parametrize("sums", [[3, 2, -1, 1, 1, -2], [5], [2, 2, -2], [4, 0, 0, 1], [-7, 3, 2, 2, 1]])
def test_groups_are_flipped_as_wholes_in_all_possible_ways(sums):
    ways = [
        abs(sum(s * one for s, one in zip(way, sums, strict=True)))
        for way in itertools.product((1, -1), repeat=len(sums))
    ]
    expected = np.mean([far >= abs(sum(sums)) for far in ways])
    assert flip_test(np.array(sums)) == pytest.approx(expected, abs=1e-12)


def test_many_unequal_groups_are_as_good_as_normal():
    rng = np.random.default_rng(0)
    sums = rng.integers(-9, 10, 6000)
    sums[:25] = 9
    flips = rng.choice(np.array([-1, 1], np.int8), (1000, len(sums))) @ sums.astype(np.float32)
    assert np.abs(sums).sum() > 20_000
    assert flip_test(sums) == pytest.approx(np.mean(np.abs(flips) >= abs(sums.sum())), abs=0.05)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [  # both right, only second, only first, neither: computed by hand from the paper's formulas for method 10
        ((20, 12, 2, 16), "0.200 [0.056, 0.329]"),
        ((2, 12, 2, 34), None),
    ],
)
def test_newcombe_is_as_in_the_paper(cells, expected):
    both, second, first, neither = cells
    found = newcombe(both, first, second, neither)
    assert expected is None or str(found) == expected
    turned = newcombe(both, second, first, neither)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert found.low < found.value < found.high


@pytest.mark.parametrize("right", [np.ones(50, bool), np.zeros(50, bool), np.arange(50) < 30])
def test_two_that_never_differ_may_still_differ_on_others(right):
    found = accuracy_difference(right, right)
    assert found.value == 0
    assert found.low < 0 < found.high
    assert found.high < 0.15


@pytest.mark.parametrize("pictures", [50, 250, 1000])
@pytest.mark.parametrize("difference", [0.0, 0.05])
def test_the_interval_of_the_accuracy_covers_what_it_says(pictures, difference):
    rng = np.random.default_rng(pictures)
    cells = rng.multinomial(pictures, [0.8, 0.05, 0.05 + difference, 0.1 - difference], size=1500)
    found = [newcombe(*map(float, one)) for one in cells]
    assert 0.93 <= np.mean([one.low <= difference <= one.high for one in found]) <= 0.98


def draw_groups(rng, groups):
    """Group numbers and what two got right; pictures of a group are mostly alike, and the second is better by 0.03."""
    numbers = np.repeat(np.arange(groups), rng.integers(1, 10, groups))
    same = rng.random(len(numbers)) < 0.8
    chance = np.where(same, rng.random(groups)[numbers], rng.random(len(numbers)))
    return numbers, chance < 0.85, (chance < 0.80) | ((chance >= 0.85) & (chance < 0.93))


def test_with_groups_the_interval_covers_and_without_them_it_would_not():
    rng = np.random.default_rng(0)
    grouped, alone = [], []
    for _ in range(500):
        groups, first, second = draw_groups(rng, 100)
        for found, given in ((grouped, groups), (alone, None)):
            one = accuracy_difference(first, second, given)
            found.append(one.low <= 0.03 <= one.high)
    assert 0.93 <= np.mean(grouped) <= 0.985
    assert np.mean(alone) < 0.8


def test_with_groups_the_test_is_wrong_as_often_as_it_says():
    rng, wrong, alone = np.random.default_rng(1), [], []
    for _ in range(500):
        groups, first, second = draw_groups(rng, 60)
        flips = rng.choice([-1, 1], 60)[groups]
        difference = flips * (second.astype(int) - first)
        wrong.append(flip_test(group_sums(difference, groups)) < 0.05)
        alone.append(flip_test(difference) < 0.05)
    assert np.mean(wrong) < 0.07
    assert np.mean(alone) > 0.15


@pytest.mark.parametrize("groups", [0, 100])
def test_the_interval_of_the_log_loss_covers_what_it_says(groups):
    rng, covered = np.random.default_rng(2), []
    for seed in range(200):
        numbers = np.repeat(np.arange(groups), rng.integers(1, 4, groups)) if groups else None
        count = len(numbers) if groups else 250
        losses = rng.gamma(0.5, 1, count) - rng.gamma(0.5, 0.5, count)
        losses = losses + rng.normal(0, 0.5, groups)[numbers] if groups else losses
        found = mean_difference(losses, numbers, seed)
        covered.append(found.low <= 0.25 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_above_twenty_thousand_pictures_nothing_is_drawn_and_the_interval_is_the_same():
    losses = np.random.default_rng(3).gamma(0.5, 1, 20_001)
    drawn, computed = mean_difference(losses[:-1]), mean_difference(losses)
    assert mean_difference(losses, seed=1) == computed
    assert (computed.low, computed.high) == pytest.approx((drawn.low, drawn.high), abs=3e-3)


def test_of_one_group_nothing_is_known():
    one = mean_difference(np.ones(5), np.zeros(5, int))
    assert (one.value, one.low, one.high) == (1, -WORST, WORST)
    assert accuracy_difference(np.ones(5, bool), np.zeros(5, bool), np.zeros(5, int)).high > 0.5
    assert design_effect(np.array([1, -1, 0]), np.zeros(3, int)) == 3


def test_groups_of_one_picture_are_no_groups():
    rng = np.random.default_rng(4)
    first, second = rng.random((2, 5000)) < 0.8
    alone, grouped = accuracy_difference(first, second), accuracy_difference(first, second, np.arange(5000))
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high), abs=1e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 20, 1000])
def test_student_is_as_scipy_has_it(freedom):
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def test_holm_corrects_the_smallest_most_and_keeps_the_order():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]


@pytest.mark.parametrize(("only_first", "only_second"), [(0.02, 0.06), (0.1, 0.15)])
def test_with_the_pictures_that_are_needed_four_of_five_tests_find_it(only_first, only_second):
    count = pictures_needed(only_first + only_second, only_second - only_first)
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(count, [only_first, only_second, 1 - only_first - only_second], size=1000)
    found = [flip_test(np.repeat([-1, 1], one[:2])) < 0.05 for one in drawn]
    assert 0.72 <= np.mean(found) <= 0.87  # the exact test is a little cautious


def test_more_pictures_are_needed_for_several_tests_and_for_groups_and_none_for_nothing():
    alone = pictures_needed(0.08, 0.04)
    assert pictures_needed(0.08, 0.04, comparisons=6) > 1.3 * alone
    assert pictures_needed(0.08, 0.04, effect=3) == pytest.approx(3 * alone, rel=0.05)
    assert pictures_needed(0.08, 0.0) == 0
