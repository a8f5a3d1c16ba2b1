"""What a collection is like: class frequencies, the majority baseline, sizes and the input size that suits them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from telltale.data.facts import FACTS
from telltale.data.index import Index
from telltale.data.statistics import INPUT_SIZES, summarise
from telltale.data.subject import find_common_size
from telltale.words import columns

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("path", "label", "split", "group")),
        ("bytes", pa.int64()),
        ("digest", pa.binary(32)),
        *FACTS,
    ]
)


def make_index(rows, classes=("ant", "bee")):
    """An index without files; what the rows leave out is that of a picture in colour of 200 x 160."""
    fine = {"path": "x.jpg", "label": "ant", "width": 200, "height": 160, "format": "JPEG", "colour": 0.1}
    return Index(pa.Table.from_pylist([fine | row for row in rows], schema=SCHEMA), classes, "here", "name", "folders")


def test_counts_by_class_and_given_part():
    rows = [{"split": "train"}] * 3 + [{"split": "test", "label": "bee"}] * 2 + [{"label": None}, {"error": "empty"}]
    found = summarise(make_index(rows))
    assert (found.pictures, found.unreadable, found.unlabelled, found.usable, found.labelled) == (7, 1, 1, 6, 5)
    assert found.counts.tolist() == [[3, 0, 0, 0], [0, 0, 2, 0]]
    assert (found.majority, found.baseline, found.imbalance) == ("ant", 0.6, 1.5)
    told = found.to_dict()
    assert told["classes"] == [
        {"name": "ant", "pictures": 3, "train": 3, "test": 0},
        {"name": "bee", "pictures": 2, "train": 0, "test": 2},
    ]
    assert told["baseline"] == {"class": "ant", "accuracy": 0.6}
    text = "\n".join(found.describe("here"))
    assert "7 pictures of 2 classes in here" in text
    assert "1 of 7 pictures cannot be used." in text and "1 of 7 pictures have no label." in text
    assert [line.split() for line in text.splitlines()[2:5]] == [
        ["class", "train", "test", "pictures", "share"],
        ["ant", "3", "0", "3", "60.0%"],
        ["bee", "0", "2", "2", "40.0%"],
    ]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([4, 4], "The classes are about equally large. Always saying 'ant' would be right for 50.0%."),
        ([4, 8], "The largest class has 2.0 times as many pictures as the smallest. Always saying 'bee'"),
        ([10, 1], "would be right for 90.9%. Look at the balanced accuracy, not at the accuracy alone."),
        ([3, 0], "Always saying 'ant' would be right for 100.0%."),
    ],
)
def test_imbalance_is_said_in_words(counts, words):
    rows = [{"label": name} for name, count in zip(("ant", "bee"), counts, strict=True) for _ in range(count)]
    assert words in " ".join(summarise(make_index(rows)).sentences())


@pytest.mark.parametrize(
    ("sides", "size", "words"),
    [
        ([300, 300, 50], 288, "the largest usual one that half of the pictures fill unenlarged"),
        ([96], 96, "the largest usual one"),
        ([95], 96, "the smallest usual one; most pictures are enlarged to it"),
        ([28, 28, 1000], 96, "the smallest usual one"),
        ([4000] * 5, 512, "the largest usual one"),
    ],
)
def test_the_input_size_is_what_the_median_picture_fills(sides, size, words):
    found = summarise(make_index([{"width": 2 * side, "height": side} for side in sides]))
    assert found.input_size == found.to_dict()["input_size"] == size
    assert f"Suggested input size: {size} pixels, {words}" in " ".join(found.sentences())


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_half_of_the_pictures_fill_the_input_size(sides):
    found = summarise(make_index([{"width": side, "height": side} for side in sides]))
    filled = sum(side >= found.input_size for side in sides)
    assert found.input_size in INPUT_SIZES
    assert 2 * filled >= len(sides) or found.input_size == INPUT_SIZES[0]
    assert found.shorter.least == min(sides) and found.shorter.greatest == max(sides)


def test_sizes_formats_and_grey_pictures_are_said():
    grey = {"colour": 0.0, "format": "PNG"}
    text = " ".join(summarise(make_index([{}, {"width": 100, "height": 200}, {}, grey])).sentences())
    assert "The shorter side has 100 to 160 pixels, in the middle 160; width to height is 0.50 to 1.25" in text
    assert "75.0% have 200 x 160. 3 JPEG, 1 PNG; 1 grey." in text
    assert "All have 200 x 160 pixels. 2 JPEG; all in colour." in summarise(make_index([{}] * 2)).sentences()
    assert "All have 200 x 160 pixels. 2 PNG; all grey." in summarise(make_index([grey] * 2)).sentences()


def test_of_many_classes_the_largest_and_the_smallest_are_shown():
    classes = tuple(f"c{number:02}" for number in range(30))
    rows = [{"label": name} for number, name in enumerate(classes) for _ in range(number + 1)]
    lines = summarise(make_index(rows, classes)).describe("here")
    named = [line.split()[0] for line in lines if line.startswith("c")][1:]
    assert named == ["c29", "c28", "c27", "c26", "c25", "c03", "c02", "c01", "c00"]
    assert "21 more classes between" in lines


def test_nothing_to_count_is_no_error():
    for index in (make_index([]), make_index([], ()), make_index([{"error": "empty", "width": None, "height": None}])):
        found = summarise(index)
        assert (found.usable, found.majority, found.baseline, found.input_size) == (0, "", 0.0, 96)
        assert found.shorter is None and found.to_dict()["shorter_side"] is None
        assert "No picture can be used." in found.describe("here")


def test_names_of_any_kind_fit_into_eighty_columns():
    classes = ("猫" * 40, "a\nb\x1b[31m", "e\u0301" * 50, "x" * 300)
    lines = summarise(make_index([{"label": name} for name in classes], classes)).describe("/" + "y" * 200)
    assert max(columns(line) for line in lines[:7]) <= 80
    assert all(line.isprintable() for line in lines)


def test_the_most_frequent_size():
    assert find_common_size(np.float32([]), np.float32([])) == (0, 0, 0.0)
    assert find_common_size(np.float32([3, 1e8]), np.float32([1, 1]))[:2] == (3, 1)
    assert find_common_size(np.float32([5, 4, 5]), np.float32([7, 7, 7])) == (5, 7, 2 / 3)
