"""Thumbnails come from what the scan kept, or are made again; a picture that has changed is never mixed in."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from telltale.data.decoding import decode
from telltale.data.index import scan
from telltale.data.measures import measure
from telltale.data.thumbnails import read_thumbnails
from telltale.errors import DataError
from telltale.progress import Advance


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def expected(index):
    pixels = [decode(index.store.read(path)).pixels for path in index.paths]
    return np.stack([np.frombuffer(measure(one).thumbnail, np.uint8).reshape(16, 16, 3) for one in pixels])


def test_they_are_read_from_the_cache_in_the_order_of_the_index(pictures):
    index = scan(pictures)
    goal = expected(index)
    for path in pictures.rglob("*.png"):
        path.unlink()
    found = read_thumbnails(index)
    assert (found.shape, found.dtype) == ((40, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(found, goal)
    order = np.random.default_rng(0).permutation(40)[:25]
    np.testing.assert_array_equal(read_thumbnails(index.take(np.r_[order, order[:3]])), goal[np.r_[order, order[:3]]])


def test_what_the_cache_has_lost_is_decoded_again(pictures, cache):
    told = []
    index = scan(pictures)
    goal = expected(index)
    shutil.rmtree(cache / "facts")
    np.testing.assert_array_equal(read_thumbnails(index, tell=told.append), goal)
    assert told[-1] == Advance("look at the pictures again", 40, 40)
    for name in ("blue", "green"):
        shutil.rmtree(pictures / name)
    scan(pictures)
    told.clear()
    with pytest.raises(DataError, match=r"'blue/blue-0\.png' could be read when it was scanned, but not now"):
        read_thumbnails(index, tell=told.append)
    goal, index = goal[20:], scan(pictures)
    np.testing.assert_array_equal(read_thumbnails(index, tell=told.append), goal)
    assert told == [], "all are in the cache again"


def test_of_nothing_there_is_nothing(pictures):
    assert read_thumbnails(scan(pictures).take(np.arange(0))).shape == (0, 16, 16, 3)


def spoil(path: Path, how: str, other: Path) -> None:
    if how == "gone":
        os.unlink(path)
    else:
        path.write_bytes(b"" if how == "broken" else other.read_bytes())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("gone", r"The picture 'red/red-3.png' could be read when it was scanned, but not now \(.*No such file"),
        ("broken", r"could be read when it was scanned, but not now \(.*\)\. The pictures that the index describes"),
        ("another", r"could be read when it was scanned, but not now \(Its bytes are others\.\)\."),
    ],
)
def test_a_picture_that_has_changed_is_named(pictures, cache, how, words):
    index = scan(pictures)
    shutil.rmtree(cache / "facts")
    spoil(pictures / "red" / "red-3.png", how, pictures / "blue" / "blue-3.png")
    with pytest.raises(DataError, match=words):
        read_thumbnails(index)
