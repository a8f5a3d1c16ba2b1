"""Random numbers of pictures: from seed, epoch, row and name only, evenly spread, and of the right distributions."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from telltale.batches.chance import Chance
from telltale.batches.changes import Term, parse_term

ROWS = np.arange(20_000)


def correlation(one, other):
    return abs(np.corrcoef(one, other)[0, 1])


@given(
    st.integers(0, 2**70), st.integers(0, 2**40), st.lists(st.integers(0, 2**62), min_size=1, max_size=40), st.data()
)
def test_a_picture_draws_the_same_in_every_batch(seed, epoch, rows, data):
    rows = np.array(rows)
    order = np.array(data.draw(st.permutations(range(len(rows)))))[: data.draw(st.integers(1, len(rows)))]
    whole, part = Chance(seed, epoch, rows), Chance(seed, epoch, rows[order])
    assert np.array_equal(whole.table("zoom", 5)[:, order], part.table("zoom", 5))
    assert np.array_equal(
        whole.beta("mixup", np.full(len(rows), 0.3))[order], part.beta("mixup", np.full(len(part), 0.3))
    )
    term = parse_term("zoom=0.5@0.3")
    assert np.array_equal(whole.values(term)[order], part.values(term))
    assert np.array_equal(whole.happens(term)[order], part.happens(term))


def test_numbers_are_what_they_were():
    """Where this fails, every training with augmentation gives other weights than before."""
    numbers = Chance(3, 2, np.array([0, 1, 10**12])).table("zoom", 2)
    assert numbers.round(6).tolist() == [[0.003048, 0.067533, 0.434111], [0.473768, 0.863639, 0.455639]]


def test_numbers_are_even_from_0_to_below_1():
    numbers = np.sort(Chance(0, 1, ROWS).numbers("zoom"))
    assert numbers[0] >= 0 and numbers[-1] < 1
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed once in a thousand.
    assert np.abs(numbers - (np.arange(len(ROWS)) + 0.5) / len(ROWS)).max() < 1.95 / len(ROWS) ** 0.5


@pytest.mark.parametrize(
    "other",
    [Chance(1, 1, ROWS), Chance(0, 2, ROWS), Chance(0, 1, ROWS + 1), Chance(0, 1, ROWS + len(ROWS))],
    ids=["seed", "epoch", "next row", "far row"],
)
def test_another_seed_epoch_or_row_draws_something_else(other):
    numbers = Chance(0, 1, ROWS).numbers("zoom")
    assert correlation(numbers, other.numbers("zoom")) < 0.03
    assert len(np.intersect1d(numbers, other.numbers("zoom"))) in (0, len(ROWS) - 1)


def test_names_and_places_in_a_table_are_independent():
    chance = Chance(0, 1, ROWS)
    first, second = chance.table("zoom", 2)
    assert correlation(first, second) < 0.03
    assert correlation(first, chance.numbers("shift")) < 0.03
    assert correlation(chance.values(parse_term("shift")), chance.values(parse_term("shift"), "down")) < 0.03
    assert np.array_equal(first, chance.numbers("zoom"))


@pytest.mark.parametrize("probability", [0, 0.1, 0.5, 1])
def test_a_term_happens_with_its_probability(probability):
    share = Chance(0, 1, ROWS).happens(Term("flip", 0, 0, probability)).mean()
    assert abs(share - probability) <= 4 * (probability * (1 - probability) / len(ROWS)) ** 0.5


def test_values_lie_in_their_range_and_factors_are_even_in_their_logarithm():
    chance = Chance(0, 1, ROWS)
    angles = chance.values(parse_term("rotation=20"))
    assert -20 <= angles.min() < -19.9 and 19.9 < angles.max() <= 20
    assert abs(angles.mean()) < 0.4
    factors = chance.values(parse_term("zoom=0.25:4"))
    assert 0.25 <= factors.min() < 0.26 and 3.9 < factors.max() <= 4.0001
    assert abs((factors < 1).mean() - 0.5) < 0.02
    assert abs((factors < 0.5).mean() - 0.25) < 0.02


@pytest.mark.parametrize("a", [0.05, 0.2, 1, 4])
def test_beta_numbers_have_the_quantiles_of_numpys(a):
    ours = np.sort(Chance(0, 1, ROWS).beta("mixup", np.full(len(ROWS), a)))
    theirs = np.sort(np.random.default_rng(0).beta(a, a, len(ROWS)))
    assert np.isfinite(ours).all() and ours.min() >= 0 and ours.max() <= 1
    # Two samples: the distance of their distributions where either has a number.
    both = np.concatenate([ours, theirs])
    distance = np.abs(np.searchsorted(ours, both, "right") - np.searchsorted(theirs, both, "right")).max() / len(ROWS)
    assert distance < 1.95 * (2 / len(ROWS)) ** 0.5
