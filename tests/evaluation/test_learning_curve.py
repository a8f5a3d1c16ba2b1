"""Heads that learn from fewer pictures say whether more would help, and no more than they can know."""

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from telltale.batches.preprocess import Preprocess
from telltale.data.index import scan
from telltale.data.splits import Splits, split
from telltale.evaluation import learning_curve
from telltale.evaluation.learning_curve import (
    LearningCurve,
    choose_sizes,
    draw_learning_curve,
    order_evenly,
    tabulate,
)
from telltale.evaluation.learning_verdict import Answers, compare_sizes, describe_curve, predict_gain
from telltale.evaluation.metrics import Interval
from telltale.model.features import Extractor
from telltale.progress import Advance
from telltale.values import from_plain, to_plain

SIDE = 64


def answers(shares, *, pictures=400, repeats=3, sizes=(125, 250, 500, 1000, 2000), seed=0):
    """Heads that get these shares of the pictures right: the easy ones always, the hard ones the more they learned."""
    hardness = np.random.default_rng(seed).permutation((np.arange(pictures) + 0.5) / pictures)
    right = [np.tile(hardness < share, (repeats, 1)) for share in shares]
    right[-1] = right[-1][:1]
    return Answers(sizes[-len(shares) :], tuple(right), np.arange(pictures) % 2, ("cats", "dogs"))


@pytest.mark.parametrize(
    ("shares", "pictures", "words"),
    [
        (
            (0.50, 0.60, 0.68, 0.745, 0.80),
            400,
            r"from 1,000 to 2,000 raised the accuracy from 74.5 to 80.0 %. Twice as many would probably bring about "
            r"[23]\.\d points more \(\d\.\d to \d\.\d\).",
        ),
        (
            (0.90, 0.91, 0.91, 0.91, 0.91),
            5000,
            r"left the accuracy at 91.0 %. More pictures of the same kind will hardly help: twice as many would bring "
            r"0\.\d points at most.",
        ),
        (
            (0.90, 0.90, 0.88, 0.90, 0.94),
            50,
            r"changed the accuracy from 90.0 to 94.0 %, which may be chance. Whether more would help cannot be told "
            r"from 50 validation pictures: twice as many would bring \d\.\d points at most, perhaps none.",
        ),
        ((0.9, 1.0, 1.0, 1.0, 1.0), 50, r"All 50 validation pictures are right, so they cannot show what more"),
    ],
    ids=["rises", "flat", "few pictures", "all right"],
)
def test_the_verdict_says_what_the_curve_shows(shares, pictures, words):
    seen = answers(shares, pictures=pictures)
    said = describe_curve(seen, predict_gain(seen, pictures=2000), pictures=2000)
    assert said.startswith("Doubling the training pictures from 1,000 to 2,000 ")
    assert re.search(words, said), said


def test_a_curve_of_a_part_says_so_and_promises_less():
    seen = answers((0.50, 0.60, 0.68, 0.745, 0.80))
    now, later = (predict_gain(seen, pictures=count) for count in (2000, 16_000))
    assert later.value < now.value
    assert "with 2,000 of the 16,000 training pictures" in describe_curve(seen, later, pictures=16_000)


def test_the_class_that_gained_most_is_named_where_that_is_sure():
    low, high = answers((0.5, 0.6), pictures=1000), answers((0.5, 0.9), pictures=1000)
    dogs = low.labels == 1
    right = tuple(np.where(dogs, other, one) for one, other in zip(low.right, high.right, strict=True))
    said = describe_curve(replace(low, right=right), Interval(0.1, 0.05, 0.2), pictures=2000)
    assert "Class 'dogs' gained most: " in said
    assert "gained most" not in describe_curve(answers((0.5, 0.5)), Interval(0, 0, 0), pictures=2000)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 1000))
def test_a_gain_is_a_finite_interval_that_holds_its_value(pictures, sizes, seed):
    rng = np.random.default_rng(seed)
    right = tuple(rng.random((1 if last else 3, pictures)) < 0.9 for last in [False] * (sizes - 1) + [True])
    seen = Answers(tuple(100 * 2**k for k in range(sizes)), right, np.zeros(pictures, np.int32), ("a",))
    for gain in (predict_gain(seen, pictures=seen.sizes[-1]), compare_sizes(*right[-2:])):
        assert -1.5 <= gain.low <= gain.value <= gain.high <= 1.5
    assert predict_gain(seen, pictures=500, seed=1) == predict_gain(seen, pictures=500, seed=1)


