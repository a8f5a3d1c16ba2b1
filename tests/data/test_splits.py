"""Every picture in one part, nothing that belongs together in two, and everything that was decided is said."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings, strategies as st

from telltale.data.index import _SCHEMA, Index
from telltale.data.splits import PARTS, Splits, given_part, reserve_calibration, split
from telltale.errors import BundleError, DataError

TRAIN, VALIDATION, TEST = range(3)
LABELS = ("ant", "bee", "cat")


def build(samples, classes=LABELS):
    """An index without files: each sample is (label, pixels, group, split, error)."""
    rows = []
    for number, (label, pixels, group, part, error) in enumerate(samples):
        seen = None if error else hashlib.md5(str(pixels).encode()).digest()
        digest = hashlib.sha256(f"{number} {label}".encode()).digest()
        rows.append(
            {"path": f"{label}/{number}.png", "label": label, "split": part, "group": group, "bytes": 1}
            | {"digest": digest, "pixels": seen, "error": error}
        )
    return Index(pa.Table.from_pylist(rows, schema=_SCHEMA), classes, "somewhere", "name", "class folders")


def plain(*counts, part=None, classes=LABELS):
    """So many different pictures of each of the first classes."""
    classes = classes[: len(counts)]
    numbered = [(label, n) for label, count in zip(classes, counts, strict=True) for n in range(count)]
    return build([(label, (label, n), None, part, None) for label, n in numbered], classes)


def join(*indexes):
    return Index(pa.concat_tables([one.table for one in indexes]), LABELS, "somewhere", "name", "class folders")


def sizes(splits):
    return [len(part) for part in (splits.train, splits.validation, splits.test)]


def table_of(splits):
    """Samples per class (rows) and part (columns)."""
    codes = splits.index.codes
    return [
        [int(((codes == code) & (splits.parts == part)).sum()) for part in range(3)]
        for code in range(len(splits.index.classes))
    ]


PICTURES = st.tuples(st.sampled_from(LABELS), st.integers(0, 30), st.sampled_from([None] * 4 + ["g", "h", "i"]))
FREE = st.builds(lambda one, error: (*one, None, error), PICTURES, st.sampled_from([None] * 9 + ["truncated"]))
FIXED = st.builds(lambda one, part: (*one, part, None), PICTURES, st.sampled_from(PARTS))
MIXED = st.one_of(FIXED, FREE)


def try_split(index, **options):
    """The split, or a draw that hypothesis shall forget: too few pictures are another test's matter."""
    try:
        return split(index, **options)
    except DataError:
        assume(False)


def belong_together(index):
    """Sets of rows that share pixels or group, directly or by way of others; unreadable ones have no pixels."""
    table = index.table
    sets = [{row} for row in range(len(index))]
    for column in ("pixels", "group"):
        by_value = {}
        for row, value in enumerate(table.column(column).to_pylist()):
            if value is not None:
                by_value.setdefault(value, set()).add(row)
        for rows in by_value.values():
            touched = [one for one in sets if one & rows]
            sets = [one for one in sets if not one & rows] + [set().union(*touched)]
    return sets


@settings(max_examples=100, deadline=None)
@given(samples=st.lists(FREE, min_size=20, max_size=60), seed=st.integers(0, 99))
def test_every_usable_sample_is_in_one_part_and_what_belongs_together_stays_together(samples, seed):
    splits = try_split(build(samples), seed=seed)
    usable = splits.index.table.column("error").is_null().to_numpy()
    assert ((splits.parts >= 0) == usable).all()
    assert sum(sizes(splits)) == usable.sum() and min(sizes(splits)) > 0
    paths = [path for part in (splits.train, splits.validation, splits.test) for path in part.paths]
    assert len(set(paths)) == len(paths)
    for rows in belong_together(splits.index):
        assert len({int(splits.parts[row]) for row in rows if usable[row]}) <= 1
    assert len(splits.leaks) == 0
    assert set(splits.train.codes) == set(splits.index.codes[usable])


