"""Squares of a part come by number, from wherever they are quickest: always the same, whatever was kept before."""

import shutil
import tracemalloc
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from telltale.batches.loader import Squares, cut
from telltale.batches.preprocess import Preprocess
from telltale.batches.squares import SquareCache
from telltale.data.decoding import decode
from telltale.errors import SourceError

PREPROCESS = Preprocess(size=8)
EACH = 3 * 8 * 8


def expected(shelf) -> np.ndarray:
    return np.stack([PREPROCESS.apply(decode(shelf.files[path]).pixels) for path in shelf.paths])


def read(squares: Squares, groups=None) -> np.ndarray:
    """The squares of `groups`, or of all numbers in groups of five."""
    return np.concatenate(list(squares.stream(cut(np.arange(len(squares)), 5) if groups is None else groups)))


def test_squares_are_what_preprocess_makes_of_the_decoded_picture(shelf):
    pictures = shelf(11)
    squares = Squares(pictures, PREPROCESS)
    for _ in range(2):
        some = read(squares)
        assert some.dtype == np.uint8 and some.shape == (11, 8, 8, 3)
        np.testing.assert_array_equal(some, expected(pictures))


@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("kept", ["nothing", "some", "all"])
def test_squares_depend_neither_on_threads_nor_on_what_was_kept(shelf, threads, kept):
    pictures = shelf(30)
    before = {"nothing": [], "some": [np.array([3, 28, 7, 11])], "all": [np.arange(30)]}[kept]
    list(Squares(pictures, PREPROCESS).stream(before))
    pictures.reads = 0
    order = np.random.default_rng(0).permutation(30)
    some = read(Squares(pictures, PREPROCESS, threads=threads), cut(order, 7))
    np.testing.assert_array_equal(some, expected(pictures)[order])
    assert pictures.reads == {"nothing": 30, "some": 26, "all": 0}[kept]


def test_a_picture_is_decoded_once_ever(shelf):
    pictures = shelf(12)
    squares = Squares(pictures, PREPROCESS)
    for _ in range(3):
        read(squares)
    read(Squares(pictures, PREPROCESS))
    assert pictures.reads == 12
    more = shelf(15)  # the same twelve and three more
    np.testing.assert_array_equal(read(Squares(more, PREPROCESS)), expected(more))
    assert more.reads == 3
    assert len(SquareCache(8, "crop")) == 15


def test_mean_and_std_do_not_matter_for_squares(shelf):
    pictures = shelf(6)
    read(Squares(pictures, PREPROCESS))
    read(Squares(pictures, Preprocess(8, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))))
    assert pictures.reads == 6
    read(Squares(pictures, Preprocess(8, "squash")))
    assert pictures.reads == 12


@pytest.mark.parametrize(("memory", "reads"), [(12 * EACH, 12), (12 * EACH - 1, 24)])
def test_without_room_on_disk_memory_keeps_what_fits_and_the_rest_is_decoded_anew(shelf, memory, reads):
    pictures = shelf(12)
    squares = Squares(pictures, PREPROCESS, limit=12 * EACH - 1, memory=memory)
    for _ in range(2):
        some = read(squares)
        np.testing.assert_array_equal(some, expected(pictures))
        some[:] = 0  # a copy: what is kept does not change
    assert pictures.reads == reads
    assert len(SquareCache(8, "crop")) == 0


def test_what_is_kept_needs_no_file_any_more(shelf):
    pictures = shelf(7)
    wanted = expected(pictures)
    squares = Squares(pictures, PREPROCESS)
    read(squares)
    pictures.files.clear()
    read(squares)[:] = 0
    np.testing.assert_array_equal(read(squares), wanted)