def test_intervals_of_a_doubling_hold_what_it_brings():
    """Of 300 validation parts of 100 pictures, where the larger heads get 0.85 right and the smaller 0.80."""
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        skill = rng.random(100)
        before = np.stack([skill + rng.normal(0, 0.05, 100) < 0.80 for _ in range(3)])
        after = (skill + rng.normal(0, 0.05, 100) < 0.85)[None]
        gain = compare_sizes(before, after)
        held += gain.low <= 0.05 <= gain.high
    assert held >= 0.92 * 300


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.integers(0, 100))
def test_every_beginning_of_an_order_has_the_classes_in_their_shares(counts, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    order = order_evenly(labels, seed=[seed])
    assert sorted(order) == list(range(len(labels)))
    assert set(labels[order[: len(counts)]]) == set(range(len(counts)))
    half = len(labels) // 2
    have = np.bincount(labels[order[:half]], minlength=len(counts))
    if half >= 2 * len(counts):
        # Every class comes once at first, a class of one picture wholly: half a picture too many of each of the others.
        assert (np.abs(have - np.array(counts) / 2) <= (len(counts) + 1) / 2).all()


@pytest.mark.parametrize(
    ("count", "classes", "sizes"),
    [
        (2000, 2, (125, 250, 500, 1000, 2000)),
        (600, 120, (150, 300, 600)),
        (10, 2, (5, 10)),
        (7, 2, (4, 7)),
        (5, 5, (5,)),
    ],
)
def test_sizes_are_halves_with_room_for_every_class(count, classes, sizes):
    assert choose_sizes(count, classes=classes) == sizes


@pytest.fixture(scope="module")
def extractor(backbone):
    return Extractor(backbone, Preprocess(SIDE, "crop", backbone.mean, backbone.std), "f32")


@pytest.fixture
def splits(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    return split(scan(pictures), seed=0, val=0.25)


def test_a_curve_of_pictures_rises_to_the_whole_training_part(splits, extractor):
    heard = []
    curve = draw_learning_curve(splits, extractor, repeats=3, tell=heard.append)
    assert [one.pictures for one in curve.points] == list(choose_sizes(len(splits.train), classes=4))
    assert curve.points[-1].pictures == len(splits.train)
    assert curve.points[-1].accuracy == 1.0
    assert all(0 <= one.low <= one.accuracy <= one.high <= 1 for one in curve.points)
    assert curve.validation == len(splits.validation)
    steps = [one for one in heard if isinstance(one, Advance) and one.unit == "heads"]
    assert steps[-1].done == steps[-1].total == len(steps)
    assert draw_learning_curve(splits, extractor, repeats=3) == curve


def test_a_class_has_a_curve_where_it_has_validation_pictures_enough(splits, extractor):
    counts = np.bincount(splits.validation.codes)
    curve = draw_learning_curve(splits, extractor, repeats=2)
    enough = {name for name, count in zip(splits.index.classes, counts, strict=True) if count >= 5}
    assert curve.per_class.keys() == enough


def test_labels_that_mean_nothing_teach_nothing(splits, extractor):
    names = np.random.default_rng(0).permutation(splits.index.table.column("label").to_pylist())
    place = splits.index.table.column_names.index("label")
    table = splits.index.table.set_column(place, "label", pa.array(names.tolist()))
    curve = draw_learning_curve(Splits(replace(splits.index, table=table), splits.parts), extractor)
    assert curve.points[-1].accuracy < 0.8
    assert "probably" not in curve.verdict


def test_a_larger_training_part_is_cut(splits, extractor, monkeypatch):
    monkeypatch.setattr(learning_curve, "MOST", 16)
    curve = draw_learning_curve(splits, extractor, repeats=2)
    assert [one.pictures for one in curve.points] == [4, 8, 16]
    assert f"with 16 of the {len(splits.train)} training pictures" in curve.verdict


def test_there_is_no_curve_where_there_is_nothing_to_see(splits, extractor):
    one_class = splits.index.take(np.arange(10))
    assert draw_learning_curve(Splits(one_class, splits.parts[:10]), extractor) is None
    assert draw_learning_curve(Splits(splits.index, np.zeros(40, np.int8)), extractor) is None
    few = np.full(40, 1, np.int8)
    few[[0, 10, 20, 30]] = 0
    assert draw_learning_curve(Splits(splits.index, few), extractor) is None


def test_a_curve_is_plain_values_and_text(splits, extractor):
    curve = draw_learning_curve(splits, extractor, repeats=2)
    assert from_plain(LearningCurve, json.loads(json.dumps(to_plain(curve)))) == curve
    lines = tabulate(curve).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("Doubling the training pictures from ")
    assert str(curve) == tabulate(curve)
    many = replace(curve, per_class={f"class-{number}": curve.points for number in range(30)})
    assert "The 10 of 30 classes that end lowest." in tabulate(many)