@settings(max_examples=100, deadline=None)
@given(samples=st.lists(MIXED, min_size=20, max_size=60), seed=st.integers(0, 99))
def test_what_the_source_fixes_is_kept_and_its_leaks_are_counted(samples, seed):
    index = build(samples)
    given_parts = [PARTS.index(part) if part else -1 for part in index.table.column("split").to_pylist()]
    assume({TRAIN, VALIDATION, TEST} <= set(given_parts))
    splits = try_split(index, seed=seed)
    usable = index.table.column("error").is_null().to_numpy()
    for row, part in enumerate(given_parts):
        if part >= 0 and usable[row]:
            assert splits.parts[row] == part
    leaks = 0
    for rows in belong_together(index):
        fixed = {given_parts[row] for row in rows if usable[row]} - {-1}
        found = [int(splits.parts[row]) for row in rows if usable[row]]
        assert set(found) == (fixed or ({TRAIN} if found else set())), "only the source may part what belongs together"
        leaks += sum(part > min(found) for part in found)
    assert len(splits.leaks) == leaks
    said = [note for note in splits.notes if "pictures of validation and test are not new: " in note]
    assert [note.startswith(f"{leaks} pictures of validation and test") for note in said] == ([True] if leaks else [])


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(*[st.integers(3, 80)] * 3),
    seed=st.integers(0, 9),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_every_class_has_its_share_in_every_part(counts, seed, val, test):
    splits = split(plain(*counts), seed=seed, val=val, test=test)
    for count, found in zip(counts, table_of(splits), strict=True):
        assert sum(found) == count and min(found) >= 1
        goals = [share * count for share in (1 - val - test, val, test)]
        lent = sum(goal < 1 for goal in goals)  # a part that would stay empty is given one from the fullest
        for goal, number in zip(goals, found, strict=True):
            assert abs(number - goal) <= 1 + lent


def test_groups_are_dealt_out_whole_and_near_their_share():
    samples = [(label, n, f"{label} {n // 4}", None, None) for label in LABELS[:2] for n in range(80)]
    splits = split(build([(a, f"{a}{b}", c, d, e) for a, b, c, d, e in samples], LABELS[:2]))
    for found in table_of(splits):
        assert [abs(number - goal) <= 4 for number, goal in zip(found, (56, 12, 12), strict=True)] == [True] * 3


def test_the_seed_decides_and_nothing_else():
    index = plain(40, 30, 20)
    first, again, other = split(index, seed=3), split(index, seed=3), split(index, seed=4)
    np.testing.assert_array_equal(first.parts, again.parts)
    assert (first.parts != other.parts).any() and sizes(first) == sizes(other)
    assert first.notes == ("The source has no split: 70% train, 15% validation, 15% test, by class.",)


def test_more_pictures_of_one_class_leave_the_other_classes_as_they_are():
    few, many = split(plain(20, 20)), split(plain(20, 35))
    assert few.parts[:20].tolist() == many.parts[:20].tolist()


def test_shares_are_those_that_were_asked_for():
    splits = split(plain(100, 100), val=0.2, test=0.3)
    assert table_of(splits) == [[50, 20, 30]] * 2
    assert "50% train, 20% validation, 30% test" in splits.notes[0]


# --- what the source fixes

CASES = {
    "train and validation": (
        ("train", "validation"),
        [40, 20, 20],
        ["no test part: half of its validation pictures become one, used for nothing but the test"],
    ),
    "train and test": (
        ("train", "test"),
        [34, 6, 40],
        ["no validation part: 15% of its training pictures become one"],
    ),
    "train only": (
        ("train",),
        [34, 4, 2],
        ["no validation part: 15% of its training pictures become one", "no test part: half of these become one"],
    ),
    "all three": (("train", "validation", "test"), [40, 40, 40], []),
}


@pytest.mark.parametrize(("parts", "expected", "words"), CASES.values(), ids=CASES)
def test_a_part_that_the_source_lacks_is_made_and_said(parts, expected, words):
    index = join(
        *[build([(a, (part, a, n), None, part, None) for a in LABELS[:2] for n in range(20)]) for part in parts]
    )
    index = Index(index.table, LABELS[:2], "somewhere", "name", "split folders")
    splits = split(index)
    assert sizes(splits) == expected
    assert len(splits.notes) == len(words)
    for note, piece in zip(splits.notes, words, strict=True):
        assert piece in note
        assert note in str(splits)
    if "test" in parts:
        assert splits.test.table.column("split").to_pylist() == ["test"] * 40
    if "train" in parts and "validation" in parts:
        assert set(splits.train.table.column("split").to_pylist()) == {"train"}


