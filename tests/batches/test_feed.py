"""Batches follow from pictures, seed and epoch alone; where nothing is changed, they hold what prediction sees."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from telltale.batches.augmentation import parse_augmentation
from telltale.batches.feed import Batch, Normalise, PictureFeed, count_before
from telltale.batches.preprocess import Preprocess
from telltale.batches.resident import Resident
from telltale.batches.squares import SquareStream
from telltale.data.decoding import decode
from telltale.data.index import scan
from telltale.errors import DataError, SourceError

PREPROCESS = Preprocess(size=8)


def joined(batches) -> tuple[torch.Tensor, list[int], list[int]]:
    """Inputs, labels and rows of all batches."""
    batches = list(batches)
    inputs, labels = torch.cat([one.inputs for one in batches]), torch.cat([one.labels for one in batches])
    return inputs, labels.tolist(), np.concatenate([one.rows for one in batches]).tolist()


def same(left: list[Batch], right: list[Batch]) -> bool:
    """Are these batches equal bit for bit?"""
    return len(left) == len(right) and all(
        torch.equal(one.inputs, two.inputs) and torch.equal(one.labels, two.labels) and (one.rows == two.rows).all()
        for one, two in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("cached", [False, True], ids=["decoded", "cached"])
@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_training_and_validation_see_the_pixels_that_prediction_sees(kinds, resize, cached):
    preprocess = Preprocess(16, resize)
    stream = SquareStream(16, resize, count=8 if cached else 10**12)
    index = scan(kinds, watcher=stream)
    stream.flush()
    squares = [preprocess.apply(decode((kinds / path).read_bytes()).pixels) for path in index.paths]
    wanted = Normalise(preprocess)(torch.from_numpy(np.stack(squares)))
    feed = PictureFeed(index, preprocess, batch_size=3)
    inputs, labels, rows = joined(feed.in_order())
    assert torch.equal(inputs, wanted) and rows == list(range(8)) and labels == index.codes.tolist()
    inputs, _, rows = joined(feed.epoch(1))
    assert torch.equal(inputs, wanted[rows]) and sorted(rows) == list(range(8))


def test_a_batch_is_ready_for_the_network(shelf):
    for batch in (next(PictureFeed(shelf(9), PREPROCESS).epoch(1)), next(PictureFeed(shelf(9), PREPROCESS).in_order())):
        assert batch.inputs.shape == (9, 3, 8, 8) and batch.inputs.dtype == torch.float32
        assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.dtype == torch.int64 and batch.rows.dtype == np.int64
        assert batch.others is None and batch.share is None


def test_an_epoch_has_every_picture_once_in_an_order_of_its_own(shelf):
    feed = PictureFeed(shelf(20), PREPROCESS, batch_size=6)
    orders = [joined(feed.epoch(number)) for number in (1, 2)]
    for inputs, labels, rows in orders:
        assert sorted(rows) == list(range(20))
        assert labels == [row % 3 for row in rows]
        assert torch.equal(inputs, joined(feed.in_order())[0][rows])
    assert orders[0][2] != orders[1][2]
    assert joined(PictureFeed(shelf(20), PREPROCESS, seed=1).epoch(1))[2] != orders[0][2]


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("threads", [1, 5])
def test_batches_depend_neither_on_threads_nor_on_what_came_before(shelf, threads, balanced):
    options = {"batch_size": 7, "seed": 4, "balanced": balanced, "augmentation": parse_augmentation(["medium"])}
    again = PictureFeed(shelf(30), PREPROCESS, **options, threads=threads)
    list(again.epoch(1))
    for number in (3, 1):
        assert same(list(PictureFeed(shelf(30), PREPROCESS, **options).epoch(number)), list(again.epoch(number)))


@pytest.mark.parametrize("balanced", [False, True])
@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 30), size=st.integers(1, 8), first=st.integers(1, 12))
def test_an_epoch_can_be_entered_at_any_batch(shelf, balanced, count, size, first):
    feed = PictureFeed(shelf(count), PREPROCESS, batch_size=size, balanced=balanced)
    assert same(list(feed.epoch(2, first=first)), list(feed.epoch(2))[first - 1 :])


def test_batches_that_are_left_out_are_not_read(shelf):
    pictures = shelf(20)
    list(PictureFeed(pictures, PREPROCESS, batch_size=4).epoch(1, first=4))
    assert pictures.reads == 8


@pytest.mark.parametrize(("count", "size", "steps"), [(12, 4, 3), (11, 4, 3), (9, 4, 2), (1, 4, 1)])
def test_steps_are_batches(shelf, count, size, steps):
    feed = PictureFeed(shelf(count), PREPROCESS, batch_size=size)
    assert (len(feed), feed.steps, len(list(feed.epoch(1)))) == (count, steps, steps)
    feed.batch_size = 2 * size
    assert feed.steps == len(list(feed.epoch(1)))


def test_balanced_draws_every_class_equally_often(shelf):
    pictures = shelf(300)
    pictures.codes = np.repeat([0, 2, 5], [10, 40, 250]).astype(np.int32)  # two classes of six have no pictures here
    feed = PictureFeed(pictures, PREPROCESS, batch_size=64, balanced=True)
    counts = Counter()
    for number in range(1, 11):
        inputs, labels, rows = joined(feed.epoch(number))
        assert len(rows) == 300 and labels == pictures.codes[rows].tolist()
        counts.update(labels)
    assert torch.equal(inputs, joined(feed.in_order())[0][rows])
    # 1,000 of 3,000 draws each; the standard deviation is 26.
    assert counts.keys() == {0, 2, 5} and all(abs(count - 1000) < 130 for count in counts.values())
    inside = Counter(row for number in range(1, 11) for row in joined(feed.epoch(number))[2] if row < 10)
    assert len(inside) == 10 and max(inside.values()) < 160  # 100 each within the smallest class
    orders = [joined(feed.epoch(number))[2] for number in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 9), max_size=60))
def test_what_stood_before_is_counted(values):
    expected = [values[:place].count(value) for place, value in enumerate(values)]
    assert count_before(np.array(values, np.int64)).tolist() == expected


@pytest.mark.parametrize("balanced", [False, True])
def test_squares_that_lie_on_the_device_give_the_same_batches(shelf, balanced):
    options = {"batch_size": 7, "balanced": balanced, "augmentation": parse_augmentation(["medium", "mixup"])}
    sent, resident = (PictureFeed(shelf(30), PREPROCESS, **options) for _ in range(2))
    resident.placed = Resident(resident.squares, "cpu")
    for left, right in ((sent.epoch(1), resident.epoch(1)), (sent.in_order(), resident.in_order())):
        assert same(list(left), list(right))
    assert same(list(sent.epoch(2, first=3)), list(resident.epoch(2, first=3)))


def test_changing_a_batch_does_not_reach_what_is_kept(shelf):
    for place in (lambda feed: feed.placed, lambda feed: Resident(feed.squares, "cpu")):
        feed = PictureFeed(shelf(10), PREPROCESS)
        feed.placed = place(feed)
        before = joined(feed.in_order())[0]
        for batch in feed.epoch(1):
            batch.inputs.zero_()
            batch.labels.fill_(7)
        assert torch.equal(joined(feed.in_order())[0], before)
        assert joined(feed.in_order())[1] == feed.pictures.codes.tolist()


def test_augmentation_changes_training_and_never_what_is_seen_in_order(shelf):
    plain = PictureFeed(shelf(60), PREPROCESS)
    feed = PictureFeed(shelf(60), PREPROCESS, augmentation=parse_augmentation(["flip"]))
    straight = joined(plain.in_order())[0]
    assert torch.equal(joined(feed.in_order())[0], straight)
    turned = []
    for number in (1, 2):
        inputs, labels, rows = joined(feed.epoch(number))
        assert rows == joined(plain.epoch(number))[2] and labels == [row % 3 for row in rows]
        mirrored = [torch.equal(one, straight[row].flip(2)) for one, row in zip(inputs, rows, strict=True)]
        same = [torch.equal(one, straight[row]) for one, row in zip(inputs, rows, strict=True)]
        assert all(one != two for one, two in zip(mirrored, same, strict=True))
        turned.append({row for row, one in zip(rows, mirrored, strict=True) if one})
        assert 15 <= len(turned[-1]) <= 45
    assert turned[0] != turned[1]


def test_no_change_of_a_picture_depends_on_its_batch(shelf):
    augmentation = parse_augmentation(["medium"])
    found = []
    for size in (4, 60):
        inputs, _, rows = joined(
            PictureFeed(shelf(60), PREPROCESS, batch_size=size, augmentation=augmentation).epoch(1)
        )
        found.append(inputs[np.argsort(rows)])
    assert torch.equal(*found)


def test_a_picture_that_is_drawn_again_is_changed_in_another_way(shelf):
    pictures = shelf(30)
    pictures.codes = (np.arange(30) > 0).astype(np.int32)  # one picture is half of what is drawn
    feed = PictureFeed(pictures, PREPROCESS, augmentation=parse_augmentation(["brightness=0.5:1.5"]), balanced=True)
    inputs, _, rows = joined(feed.epoch(1))
    again = inputs[np.array(rows) == 0]
    assert len(again) > 5 and len({one.numpy().tobytes() for one in again}) == len(again)


def test_mixed_pictures_bring_the_label_and_the_share_of_the_other(shelf):
    plain = PictureFeed(shelf(24), PREPROCESS, batch_size=8)
    feed = PictureFeed(shelf(24), PREPROCESS, batch_size=8, augmentation=parse_augmentation(["mixup@1"]))
    straight = joined(plain.in_order())[0]
    for batch in feed.epoch(3):
        assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
        assert batch.others.dtype == torch.int64 and batch.share.dtype == torch.float32
        own, changed = straight[batch.rows], batch.inputs
        for place, share in enumerate(batch.share.tolist()):
            partner = [
                row
                for row in batch.rows
                if torch.allclose(changed[place], share * own[place] + (1 - share) * straight[row], atol=1e-4)
            ]
            assert batch.others[place].item() in [row % 3 for row in partner]
        assert batch.labels.tolist() == [row % 3 for row in batch.rows]


def test_a_view_changes_each_picture_as_its_epoch_does_and_mixes_none(shelf):
    pictures = shelf(20)
    feed = PictureFeed(pictures, PREPROCESS, batch_size=6, augmentation=parse_augmentation(["medium"]))
    mixing = PictureFeed(pictures, PREPROCESS, batch_size=6, augmentation=parse_augmentation(["medium", "mixup@1"]))
    inputs, labels, rows = joined(feed.view(2))
    assert rows == list(range(20)) and labels == pictures.codes.tolist()
    changed, _, order = joined(feed.epoch(2))
    assert torch.equal(inputs[order], changed)
    assert torch.equal(joined(mixing.view(2))[0], inputs)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_order_of_an_epoch_is_known_before_it_is_read(shelf, balanced):
    pictures = shelf(20)
    feed = PictureFeed(pictures, PREPROCESS, batch_size=6, balanced=balanced)
    order = [rows.tolist() for rows in feed.order(3)]
    assert pictures.reads == 0
    assert order == [batch.rows.tolist() for batch in feed.epoch(3)]
    assert feed.labels.tolist() == pictures.codes.tolist()


def test_an_epoch_may_be_left_half_way(shelf):
    feed = PictureFeed(shelf(40), PREPROCESS, batch_size=4)
    for _ in feed.epoch(1):
        break
    assert len(joined(feed.epoch(1))[1]) == 40


def test_a_picture_that_changed_since_the_scan_is_named(shelf):
    pictures = shelf(6)
    assert pictures.table.num_rows == 6
    del pictures.files["4.png"]
    with pytest.raises(SourceError, match=r"'4\.png' could be read when the pictures were scanned, but not now"):
        list(PictureFeed(pictures, PREPROCESS).epoch(1))


@pytest.mark.parametrize(("count", "label"), [(0, 0), (3, -1)], ids=["none", "unlabelled"])
def test_no_pictures_or_no_labels_are_refused(shelf, count, label):
    with pytest.raises(DataError, match="of them without a class, are no batches"):
        PictureFeed(shelf(count, label=label), PREPROCESS)


@settings(deadline=None)
@given(
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.05, 1)] * 3),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
)
def test_normalised_pixels_are_what_the_formula_says(mean, std, dtype):
    squares = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))
    normalise = Normalise(Preprocess(8, mean=mean, std=std))
    exact = (squares.double() / 255 - torch.tensor(mean).double()) / torch.tensor(std).double()
    planes = normalise.planes(squares.permute(0, 3, 1, 2).to(dtype).contiguous())
    assert torch.equal(planes, normalise(squares))
    assert planes.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(planes.double(), exact.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
