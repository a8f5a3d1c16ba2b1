"""What a further set of pictures differs in is found and named; where nothing differs, that is said."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from telltale.data.index import scan
from telltale.evaluation.differences import MEASURES, find_differences
from telltale.evaluation.evaluation import score
from telltale.evaluation.metrics import Interval
from telltale.evaluation.scoring import evaluate
from telltale.evaluation.shift import ClassDrop, measure_shift, surely_worse
from telltale.evaluation.shift_table import tabulate_shift
from telltale.values import to_plain


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))


def change(folder, alter):
    for path in folder.rglob("*.png"):
        alter(Image.open(path)).save(path)
    return folder


def darken(picture):
    return picture.point(lambda value: value // 3)


def blur(picture):
    return picture.filter(ImageFilter.GaussianBlur(2))


def halve(picture):
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.NEAREST)


@pytest.fixture
def measure(classifier, pictures):
    """The shift from `pictures` to another folder, and the evaluations of both."""

    def run(folder):
        indexes = scan(pictures), scan(folder)
        both = tuple(evaluate(classifier, index) for index in indexes)
        return measure_shift(*indexes, classifier.extractor, evaluations=both), both

    return run


def word(shift, name):
    return next(one.word for one in shift.differences if one.name == name)


@pytest.mark.parametrize(
    ("alter", "name", "expected"),
    [(darken, "brightness", "darker"), (blur, "sharpness", "blurrier")],
)
def test_what_was_changed_is_found_and_named(measure, unseen, alter, name, expected):
    shift, both = measure(change(unseen, alter))
    assert shift.auc.low > 0.6
    assert word(shift, name) == expected
    assert f"{expected} ({name} " in shift.verdict
    assert " tell the two sets apart (AUC " in shift.verdict
    assert shift.pictures == (40, 40)
    assert len(shift.typical) == 24
    assert [one.chance for one in shift.typical] == sorted((one.chance for one in shift.typical), reverse=True)
    assert all(one.true != one.predicted for one in shift.telling)
    assert all(len(line) <= 80 for line in tabulate_shift(shift, both).splitlines())


def test_a_difference_that_does_not_show_gets_no_word(pictures):
    table = scan(pictures).table
    second = np.arange(40) % 2 == 1
    at = table.schema.get_field_index("brightness")
    for apart, expected in ((0.001, ""), (0.02, "brighter")):
        values = pa.array((0.45 + apart * second).astype(np.float32))
        changed = table.set_column(at, "brightness", values)
        (found, *_) = find_differences(changed, second, np.zeros(40, np.int32))
        assert (found.name, found.auc.value, found.word) == ("brightness", 1, expected)


def test_pictures_of_the_same_kind_do_not_differ(measure, unseen):
    shift, both = measure(unseen)
    assert shift.auc.low <= 0.5 <= shift.auc.high
    assert shift.verdict.startswith("No difference was found between what the network sees in the two sets (AUC ")
    assert not any(one.word for one in shift.differences)
    # PNG files have no JPEG quality.
    assert [one.name for one in shift.differences] == [one.name for one in MEASURES if one.name != "JPEG quality"]
    assert "No single class surely suffers." in shift.verdict
    assert json.loads(json.dumps(to_plain(shift)))["auc"]["value"] == shift.auc.value
    table = tabulate_shift(shift, both)
    assert "test part, 40" in table and "these, 40" in table
    assert "brightness" in table and "JPEG quality" not in table


def test_more_of_one_class_is_no_difference(measure, unseen):
    for path in unseen.glob("[gy]*/*"):
        if int(path.stem[-1]) > 1:
            path.unlink()
    shift, _ = measure(unseen)
    assert shift.pictures == (40, 24)
    assert shift.auc.low <= 0.5 <= shift.auc.high
    assert not any(one.word for one in shift.differences)


def test_of_few_pictures_only_the_results_are_compared(measure, unseen):
    for path in unseen.rglob("*.png"):
        if int(path.stem[-1]) > 3:
            path.unlink()
    shift, both = measure(unseen)
    assert (shift.auc, shift.differences, shift.pictures) == (None, (), (40, 16))
    assert (
        "With 16 pictures on one side it cannot be said whether the pictures differ: at least 20 are" in shift.verdict
    )
    assert "Accuracy " in shift.verdict and len(shift.drops) == 4
    assert "recall of" in tabulate_shift(shift, both)


def test_what_the_network_does_not_see_is_named_all_the_same(measure, unseen):
    """Noise with every second pixel left out is the same noise."""
    shift, _ = measure(change(unseen, halve))
    assert shift.auc.low <= 0.5
    assert shift.verdict.startswith("No difference was found between what the network sees in the two sets (AUC 0.")
    assert ", but the new pictures are smaller (shorter side " in shift.verdict


def test_one_class_alone_is_compared_with_its_own(classifier, pictures, unseen):
    reference, other = scan(pictures), scan(unseen)
    other = other.take(np.repeat(np.flatnonzero(other.codes == 0), 3))
    both = evaluate(classifier, reference), evaluate(classifier, other)
    shift = measure_shift(reference, other, classifier.extractor, evaluations=both)
    assert [one.name for one in shift.drops] == ["blue"]
    assert shift.auc.low <= 0.5 <= shift.auc.high
    assert len(shift.typical) == 10, "of three copies one is shown"
    assert "surely suffers" not in shift.verdict


def test_without_a_common_class_it_is_said(classifier, pictures, unseen):
    indexes = scan(pictures), scan(unseen)
    parts = [
        index.take(np.flatnonzero((index.codes < 2) == one)) for index, one in zip(indexes, (True, False), strict=True)
    ]
    both = tuple(evaluate(classifier, part) for part in parts)
    shift = measure_shift(*parts, classifier.extractor, evaluations=both)
    assert shift.auc is None and shift.drops == ()
    assert "The two sets have no class in common, so it cannot be said whether" in shift.verdict


def test_where_the_pictures_are_gone_the_files_still_tell(classifier, pictures, unseen, tmp_path, monkeypatch):
    change(unseen, darken)
    indexes = scan(pictures), scan(unseen)
    both = tuple(evaluate(classifier, index) for index in indexes)
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "another"))
    shutil.rmtree(pictures)
    shift = measure_shift(*indexes, classifier.extractor, evaluations=both)
    assert shift.auc is None
    assert word(shift, "brightness") == "darker"
    assert shift.verdict.startswith("The new pictures are darker")
    assert "Whether the network sees a difference cannot be said: " in shift.verdict
    assert measure_shift(*indexes, None, evaluations=both).auc is None


def test_classes_that_surely_lose_come_first(pictures):
    labels = np.repeat(np.arange(3, dtype=np.int32), 100)

    def result(*right):
        said = labels.copy()
        for code, share in enumerate(right):
            rows = np.flatnonzero(labels == code)[round(100 * share) :]
            said[rows] = (code + 1) % 3
        return score(labels, np.eye(3, dtype=np.float32)[said], ["ant", "bee", "cat"])

    both = result(0.9, 0.95, 0.9), result(0.88, 0.5, 0.95)
    nothing = scan(pictures).take(np.arange(0))
    shift = measure_shift(nothing, nothing, None, evaluations=both)
    assert shift.verdict.startswith("With 0 pictures on one side it cannot be said")
    assert [one.name for one in shift.drops] == ["bee", "ant", "cat"]
    assert [one.name for one in surely_worse(shift.drops)] == ["bee"]
    assert "'bee' suffers most: recall 0.500 against 0.950." in shift.verdict
    assert "Accuracy falls from 91.7 % to 77.7 %, more than by chance (-" in shift.verdict


def test_among_many_classes_one_small_loss_is_chance():
    same = Interval(0.9, 0.8, 0.95)
    drop = ClassDrop("x", same, same, Interval(0.1, 0.01, 0.2))
    none = ClassDrop("y", same, same, Interval(0.0, -0.1, 0.1))
    assert surely_worse((drop,)) == (drop,)
    assert surely_worse((drop, *[none] * 99)) == ()
    assert surely_worse(()) == ()