def test_samples_that_name_no_part_go_to_training_unless_their_like_is_elsewhere():
    fixed = [(a, (a, n), None, PARTS[n % 3], None) for a in LABELS[:2] for n in range(9)]
    free = [
        ("ant", "new", None, None, None),
        ("ant", ("ant", 0), None, None, None),  # as in training
        ("ant", ("ant", 2), None, None, None),  # as in the test
        ("bee", ("bee", 1), None, None, None),  # as in validation
    ]
    splits = split(build(fixed + free, LABELS[:2]))
    assert splits.parts[-4:].tolist() == [TRAIN, TRAIN, TEST, VALIDATION]
    assert len(splits.leaks) == 0
    said = "4 samples name no part: they go to training, but for 2 that belong with pictures of another part."
    assert splits.notes == (said,)
    assert split(build([*fixed, free[0]], LABELS[:2])).notes == ("1 samples name no part: they go to training.",)


def test_nothing_to_train_on_is_refused():
    both = join(plain(5, 5, 5, part="validation"), plain(5, 5, 5, part="test"))
    with pytest.raises(DataError, match="The source fixes validation and test, but nothing to train on"):
        split(both)
    with pytest.raises(DataError, match=r"The source fixes test, but nothing to train on\. A training part beside"):
        split(plain(5, 5, 5, part="test"))


def test_a_class_without_training_pictures_is_refused():
    index = join(plain(5, 5, 0, part="train"), plain(0, 0, 5, part="validation"))
    with pytest.raises(
        DataError, match=r"No training pictures of 'cat'\. Pictures of every class in the training part"
    ):
        split(index)


def test_a_part_that_stays_empty_is_refused():
    same = build([(label, label, None, None, None) for label in LABELS[:2] for _ in range(5)], LABELS[:2])
    with pytest.raises(DataError, match=r"No pictures are left for the validation part\. Enough different pictures"):
        split(same)


# --- few pictures


def test_one_class_is_refused():
    with pytest.raises(DataError, match=r"'somewhere' has pictures of only one class: 'ant'\. At least two classes"):
        split(plain(9, classes=("ant",)))
    with pytest.raises(DataError, match="'somewhere' has pictures of no class"):
        split(plain())


def test_classes_that_only_have_faults_do_not_count():
    faults = [("bee", n, None, None, "truncated") for n in range(9)]
    index = join(plain(9), build(faults))
    with pytest.raises(DataError, match="only one class: 'ant'"):
        split(index)


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_with_less_than_two_pictures_is_refused(count):
    with pytest.raises(DataError, match=rf"Too few usable pictures of 'cat' \({count}\)\. At least 2 of each class"):
        split(plain(9, 9, count))


def test_of_many_classes_with_too_few_the_first_are_named():
    classes = tuple("abcdefghi")
    with pytest.raises(DataError, match=r"of 'b' \(1\), 'c' \(1\), 'd' \(1\), 'e' \(1\), 'f' \(1\) and 2 more\b"):
        split(plain(9, *[1] * 7, 9, classes=classes))


@pytest.mark.parametrize(("count", "expected"), [(2, [1, 0, 1]), (3, [1, 1, 1])])
def test_a_tiny_class_is_learned_first_then_tested(count, expected):
    for seed in range(5):
        splits = split(plain(30, 30, count), seed=seed)
        assert table_of(splits)[2] == expected
        said = [note for note in splits.notes if note == "Classes too small to be in all three parts: 'cat' (2)."]
        assert len(said) == (count == 2)


def test_faults_do_not_count_for_the_size_of_a_class():
    index = join(plain(30, 30, 2), build([("cat", n, None, None, "empty") for n in range(9)]))
    assert "Classes too small to be in all three parts: 'cat' (2)." in split(index).notes


def test_samples_without_a_label_are_in_no_part():
    index = join(plain(9, 9, 9), build([(None, "x", None, None, None), (None, "y", None, "train", None)]))
    splits = split(index)
    assert splits.parts[-2:].tolist() == [-1, -1] and sum(sizes(splits)) == 27


# --- parts that are named


