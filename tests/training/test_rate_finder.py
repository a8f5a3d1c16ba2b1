"""The rate that is suggested lies a tenth below where the loss gets worse for good."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from telltale.training.rate_finder import HIGHEST, LOWEST, STEPS, RateCurve, find_rise, smooth, suggest_rate

RATES = [LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1)) for number in range(STEPS)]


def losses(*, falls: float, until: float, noise: float = 0.0) -> list[float]:
    """The loss of each batch: from 1 down by `falls` as the rate grows, and up from the rate `until` on."""
    rng = np.random.default_rng(0)
    curve = [1 - falls * rate / until if rate <= until else 1 + 2 * math.log10(rate / until) for rate in RATES]
    return [loss + noise * rng.standard_normal() for loss in curve]


@pytest.mark.parametrize("until", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("falls", [0.0, 0.5], ids=["flat", "falling"])
@pytest.mark.parametrize("noise", [0.0, 0.2], ids=["smooth", "noisy"])
def test_a_tenth_of_where_it_rises(until, falls, noise):
    found = suggest_rate(RATES, losses(falls=falls, until=until, noise=noise))
    assert until / 10 <= found * 1.15 <= 8 * until / 10  # seen late, by the smoothing


def test_a_loss_that_never_rises_gives_a_tenth_of_the_highest():
    assert suggest_rate(RATES, losses(falls=0.9, until=HIGHEST)) == pytest.approx(0.1)


def test_weights_that_died_are_not_the_best_ones():
    # After the rise every answer is the same, at the loss of a guess.
    curve = [0.7] * 60 + [5.0] * 10 + [0.69] * 30
    assert suggest_rate(RATES, curve) == pytest.approx(RATES[59] / 10, rel=0.2)


@given(st.lists(st.floats(0, 100), max_size=40))
def test_any_losses_give_a_rate_that_can_be_used(found):
    rate = suggest_rate(RATES[: len(found)], found)
    assert LOWEST / 10 <= rate <= HIGHEST
    assert float(f"{rate:.1e}") == rate


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_smoothing_stays_between_the_least_and_the_greatest(found):
    assert all(min(found) - 1e-9 <= one <= max(found) + 1e-9 for one in smooth(found))


def test_a_curve_says_whether_the_loss_rose():
    assert "before the loss rises" in RateCurve((1e-3,), (1.0,), 1e-4).why
    assert "the loss rises at none of them" in RateCurve((1e-3,), (1.0,), 1e-4, rose=False).why
    assert find_rise(losses(falls=0.9, until=HIGHEST)) is None
    assert find_rise([]) is None
