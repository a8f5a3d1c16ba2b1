"""Squares on a device come by number, in order, as copies; on the CPU what runs on a GPU can be compared."""

import numpy as np
import pytest
import torch

from telltale.batches.loader import Squares, cut
from telltale.batches.preprocess import Preprocess
from telltale.batches.resident import Resident, Sent, place, send_numbers

PREPROCESS = Preprocess(size=8)


@pytest.mark.parametrize("count", [1, 5, 257, 600])
def test_resident_squares_are_those_of_the_loader(shelf, count):
    pictures = shelf(count)
    resident = Resident(Squares(pictures, PREPROCESS), "cpu")
    assert resident.pixels.shape == (count, 8, 8, 3) and resident.pixels.dtype == torch.uint8
    groups = cut(np.random.default_rng(0).permutation(count), 7)
    sent = Sent(Squares(pictures, PREPROCESS), "cpu")
    for left, right in zip(resident.stream(groups), sent.stream(groups), strict=True):
        assert torch.equal(left, right)
        left.zero_()
    assert all(one.any() for one in resident.stream(groups))
    assert pictures.reads == count


def test_the_same_number_may_come_twice(shelf):
    squares = Squares(shelf(4), PREPROCESS)
    groups = [np.array([2, 2, 0]), np.array([2])]
    both = [torch.cat(list(way(squares, "cpu").stream(groups))) for way in (Resident, Sent)]
    assert torch.equal(both[0], both[1])
    assert torch.equal(both[0][0], both[0][1]) and torch.equal(both[0][0], both[0][3])


@pytest.mark.parametrize("groups", [[], [[3]], [[1, 2], [0, 4, 5]]], ids=str)
def test_numbers_cross_together_and_arrive_apart(groups):
    sent = send_numbers([np.array(group, np.int64) for group in groups], "cpu")
    assert [one.tolist() for one in sent] == groups
    assert all(one.dtype == torch.int64 for one in sent)


def test_on_the_cpu_squares_stay_in_the_map(shelf):
    assert isinstance(place(Squares(shelf(3), PREPROCESS), "cpu"), Sent)
