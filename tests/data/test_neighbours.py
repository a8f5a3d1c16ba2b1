"""Near vectors are found: all of them where every pair is compared, nearly all where trees divide them."""

import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from telltale.data.groups import connect
from telltale.data.neighbours import EXACT, MOST_NEIGHBOURS, find_nearest, find_pairs

VECTORS = arrays(np.int8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24), elements=st.integers(-4, 4))


def brute(vectors, radius, scale):
    """Distance of each pair within `radius`."""
    values = vectors.astype(np.float64) * scale
    apart = np.linalg.norm(values[:, None] - values[None], axis=2)
    left, right = np.nonzero(np.triu(apart <= radius, 1))
    return dict(zip(zip(left.tolist(), right.tolist(), strict=True), apart[left, right].tolist(), strict=True))


def as_dict(pairs):
    return dict(zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.distance.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(vectors=VECTORS, radius=st.sampled_from([0.05, 0.31, 0.55, 1.03, 3.0]), scale=st.sampled_from([0.1, 0.2]))
def test_few_vectors_are_compared_pair_by_pair(vectors, radius, scale):
    expected, found = brute(vectors, radius, scale), as_dict(find_pairs(vectors, radius, scale=scale))
    assert found.keys() <= expected.keys()
    assert all(abs(expected[pair] - distance) < 1e-3 for pair, distance in found.items())
    # Of equal rows only the first one is paired with others, and each of the others with it.
    first = [int(np.flatnonzero((vectors == row).all(axis=1))[0]) for row in vectors]
    needed = {pair for pair in expected if (first[pair[0]], first[pair[1]]) == pair or first[pair[1]] == pair[0]}
    assert found.keys() == needed
    assert list(found) == sorted(found)


@settings(max_examples=60, deadline=None)
@given(vectors=VECTORS, radius=st.sampled_from([0.05, 0.31, 1.03]))
def test_what_brute_force_connects_is_connected(vectors, radius):
    pairs = find_pairs(vectors, radius, scale=0.1)
    every = np.array(list(brute(vectors, radius, 0.1)), np.int64).reshape(-1, 2)
    expected = connect(len(vectors), every[:, 0], every[:, 1])
    assert connect(len(vectors), pairs.left, pairs.right).tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(0, 64), (1, 64)], ids=["none", "one"])
def test_too_few_for_a_pair(shape):
    pairs = find_pairs(np.zeros(shape, np.int8), 1.0)
    assert len(pairs) == 0 and (pairs.left.dtype, pairs.distance.dtype) == (np.int64, np.float32)


@pytest.fixture(scope="module")
def many():
    """More vectors than are compared pair by pair, with 400 planted pairs and 300 equal ones at the end."""
    rng = np.random.default_rng(0)
    vectors = rng.integers(-60, 60, (EXACT + 4_000, 64)).astype(np.int8)
    chosen = rng.permutation(len(vectors))[:400]
    step = rng.normal(size=(400, 64))
    step *= (0.4 / np.linalg.norm(step, axis=1)[:, None]) * 127 * rng.uniform(0.1, 1, (400, 1))
    near = np.clip(np.rint(vectors[chosen] + step * 0.97), -127, 127).astype(np.int8)
    equal = rng.permutation(len(vectors))[:300]
    vectors = np.concatenate([vectors, near, vectors[equal]])
    return vectors, chosen, equal, find_pairs(vectors, 0.42, scale=1 / 127)


def test_trees_find_nearly_all_planted_pairs_and_every_equal_one(many):
    vectors, chosen, equal, pairs = many
    found = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    start = len(vectors) - 700
    assert {(row, start + 400 + number) for number, row in enumerate(equal.tolist())} <= found
    recall = sum((row, start + number) in found for number, row in enumerate(chosen.tolist())) / 400
    assert recall >= 0.98
    assert len(found) == len(pairs) <= 700
    values = vectors.astype(np.float64) / 127
    exact = np.linalg.norm(values[pairs.left] - values[pairs.right], axis=1)
    np.testing.assert_allclose(pairs.distance, exact, atol=2e-3)
    assert exact.max() <= 0.4201


def test_the_same_seed_finds_the_same(many):
    one, again = many[3], find_pairs(many[0], 0.42, scale=1 / 127)
    np.testing.assert_array_equal(one.left, again.left)
    np.testing.assert_array_equal(one.right, again.right)


@pytest.mark.parametrize("count", [3_000, EXACT + 1], ids=["pair by pair", "trees"])
def test_thousands_that_all_look_alike_stay_one_group_of_bounded_size(count):
    rng = np.random.default_rng(1)
    vectors = np.clip(rng.integers(-60, 60, 64) + rng.integers(-2, 3, (count, 64)), -127, 127).astype(np.int8)
    start = time.process_time()
    pairs = find_pairs(vectors, 0.42, scale=1 / 127)
    assert time.process_time() - start < 60, "sorting all pairs took minutes"
    assert count - 1 <= len(pairs) <= 2 * MOST_NEIGHBOURS * count
    assert not connect(count, pairs.left, pairs.right).any()


def test_of_too_many_neighbours_the_closest_are_kept():
    vectors = np.zeros((100, 4), np.int8)
    vectors[:, 0] = np.arange(100)
    pairs = find_pairs(vectors, 1000.0)
    for row in range(100):
        mine = sorted(pairs.right[pairs.left == row].tolist())
        assert mine == list(range(row + 1, min(100, row + 1 + MOST_NEIGHBOURS)))


@settings(max_examples=100, deadline=None)
@given(queries=VECTORS, points=VECTORS, radius=st.sampled_from([0.0, 0.31, 0.55, 3.0]))
def test_the_nearest_is_found(queries, points, radius):
    width = min(queries.shape[1], points.shape[1])
    queries, points = queries[:, :width], points[:, :width]
    found = find_nearest(queries, points, radius, scale=0.1)
    apart = np.linalg.norm((queries[:, None].astype(float) - points[None]) * 0.1, axis=2)
    for row, other in enumerate(found.tolist()):
        if other < 0:
            assert apart[row].min() > radius - 1e-3
        else:
            assert apart[row, other] <= apart[row].min() + 1e-3 and apart[row, other] <= radius + 1e-3


def test_the_nearest_in_later_blocks_is_found_and_of_none_there_is_none():
    points = np.random.default_rng(2).integers(-100, 100, (5_000, 64)).astype(np.int8)
    assert find_nearest(points[::-1], points, 0.1).tolist() == list(range(4_999, -1, -1))
    assert find_nearest(points[:3], points[:0], 9.0).tolist() == [-1] * 3
    assert find_nearest(points[:0], points, 9.0).tolist() == []
