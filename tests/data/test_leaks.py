"""Copies that a source has in several of its parts are all found, named with their partner, and moved on request."""

import hashlib
import io

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import telltale
from telltale.data.duplicates import RADIUS, Duplicates, find_duplicates
from telltale.data.index import _SCHEMA, Index, scan
from telltale.data.leaks import GROUP, LEAKS, LOOKS, PIXELS, find_leaks
from telltale.data.measures import measure
from telltale.data.neighbours import NO_PAIRS, Pairs
from telltale.data.splits import PARTS, Splits, describe_leaks, find_units, split, split_folds
from telltale.errors import DataError

TRAIN, VALIDATION, TEST = range(3)


def draw_scene(number, height=96, width=128):
    """A picture with large and small patches of colour, as photos have them; no two numbers look alike."""
    rng = np.random.default_rng([7, number])
    scene = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60), (6, 45), (12, 30), (24, 15)):
        patches = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        scene += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + rng.uniform(70, 170, 3) + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)


def change(pixels, number):
    """A copy: scaled, cropped by 3 %, brighter or darker, or only saved again; by its number."""
    image = Image.fromarray(pixels)
    if number % 5 == 1:
        image = image.resize((round(image.width * (0.5 + number / 40)), round(image.height * (0.5 + number / 40))))
    if number % 5 == 2:
        image = image.crop((1, 2, image.width - 3, image.height - 1))
    if number % 5 in (3, 4):
        image = image.point(lambda value: value * (1.2 if number % 5 == 3 else 0.8))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40 + number)
    return file.getvalue()


def leaks_of(parts, near, exact=None, units=None, pairs=NO_PAIRS):
    near = np.array(near)
    exact = np.full(len(near), -1) if exact is None else np.array(exact)
    units = np.where(near >= 0, near, 100 + np.arange(len(near))) if units is None else np.array(units)
    found = find_leaks(np.array(parts, np.int8), units, Duplicates(exact, near, pairs, 0.42))
    assert found.schema == LEAKS
    return [(leak["row"], leak["other"], leak["kind"]) for leak in found.to_pylist()]


def pair(*triples):
    left, right, distance = zip(*triples, strict=True)
    return Pairs(np.array(left), np.array(right), np.array(distance, np.float32))


def test_no_leaks_where_units_are_on_one_side():
    assert leaks_of([TRAIN, TRAIN, TEST, TEST, VALIDATION, -1], [0, 0, 1, 1, -1, 0]) == []
    assert leaks_of([], []) == []
    assert leaks_of([-1, TEST], [0, 0]) == [], "what is in no part leaks nothing"


def test_equal_pixels_count_before_looks_and_looks_before_groups():
    parts = [TRAIN, TRAIN, TRAIN, TEST, TEST, TEST]
    near, exact = [0, 0, -1, 0, 0, -1], [-1, 1, -1, 1, -1, -1]
    units = [0, 0, 0, 0, 0, 0]
    assert leaks_of(parts, near, exact, units) == [(3, 1, PIXELS), (4, 0, LOOKS), (5, 0, GROUP)]


def test_of_those_that_look_the_same_the_closest_is_the_partner():
    pairs = pair((0, 3, 0.4), (1, 3, 0.1), (2, 3, 0.3))
    assert leaks_of([TRAIN, TRAIN, TRAIN, TEST], [0, 0, 0, 0], pairs=pairs) == [(3, 1, LOOKS)]
    assert leaks_of([TRAIN, VALIDATION, TRAIN, TEST], [0, 0, 0, 0], pairs=pairs) == [(1, 0, LOOKS), (3, 2, LOOKS)]


def test_test_in_validation_is_a_leak_too_and_training_comes_first():
    assert leaks_of([VALIDATION, TEST], [0, 0]) == [(1, 0, LOOKS)]
    assert leaks_of([TEST, VALIDATION, TRAIN], [0, 0, 0]) == [(1, 2, LOOKS), (0, 2, LOOKS)]
    # As in validation by its pixels, as in training by its group: training counts.
    assert leaks_of([TRAIN, VALIDATION, TEST], [-1, 0, 0], [-1, 0, 0], [5, 5, 5]) == [(1, 0, GROUP), (2, 0, GROUP)]


