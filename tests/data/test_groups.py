"""What pairs connect is one group, and no chain stretches a group beyond its reach."""

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from telltale.data.groups import connect, cut_chains, number_groups, same_values

PAIRS = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60)
    )
)


def sides(pairs):
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def union(count, pairs):
    """The smallest row of each row's group, one pair after the other."""
    label = list(range(count))
    for one, other in pairs:
        low, high = sorted((label[one], label[other]))
        label = [low if number == high else number for number in label]
    return label


@settings(max_examples=300, deadline=None)
@given(drawn=PAIRS)
def test_connect_gives_what_union_find_gives(drawn):
    count, pairs = drawn
    assert connect(count, *sides(pairs)).tolist() == union(count, pairs)


@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
def test_long_chains_are_connected_in_a_moment(order):
    count = 200_000
    rows = np.arange(count)
    if order == "shuffled":
        rows = np.random.default_rng(0).permutation(count)
    pairs = (rows[:-1], rows[1:]) if order != "backward" else (rows[1:][::-1], rows[:-1][::-1])
    start = time.process_time()
    assert not connect(count, *pairs).any()
    assert time.process_time() - start < 5


def test_nothing_to_connect():
    assert connect(0, *sides([])).tolist() == []
    assert connect(3, *sides([])).tolist() == [0, 1, 2]


@settings(max_examples=150, deadline=None)
@given(labels=st.lists(st.integers(0, 12), max_size=40))
def test_groups_are_numbered_by_their_first_row_and_loners_are_not(labels):
    found = number_groups(np.array(labels, np.int64)).tolist()
    seen = []
    for label, number in zip(labels, found, strict=True):
        if labels.count(label) == 1:
            assert number == -1
        else:
            seen += [label] if label not in seen else []
            assert number == seen.index(label)


COLUMNS = {
    "no chunk": (pa.chunked_array([], pa.string()), [], []),
    "nulls": (pa.chunked_array([[None, None, None]], pa.string()), [], []),
    "one chunk": (pa.chunked_array([["a", None, "b", "a", "a", None]]), [0, 3], [3, 4]),
    "several chunks": (pa.chunked_array([["a", None], [], ["b", "a"], ["b"]], pa.string()), [0, 2], [3, 4]),
    "a slice": (pa.chunked_array([["x", "a", "b"], ["a", "x"]]).slice(1, 3), [0], [2]),
    "bytes": (pa.chunked_array([pa.array([b"1234", None, b"1234"], pa.binary(4))]), [0], [2]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_with_the_same_value_are_paired(name):
    column, left, right = COLUMNS[name]
    found = same_values(column)
    assert (found[0].tolist(), found[1].tolist()) == (left, right)
    assert found[0].dtype == found[1].dtype == np.int64


# --- chains


def chain(count, step=10, width=4):
    """Points on a bent line, each `step` from the next, and the pairs of neighbours."""
    points = np.zeros((count, width), np.int8)
    places = np.arange(count) * step
    points[:, 0], points[:, 1] = places % 200 - 100, places // 200 - 100
    return points, np.arange(count - 1), np.arange(1, count)


def farthest_in_groups(label, points):
    """The largest distance of two members of one group."""
    most = 0.0
    for group in np.unique(label):
        members = points[label == group].astype(float)
        most = max(most, float(np.linalg.norm(members[:, None] - members[None], axis=2).max()))
    return most


def test_a_chain_of_a_thousand_steps_is_cut():
    points, left, right = chain(1_000)
    assert not connect(1_000, left, right).any()
    label = cut_chains(1_000, left, right, points, 15.0)
    sizes = np.unique(label, return_counts=True)[1]
    assert sizes.max() <= 3 and (sizes > 1).sum() > 250
    for row, middle in enumerate(label.tolist()):
        assert row == middle or {row, middle} in [{row, row + 1}, {row - 1, row}], "only with a direct neighbour"


def test_a_clique_and_a_short_chain_are_not_cut():
    rng = np.random.default_rng(0)
    points = rng.integers(-3, 4, (30, 4)).astype(np.int8)
    left, right = np.triu_indices(30, 1)
    assert not cut_chains(30, left, right, points, 15.0).any()
    points, left, right = chain(3)
    assert len(set(cut_chains(3, left, right, points, 15.0).tolist())) == 1


def test_cutting_a_chain_leaves_other_groups_as_they_are():
    points, left, right = chain(100)
    near = np.zeros((3, 4), np.int8)
    label = cut_chains(103, np.r_[left, 100, 101], np.r_[right, 101, 102], np.concatenate([points, near]), 15.0)
    assert len(set(label[100:].tolist())) == 1 and not set(label[100:]) & set(label[:100])


def test_a_group_reaches_no_farther_than_twice_a_pair():
    rng = np.random.default_rng(1)
    points = rng.integers(-60, 60, (400, 2)).astype(np.int8)
    apart = np.linalg.norm(points[:, None].astype(float) - points[None], axis=2)
    left, right = np.nonzero(np.triu(apart <= 12, 1))
    label = cut_chains(400, left, right, points, 18.0)
    assert farthest_in_groups(connect(400, left, right), points) > 100
    assert farthest_in_groups(label, points) <= 36
    assert (label != np.arange(400)).sum() > 200


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(2)
    points = np.unique(rng.integers(-60, 60, (300, 2)).astype(np.int8), axis=0)
    apart = np.linalg.norm(points[:, None].astype(float) - points[None], axis=2)
    left, right = np.nonzero(np.triu(apart <= 12, 1))
    label = cut_chains(len(points), left, right, points, 18.0)
    order = rng.permutation(len(points))
    place = np.argsort(order)
    other = cut_chains(len(points), place[left], place[right], points[order], 18.0)[place]
    assert (number_groups(label) == number_groups(other)).all()


def test_a_row_may_also_lie_where_it_is_flipped_to():
    points = np.array([[50, 0], [-50, 1], [50, 2]], np.int8)
    left, right = np.array([0, 1]), np.array([1, 2])
    flipped = cut_chains(3, left, right, points, 15.0, flip=lambda one: one * np.array([-1, 1], np.int8))
    assert len(set(flipped.tolist())) == 1


def test_a_film_of_many_frames_is_cut_in_a_moment():
    count = 40_000
    points = np.zeros((count, 3), np.int8)
    rows = np.arange(count)
    points[:, 0], points[:, 1], points[:, 2] = rows % 100, rows // 100 % 100, rows // 10_000
    start = time.process_time()
    label = cut_chains(count, rows[:-1], rows[1:], points, 1.2)
    assert time.process_time() - start < 5
    assert np.unique(label, return_counts=True)[1].max() == 3