def test_a_part_of_the_source_is_given_by_its_name():
    index = join(plain(2, 3, part="train"), plain(4, 0, part="test"))
    assert len(given_part(index, "train")) == 5 and len(given_part(index, "test")) == 4
    assert given_part(index, "") is index
    for name in ("validation", "val", "Test"):
        with pytest.raises(
            DataError, match=rf"'somewhere' have no part '{name}'\. One of train, test\. Leave --part away"
        ):
            given_part(index, name)
    with pytest.raises(DataError, match=r"have no part 'test'\. Data that are divided into parts"):
        given_part(plain(2, 2), "test")


# --- on disk


def test_splits_come_back_whole(tmp_path):
    fixed = [("ant", "a", None, part, None) for part in PARTS]
    index = join(plain(9, 9, 2), build([*fixed, ("bee", 1, None, None, "empty")]))
    splits = split(index, seed=5)
    other = Splits.load(splits.save(tmp_path / "splits.arrow"), index)
    np.testing.assert_array_equal(other.parts, splits.parts)
    assert other.parts.dtype == np.int8 and len(splits.leaks) == 2
    assert (other.notes, str(other)) == (splits.notes, str(splits))
    assert other.leaks.to_pylist() == splits.leaks.to_pylist()
    assert other.test.paths == splits.test.paths


def test_splits_of_other_data_are_refused(tmp_path):
    index = plain(9, 9)
    path = split(index).save(tmp_path / "splits.arrow")
    for other in (index.take(np.arange(17)), index.take(np.arange(18)[::-1]), plain(9, 10)):
        with pytest.raises(BundleError, match="belong to other pictures than the index of 'somewhere'"):
            Splits.load(path, other)


@pytest.mark.parametrize("data", [None, b"", b"no arrow"], ids=["missing", "empty", "text"])
def test_a_file_that_is_no_splits_is_refused(tmp_path, data):
    path = tmp_path / "splits.arrow"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BundleError, match=r"The splits '.*' cannot be read \(.*A splits.arrow that Telltale wrote"):
        Splits.load(path, plain(9, 9))


def test_splits_of_another_version_or_form_are_refused(tmp_path):
    index = plain(9, 9)
    path = split(index).save(tmp_path / "splits.arrow")
    with pytest.raises(BundleError, match=r"have format version '2'\. Splits of version 2"):
        Splits.load(index.save(tmp_path / "index.arrow"), index)
    newer = pa.ipc.open_file(path.read_bytes()).read_all().replace_schema_metadata({"format_version": "3"})
    with pa.OSFile(str(tmp_path / "newer"), "wb") as file, pa.ipc.new_file(file, newer.schema) as writer:
        writer.write_table(newer)
    with pytest.raises(BundleError, match=r"have format version '3'\. Splits of version 2\. Split the data again"):
        Splits.load(tmp_path / "newer", index)


def test_a_flipped_byte_of_splits_is_a_clear_error_or_harmless(tmp_path):
    index = plain(5, 5)
    whole = split(index).save(tmp_path / "whole").read_bytes()
    for place in range(len(whole)):
        path = tmp_path / f"{place}.arrow"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            splits = Splits.load(path, index)
        except BundleError:
            continue
        assert len(splits.parts) == len(index)


def test_half_of_a_large_validation_part_is_kept_for_calibration(tmp_path):
    splits = split(plain(700, 700), seed=3)
    apart = reserve_calibration(splits, seed=3)
    assert sizes(splits) == [980, 210, 210]
    assert sizes(apart) == [980, 106, 210]
    assert list(apart.calibration.counts.values()) == [52, 52]
    assert {*apart.calibration.paths, *apart.validation.paths} == set(splits.validation.paths)
    assert apart.notes[-1] == "104 of 210 validation pictures only calibrate the probabilities: they choose nothing."
    assert list(apart.named) == [*PARTS, "calibration"] and list(splits.named) == list(PARTS)
    assert reserve_calibration(apart) is apart
    again = Splits.load(apart.save(tmp_path / "splits.arrow"), apart.index)
    assert np.array_equal(again.parts, apart.parts) and len(again.calibration) == 104


def test_a_small_validation_part_stays_whole():
    splits = split(plain(600, 600))
    assert len(splits.validation) == 180
    assert reserve_calibration(splits) is splits
