"""Work on threads: in order, never far ahead, and an error ends it."""

import threading
import time

import pytest
from hypothesis import given, settings, strategies as st

from telltale.threads import map_in_order, pieces


@settings(max_examples=30, deadline=None)
@given(items=st.lists(st.integers(), max_size=60), threads=st.integers(1, 6))
def test_results_come_in_the_order_of_the_items(items, threads):
    assert list(map_in_order(lambda item: item * 2, items, threads=threads)) == [item * 2 for item in items]


def test_results_come_in_order_where_the_first_takes_longest():
    def work(number):
        time.sleep(0.002 * (8 - number % 9))
        return number

    assert list(map_in_order(work, range(30), threads=4)) == list(range(30))


def test_several_threads_work_at_once():
    together = threading.Barrier(3, timeout=10)
    assert list(map_in_order(lambda _: together.wait() >= 0, range(3), threads=3)) == [True] * 3


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_at_most_a_few_items_are_taken_ahead(threads):
    taken = 0

    def items():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    for done, _ in enumerate(map_in_order(str, items(), threads=threads)):
        assert taken <= done + 1 + 3 * threads


def test_the_first_error_is_raised_in_its_place_and_ends_the_work():
    worked = []

    def work(number):
        worked.append(number)
        if number == 5:
            raise ValueError("the fifth")
        return number

    results = map_in_order(work, range(1000), threads=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the fifth"):
        next(results)
    assert max(worked) < 20


def test_an_error_of_the_items_is_raised():
    def items():
        yield 1
        raise OSError("the list broke off")

    with pytest.raises(OSError, match="the list broke off"):
        list(map_in_order(str, items(), threads=2))


def test_who_stops_listening_ends_the_work_and_its_threads():
    before, worked = threading.active_count(), []
    results = map_in_order(worked.append, range(1000), threads=3)
    next(results)
    results.close()
    assert len(worked) <= 11 and threading.active_count() == before


@given(st.integers(0, 300), st.integers(1, 40))
def test_pieces_cover_everything_once(count, size):
    found = list(pieces(count, size))
    assert [number for piece in found for number in piece] == list(range(count))
    assert all(len(piece) == size for piece in found[:-1]) and all(0 < len(piece) <= size for piece in found)