def test_leaks_are_described_by_kind():
    kinds = [PIXELS, PIXELS, LOOKS, GROUP]
    leaks = pa.table([pa.array(range(4)), pa.array(range(4)), pa.array(kinds)], schema=LEAKS)
    assert describe_leaks(leaks).startswith(
        "4 pictures of validation and test are not new: 2 with the same pixels, 1 with the same looks, 1 of the same "
        "group as a picture in an earlier part. The source's own split has it so"
    )


# --- through the public face


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """A folder with fixed parts in two classes; 50 pictures of validation and test are changed copies."""
    root = tmp_path_factory.mktemp("leaking") / "pictures"
    names = {}
    for number in range(150):
        part = "train" if number < 100 else ("val", "test")[number % 2]
        path = root / part / "ab"[number // 2 % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_scene(number)).save(path)
        names[number] = path.relative_to(root).as_posix()
    partners = {}
    for number in range(50):
        original = number if number < 40 else 100 + 2 * number - 80  # the last ten: of validation, in test
        part = "test" if number >= 40 or number % 2 else "val"
        path = root / part / "ab"[original // 2 % 2] / f"copy-{number}.jpg"
        path.write_bytes(change(draw_scene(original), number))
        partners[path.relative_to(root).as_posix()] = names[original]
    return root, partners


def test_of_50_planted_copies_all_are_found(leaking):
    root, partners = leaking
    splits = telltale.split(telltale.scan(root))
    paths = splits.index.paths
    found = {paths[leak["row"]]: paths[leak["other"]] for leak in splits.leaks.to_pylist()}
    assert found == partners
    assert set(splits.leaks.column("kind").to_pylist()) == {LOOKS}
    assert any(note.startswith("50 pictures of validation and test are not new") for note in splits.notes)
    assert splits.radius == RADIUS


def test_leaks_come_back_from_disk(leaking, tmp_path):
    splits = split(scan(leaking[0]))
    other = Splits.load(splits.save(tmp_path / "splits.arrow"), splits.index)
    assert other.leaks.to_pylist() == splits.leaks.to_pylist() and len(other.leaks) == 50
    assert (other.radius, other.notes) == (splits.radius, splits.notes)


def test_moved_copies_leave_nothing_in_validation_and_test(leaking):
    index = scan(leaking[0])
    before, splits = split(index), split(index, fix_leaks=True)
    assert len(splits.leaks) == 0
    assert "50 pictures were moved out of validation and test: copies of pictures before them." in splits.notes
    units = find_units(index, find_duplicates(index))
    for unit in np.unique(units):
        assert len(set(splits.parts[units == unit])) == 1
    for leak in before.leaks.to_pylist():
        assert splits.parts[leak["row"]] == before.parts[leak["other"]]
    rest = np.setdiff1d(np.arange(len(index)), before.leaks.column("row").to_numpy())
    np.testing.assert_array_equal(splits.parts[rest], before.parts[rest])
    assert len(splits.train) == 100 + 40 and len(splits.test) == 25


def test_nothing_to_move_is_nothing_to_say(leaking):
    index = scan(leaking[0])
    clean = index.take(np.array([row for row, path in enumerate(index.paths) if "copy" not in path]))
    assert split(clean, fix_leaks=True).notes == split(clean).notes
    assert len(split(clean).leaks) == 0


def build(rows):
    """An index without files: (label, picture number, part, group) of each; a negative number is a fault."""
    table = []
    for number, (label, picture, part, group) in enumerate(rows):
        pixels = draw_scene(picture, 24, 32) if picture >= 0 else None
        table.append(
            {"path": f"{label}/{number}.png", "label": label, "split": part, "group": group, "bytes": 1}
            | {"digest": hashlib.sha256(str(number).encode()).digest(), "error": None if picture >= 0 else "empty"}
            | ({"pixels": hashlib.md5(str(number).encode()).digest()} if picture >= 0 else {})
            | ({"fingerprint": measure(pixels).fingerprint} if picture >= 0 else {})
        )
    classes = tuple(sorted({row[0] for row in rows}))
    return Index(pa.Table.from_pylist(table, schema=_SCHEMA), classes, "somewhere", "name", "class folders")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_of_nothing_but_copies_is_refused_when_they_are_moved(part):
    rows = [("ab"[n % 2], n, "train", None) for n in range(8)] + [("ab"[n % 2], n, part, None) for n in range(4)]
    rows += [("ab"[n % 2], 20 + n, ({*PARTS} - {"train", part}).pop(), None) for n in range(4)]
    assert len(split(build(rows)).leaks) == 4
    with pytest.raises(
        DataError, match=rf"Every {part} picture is a copy of a picture in an earlier part: none is left"
    ):
        split(build(rows), fix_leaks=True)


def test_units_join_looks_and_groups_transitively():
    rows = [
        ("a", 0, None, "g"),
        ("a", 1, None, "g"),
        ("a", 1, None, "h"),  # looks like the one before, so g and h are one unit
        ("b", 2, None, "h"),
        ("b", 3, None, None),
        ("b", -1, None, "i"),
        ("b", 4, None, "i"),
    ]
    index = build(rows)
    assert find_units(index, find_duplicates(index)).tolist() == [0, 0, 0, 0, 4, 5, 5]


# --- folds


def many(count=60, seed=0):
    """Pictures of two classes, some copies, groups, faults and fixed parts among them."""
    rng = np.random.default_rng(seed)
    rows = [("ab"[n % 2], n if n % 7 else n // 14, None, f"g{n // 6}" if n % 3 == 0 else None) for n in range(count)]
    return [
        (a, -1 if rng.random() < 0.05 else b, ["train", "test", None][n % 3], d) for n, (a, b, _, d) in enumerate(rows)
    ]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_usable_picture_is_tested_once_and_units_stay_together(folds):
    index = build(many())
    usable = index.table.column("error").is_null().to_numpy()
    units = find_units(index, find_duplicates(index))
    found = split_folds(index, folds, seed=1)
    assert len(found) == folds
    tested = np.stack([splits.parts == TEST for splits in found])
    assert (tested.sum(axis=0) == usable).all()
    for number, splits in enumerate(found, 1):
        assert ((splits.parts >= 0) == usable).all()
        assert splits.notes == (
            f"Fold {number} of {folds}: its pictures are the test part, the others are learned from.",
        )
        for unit in np.unique(units):
            assert len(set(splits.parts[(units == unit) & usable])) <= 1
        assert len(splits.train) and len(splits.validation) and len(splits.leaks) == 0
        assert set(splits.train.codes) == {0, 1}
    again = split_folds(index, folds, seed=1)
    assert all((one.parts == other.parts).all() for one, other in zip(found, again, strict=True))


def test_folds_of_single_pictures_are_even():
    found = split_folds(build([("ab"[n % 2], n, None, None) for n in range(46)]), 5)
    for splits in found:
        assert set(splits.test.counts.values()) <= {4, 5}
        assert len(splits.validation) in (5, 6)


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (1, r"The data are to be divided into 1 folds\. At least 2 folds"),
        (0, r"The data are to be divided into 0 folds\."),
        (4, r"divided into 4 folds, but too few separate pictures of 'b' \(3\)\. .* Give a smaller --folds"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, words):
    rows = [("a", n, None, None) for n in range(9)] + [("b", 20 + n % 3, None, None) for n in range(9)]
    with pytest.raises(DataError, match=words):
        split_folds(build(rows), folds)
    assert len(split_folds(build(rows), 3)) == 3
