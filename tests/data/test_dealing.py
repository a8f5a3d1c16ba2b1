"""Whatever the units are, they stay whole, and every part has its share of every class as nearly as they allow."""

import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from telltale.data.dealing import deal

THREE = (0.7, 0.15, 0.15)
SHARES = st.sampled_from([THREE, (0.85, 0.15), (0.5, 0.5), (0.34, 0.33, 0.33), (0.6, 0.1, 0.3)])
UNITS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=40)
"""Class and size of units of one class each."""
MIXED = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 3)), min_size=1, max_size=60)
"""Unit and class of samples."""


def unfold(drawn):
    """Unit and class of every sample."""
    sizes = [size for _, size in drawn]
    units = np.repeat(np.arange(len(drawn)) * 7 + 3, sizes)
    return units, np.repeat(np.array([code for code, _ in drawn], np.int32), sizes)


def counts(part, codes, parts):
    """Samples by class (row) and part."""
    return np.stack([np.bincount(part[codes == code], minlength=parts) for code in range(codes.max() + 1)])


@settings(max_examples=200, deadline=None)
@given(drawn=UNITS, shares=SHARES, spread=st.booleans(), seed=st.integers(0, 5))
def test_units_of_one_class(drawn, shares, spread, seed):
    units, codes = unfold(drawn)
    part = deal(units, codes, shares, seed=seed, spread=spread)
    assert len(part) == len(units) and 0 <= part.min() and part.max() < len(shares)
    assert all(len(set(part[units == unit])) == 1 for unit in np.unique(units)), "a unit is never parted"
    goal = np.array(shares) / sum(shares)
    for code, found in enumerate(counts(part, codes, len(shares))):
        mine = units[codes == code]
        sizes = np.unique(mine, return_counts=True)[1]
        if not len(mine):
            continue
        if len(sizes) >= len(shares):
            if not spread:
                assert found.min() > 0, "where there are enough units every part has one"
            lent = int((goal * len(mine) < sizes.max()).sum())  # a part that would stay empty is given a unit
            assert np.abs(found - goal * len(mine)).max() <= sizes.max() * (1 + lent)
        elif not spread:
            assert found[0] > 0 and not found[1:-1].any(), "few units: learned first, then tested"


@settings(max_examples=200, deadline=None)
@given(rows=MIXED, shares=SHARES, spread=st.booleans(), seed=st.integers(0, 5))
def test_units_of_several_classes_are_never_parted_either(rows, shares, spread, seed):
    units, codes = (np.array(side) for side in zip(*rows, strict=True))
    part = deal(units, codes.astype(np.int32), shares, seed=seed, spread=spread)
    assert 0 <= part.min() and part.max() < len(shares)
    assert all(len(set(part[units == unit])) == 1 for unit in np.unique(units))
    if not spread:
        assert (counts(part, codes, len(shares))[np.unique(codes), 0] > 0).all(), "every class is learned"


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4), folds=st.integers(2, 6), seed=st.integers(0, 5))
def test_single_samples_are_spread_evenly_over_folds(sizes, folds, seed):
    codes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    part = deal(np.arange(len(codes)), codes, (1.0,) * folds, seed=seed, spread=True)
    for code in range(len(sizes)):
        found = np.bincount(part[codes == code], minlength=folds)
        assert found.max() - found.min() <= 1


@settings(max_examples=100, deadline=None)
@given(drawn=UNITS, folds=st.integers(2, 5), seed=st.integers(0, 5))
def test_units_are_spread_over_folds_to_within_the_largest(drawn, folds, seed):
    units, codes = unfold(drawn)
    part = deal(units, codes, (1.0,) * folds, seed=seed, spread=True)
    for code, found in enumerate(counts(part, codes, folds)):
        sizes = np.unique(units[codes == code], return_counts=True)[1]
        if len(sizes):
            assert found.max() - found.min() <= 2 * sizes.max()
        if len(sizes) >= folds and len(set(sizes.tolist())) == 1:
            assert found.min() > 0


def test_folds_that_get_one_more_are_not_always_the_first():
    codes = np.repeat(np.arange(40, dtype=np.int32), 7)
    part = deal(np.arange(len(codes)), codes, (1.0,) * 5, seed=0, spread=True)
    assert np.ptp(np.bincount(part)) <= 25, "40 times 2 over among 5 folds: 56 each by and large"


@settings(max_examples=60, deadline=None)
@given(drawn=UNITS, shares=SHARES, seed=st.integers(0, 5))
def test_the_seed_decides_and_other_classes_do_not(drawn, shares, seed):
    units, codes = unfold(drawn)
    part = deal(units, codes, shares, seed=seed)
    np.testing.assert_array_equal(part, deal(units, codes, shares, seed=seed))
    more = deal(np.r_[units, 10_000 + np.arange(9)], np.r_[codes, np.full(9, codes.max(), np.int32)], shares, seed=seed)
    others = codes != codes.max()
    np.testing.assert_array_equal(part[others], more[: len(part)][others])


def test_another_seed_deals_otherwise():
    codes = np.zeros(100, np.int32)
    found = {tuple(deal(np.arange(100), codes, THREE, seed=seed)) for seed in range(5)}
    assert len(found) == 5


def test_what_the_numbers_of_units_are_does_not_matter():
    codes = np.repeat(np.arange(3, dtype=np.int32), 30)
    units = np.arange(90) // 2
    np.testing.assert_array_equal(deal(units, codes, THREE, seed=1), deal(units * 1000 + 5, codes, THREE, seed=1))


def test_nothing_to_deal():
    assert deal(np.zeros(0, np.int64), np.zeros(0, np.int32), THREE, seed=0).tolist() == []


@pytest.mark.parametrize("kind", ["singles", "units of one class"])
def test_200_000_samples_take_a_moment(kind):
    rng = np.random.default_rng(0)
    codes = np.sort(rng.integers(0, 100, 200_000)).astype(np.int32)
    units = np.arange(200_000) if kind == "singles" else codes * 100_000 + rng.integers(0, 700, 200_000)
    start = time.process_time()
    part = deal(units, codes, THREE, seed=0)
    assert time.process_time() - start < 5
    share = counts(part, codes, 3) / np.bincount(codes)[:, None]
    assert np.abs(share - THREE).max() < 0.01
