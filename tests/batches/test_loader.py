import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from telltale.batches.loader import PictureBatches, Squares
from telltale.batches.preprocess import Preprocess
from telltale.errors import DataError, SourceError

PREPROCESS = Preprocess(size=8)


class Shelf:
    """Pictures in memory, as an `Index` gives them; counts what is read."""

    def __init__(self, count: int, label: int = 0) -> None:
        rng = np.random.default_rng(0)
        self.paths = [f"{number}.png" for number in range(count)]
        self.codes = (np.arange(count) % 3).astype(np.int32) + label
        self.store = self
        self.files, self.reads, self.lock = {}, 0, threading.Lock()
        for path in self.paths:
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (10, 12, 3), np.uint8)).save(file, "PNG")
            self.files[path] = file.getvalue()

    def read(self, path: str) -> bytes:
        with self.lock:
            self.reads += 1
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


def joined(batches):
    squares, labels = zip(*batches, strict=True)
    return torch.cat(squares), torch.cat(labels)


def test_in_order_gives_every_picture_as_preprocess_does():
    shelf = Shelf(11)
    squares, labels = joined(PictureBatches(shelf, PREPROCESS, batch_size=4, flip=True).in_order())
    assert squares.dtype == torch.uint8
    assert squares.shape == (11, 8, 8, 3)
    assert labels.dtype == torch.int64
    assert labels.tolist() == shelf.codes.tolist()
    first = PREPROCESS.apply(np.asarray(Image.open(io.BytesIO(shelf.files["0.png"]))))
    np.testing.assert_array_equal(squares[0], first)


def test_an_epoch_has_every_picture_once_in_an_order_of_its_own():
    batches = PictureBatches(Shelf(20), PREPROCESS, batch_size=6)
    plain = {one.numpy().tobytes(): number for number, one in enumerate(joined(batches.in_order())[0])}
    orders = [[plain[one.numpy().tobytes()] for one in joined(batches.epoch(number))[0]] for number in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]
    labels = joined(batches.epoch(1))[1].tolist()
    assert labels == [number % 3 for number in orders[0]]


def test_about_half_is_mirrored_and_others_in_the_next_epoch():
    batches = PictureBatches(Shelf(60), PREPROCESS, flip=True)
    plain = {one.numpy().tobytes(): number for number, one in enumerate(joined(batches.in_order())[0])}
    mirrored = {one.flip(1).numpy().tobytes(): number for number, one in enumerate(joined(batches.in_order())[0])}
    turned = []
    for number in (1, 2):
        keys = [one.numpy().tobytes() for one in joined(batches.epoch(number))[0]]
        assert all(key in plain or key in mirrored for key in keys)
        turned.append({mirrored[key] for key in keys if key in mirrored})
        assert 15 <= len(turned[-1]) <= 45
    assert turned[0] != turned[1]


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_results_do_not_depend_on_threads_or_on_what_is_in_memory(threads):
    reference = PictureBatches(Shelf(30), PREPROCESS, batch_size=7, seed=4, flip=True, threads=2)
    again = PictureBatches(Shelf(30), PREPROCESS, batch_size=7, seed=4, flip=True, threads=threads)
    joined(again.epoch(1))
    for number in (3, 1):
        for left, right in zip(joined(reference.epoch(number)), joined(again.epoch(number)), strict=True):
            assert torch.equal(left, right)


def test_what_fits_is_decoded_once_and_what_does_not_anew():
    for memory, reads in ((12 * 8 * 8 * 3, 12), (12 * 8 * 8 * 3 - 1, 24)):
        shelf = Shelf(12)
        squares = Squares(shelf, PREPROCESS, memory=memory)
        groups = [np.arange(5), np.arange(5, 12)]
        first = np.concatenate(list(squares.stream(groups)))
        first_copy = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(np.concatenate(list(squares.stream(groups))), first_copy)
        assert shelf.reads == reads


def test_mirroring_does_not_reach_what_is_kept():
    batches = PictureBatches(Shelf(20), PREPROCESS, flip=True)
    before = joined(batches.in_order())[0]
    joined(batches.epoch(1))
    assert torch.equal(joined(batches.in_order())[0], before)


@pytest.mark.parametrize(
    ("count", "sizes"), [(12, [4, 4, 4]), (11, [4, 4, 3]), (9, [4, 5]), (1, [1])], ids=["even", "rest", "lone", "one"]
)
def test_a_lone_last_picture_joins_the_batch_before(count, sizes):
    batches = PictureBatches(Shelf(count), PREPROCESS, batch_size=4)
    assert [len(labels) for _, labels in batches.epoch(1)] == sizes
    assert (len(batches), batches.steps) == (count, len(sizes))


def test_an_epoch_may_be_left_half_way():
    batches = PictureBatches(Shelf(40), PREPROCESS, batch_size=4)
    for _ in batches.epoch(1):
        break
    assert len(joined(batches.epoch(1))[1]) == 40


@pytest.mark.parametrize("content", [None, b"", b"<html></html>"], ids=["gone", "empty", "html"])
def test_a_picture_that_changed_since_the_scan_is_named(content):
    shelf = Shelf(6)
    if content is None:
        del shelf.files["4.png"]
    else:
        shelf.files["4.png"] = content
    with pytest.raises(SourceError, match=r"'4\.png' could be read when the pictures were scanned, but not now"):
        joined(PictureBatches(shelf, PREPROCESS).epoch(1))


@pytest.mark.parametrize("shelf", [Shelf(0), Shelf(3, label=-1)], ids=["none", "unlabelled"])
def test_no_pictures_or_no_labels_are_refused(shelf):
    with pytest.raises(DataError, match="of them without a class, are no batches"):
        PictureBatches(shelf, PREPROCESS)