def test_a_damaged_square_is_decoded_again_and_kept_again(shelf, own_cache):
    pictures = shelf(9)
    read(Squares(pictures, PREPROCESS))
    (path,) = own_cache.glob("squares/*/*.arrow")
    whole = bytearray(path.read_bytes())
    whole[whole.index(expected(pictures)[4].tobytes()) + 50] ^= 255
    path.write_bytes(whole)
    pictures.reads = 0
    for reads in (1, 9, 9):  # the others of the damaged file are good for the epoch in which that is found
        np.testing.assert_array_equal(read(Squares(pictures, PREPROCESS)), expected(pictures))
        assert pictures.reads == reads
    assert len(SquareCache(8, "crop")) == 9


def test_a_cache_that_is_deleted_during_an_epoch_costs_time_only(shelf, own_cache):
    pictures = shelf(20)
    squares = Squares(pictures, PREPROCESS)
    read(squares, [np.arange(10)])
    stream = squares.stream(cut(np.arange(20), 4))
    some = [next(stream)]
    shutil.rmtree(own_cache / "squares")
    np.testing.assert_array_equal(np.concatenate([*some, *stream]), expected(pictures))
    np.testing.assert_array_equal(read(squares), expected(pictures))
    np.testing.assert_array_equal(read(Squares(pictures, PREPROCESS)), expected(pictures))


def test_an_epoch_may_be_left_half_way_and_what_was_decoded_is_kept(shelf):
    pictures = shelf(40)
    squares = Squares(pictures, PREPROCESS, threads=2)
    for _ in squares.stream(cut(np.arange(40), 4)):
        break
    assert 4 <= pictures.reads < 40
    before = pictures.reads
    assert len(SquareCache(8, "crop")) == before
    np.testing.assert_array_equal(read(squares), expected(pictures))
    assert pictures.reads == 40


def test_two_streams_of_the_same_squares_do_not_disturb_each_other(shelf):
    pictures = shelf(24)
    squares, order = Squares(pictures, PREPROCESS), np.random.default_rng(0).permutation(24)
    outer = squares.stream(cut(order, 3))
    some = [next(outer)]
    np.testing.assert_array_equal(read(squares), expected(pictures))
    np.testing.assert_array_equal(np.concatenate([*some, *outer]), expected(pictures)[order])


@pytest.mark.parametrize("kept", [False, True], ids=["decoded", "kept"])
def test_memory_holds_a_few_groups_and_never_the_set(shelf, kept):
    pictures, preprocess = shelf(400), Preprocess(size=64)
    if kept:
        read(Squares(pictures, preprocess))
    squares = Squares(pictures, preprocess, limit=0, memory=0)
    tracemalloc.start()
    for _ in squares.stream(cut(np.arange(400), 10)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * 64 * 64 * 3 / 4  # all are 4.9 MB, four groups 0.5 MB


@pytest.mark.parametrize("content", [None, b"", b"<html></html>", "another"], ids=["gone", "empty", "html", "another"])
def test_a_picture_that_changed_since_the_scan_is_named(shelf, content):
    pictures = shelf(6)
    assert pictures.table.num_rows == 6
    if content is None:
        del pictures.files["4.png"]
    else:
        pictures.files["4.png"] = pictures.files["3.png"] if content == "another" else content
    with pytest.raises(SourceError, match=r"'4\.png' could be read when the pictures were scanned, but not now"):
        read(Squares(pictures, PREPROCESS))


@pytest.mark.parametrize(
    ("count", "sizes"), [(12, [4, 4, 4]), (11, [4, 4, 3]), (9, [4, 5]), (1, [1]), (0, [])], ids=str
)
def test_a_lone_last_picture_joins_the_group_before(count, sizes):
    assert [len(group) for group in cut(np.arange(count), 4)] == sizes


@settings(deadline=None)
@given(count=st.integers(0, 200), size=st.integers(1, 50))
def test_groups_hold_everything_once_in_order(count, size):
    groups = cut(np.arange(count), size)
    assert list(chain.from_iterable(groups)) == list(range(count))
    assert all(len(group) == size for group in groups[:-1])
    if size > 1 and count > 1:
        assert 2 <= len(groups[-1]) <= size + 1
