"""`Evaluation` as value, text and file."""

import json

import numpy as np
import pytest
from pyarrow import parquet

from telltale.errors import BundleError, DataError, ModelError
from telltale.evaluation.evaluation import Evaluation, score
from telltale.evaluation.wording import describe
from telltale.words import printable


def scored(images=250, classes=2, names=None, seed=0, **options):
    """A classifier that is right most of the time."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    strength = generator.normal(size=(images, classes))
    strength[np.arange(images), labels] += 3
    probabilities = np.exp(strength) / np.exp(strength).sum(axis=1, keepdims=True)
    names = names or [f"class {number}" for number in range(classes)]
    paths = [f"{names[label]}/{row}.jpg" for row, label in enumerate(labels)]
    return score(labels, probabilities, names, paths=paths, **options)


def test_score_counts_everything():
    evaluation = scored(unreadable=3)
    assert evaluation.images == 250
    assert evaluation.unreadable == 3
    assert sum(one.support for one in evaluation.per_class) == 250
    assert list(evaluation.metrics) == ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
    supports = {one.name: one.support for one in evaluation.per_class}
    assert evaluation.majority == max(supports, key=supports.get)
    assert evaluation.baseline == max(supports.values()) / 250


@pytest.mark.parametrize(("classes", "there"), [(5, False), (6, True)])
def test_top_5_only_where_it_means_something(classes, there):
    assert ("top5_accuracy" in scored(100, classes).metrics) is there


def test_same_seed_same_evaluation():
    assert scored(seed=1).to_dict() == scored(seed=1).to_dict()


def test_save_and_load_round_trip(tmp_path):
    evaluation = scored(120, 7, names=["猫", "b", "c", "d", "<e>", "f", "g"], unreadable=2)
    loaded = Evaluation.load(evaluation.save(tmp_path / "evaluation.json"))
    assert loaded.to_dict() == evaluation.to_dict()
    assert str(loaded) == str(evaluation)
    assert loaded.mistakes() == evaluation.mistakes()
    assert len(loaded.labels) == 0
    content = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert (content["kind"], content["format_version"]) == ("evaluation", 1)


def test_load_refuses_a_damaged_file(tmp_path):
    path = scored().save(tmp_path / "evaluation.json")
    content = json.loads(path.read_text())
    del content["metrics"]["accuracy"]["low"]
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"The evaluation .* is damaged .* Evaluate again: telltale evaluate MODEL"):
        Evaluation.load(path)


def test_predictions_are_saved_by_row(tmp_path):
    evaluation = scored(30, 3)
    table = parquet.read_table(evaluation.save_predictions(tmp_path / "predictions.parquet"))
    assert table.column("path").to_pylist() == list(evaluation.paths)
    assert table.column("label").to_pylist() == [evaluation.classes[label] for label in evaluation.labels]
    saved = np.array(table.column("probabilities").to_pylist())
    assert saved == pytest.approx(evaluation.probabilities, abs=1e-6)
    assert table.column("predicted").to_pylist() == [evaluation.classes[row.argmax()] for row in saved]
    assert table.schema.field("probabilities").metadata[b"classes"] == b"class 0\nclass 1\nclass 2"


def test_mistakes_come_most_confident_first():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7]])
    evaluation = score(labels, probabilities, ["cat", "dog"], paths=["a", "b", "c", "d"])
    assert [(one.path, one.true, one.predicted, one.probability) for one in evaluation.mistakes()] == [
        ("c", "dog", "cat", 0.8),
        ("b", "cat", "dog", 0.6),
    ]
    assert len(evaluation.mistakes(1)) == 1
    assert score(labels, probabilities, ["cat", "dog"]).mistakes()[0].path == "picture 2"


@pytest.mark.parametrize(
    ("classes", "names"),
    [(2, None), (7, None), (120, None), (3, ["猫咪" * 20, "a" * 200, "e\u0301" * 60])],
    ids=["two", "seven", "many", "wide names"],
)
def test_text_fits_a_terminal_of_80_columns(classes, names):
    for line in str(scored(400, classes, names, unreadable=5)).splitlines():
        assert sum(2 if ord(letter) > 0x2E80 else letter != "\u0301" for letter in line) <= 80


def test_text_of_many_classes_shows_the_worst_and_says_so():
    evaluation = scored(2000, 30)
    text = str(evaluation)
    assert "The 20 of 30 classes with the lowest recall, lowest first." in text
    worst = min(evaluation.per_class, key=lambda one: one.recall.value)
    best = max(evaluation.per_class, key=lambda one: one.recall.value)
    assert f"\n{worst.name} " in text
    assert f"\n{best.name} " not in text


def test_text_of_untrusted_names_has_no_control_characters():
    text = str(scored(50, 2, ["\x1b[31mred", "bell\x07\u202e"]))
    assert not any(letter in text for letter in "\x1b\x07\u202e")


def test_printable_keeps_both_ends():
    assert printable("n02085620-Chihuahua", 11) == "n0208…uahua"


@pytest.mark.parametrize(
    ("right", "words"),
    [(95, "would be 80.0 % right."), (82, "not surely better than always saying"), (60, "worse than always saying")],
)
def test_verdict_compares_with_the_baseline(right, words):
    labels = np.array([0] * 80 + [1] * 20)
    said = np.where(np.arange(100) < right, labels, 1 - labels)
    text = describe(score(labels, np.eye(2)[said], ["cat", "dog"], unreadable=4), "test pictures")
    assert text.startswith(f"On 100 test pictures: {right}.0 % right, 95 % interval ")
    assert words in text
    assert text.endswith("4 more could not be read and are not counted.")


def test_one_picture_is_a_picture():
    assert describe(score(np.array([0]), np.eye(2)[:1], ["cat", "dog"])).startswith("On 1 picture: 100.0 % right")


def test_class_without_pictures_is_known_to_be_unknown():
    evaluation = score(np.array([0, 1]), np.eye(3)[:2], ["a", "b", "c"])
    absent = evaluation.per_class[2]
    assert (absent.support, str(absent.recall), str(absent.f1)) == (0, "0.000 [0.000, 1.000]", "0.000 [0.000, 1.000]")
    assert evaluation.metrics["balanced_accuracy"].value == 1.0
    assert evaluation.metrics["macro_f1"].value == 1.0


def test_nothing_to_evaluate():
    with pytest.raises(DataError, match=r"There is no picture to evaluate \(2 could not be read\)\. At least one"):
        score(np.empty(0, np.int64), np.empty((0, 2)), ["a", "b"], unreadable=2)


def test_answers_that_are_no_numbers():
    probabilities = np.array([[0.5, 0.5], [np.nan, 0.5]])
    with pytest.raises(ModelError, match=r"For 1 of 2 pictures the network's answer is not a number\."):
        score(np.array([0, 1]), probabilities, ["a", "b"])


@pytest.mark.parametrize(
    ("labels", "paths"), [([0, 2], ()), ([0, -1], ()), ([0, 1, 1], ()), ([0, 1], ["one"])], ids=str
)
def test_what_does_not_go_together_is_our_own_mistake(labels, paths):
    with pytest.raises(ValueError, match="classes"):
        score(np.array(labels), np.full((2, 2), 0.5), ["a", "b"], paths=paths)


def test_a_large_set_is_scored():
    generator = np.random.default_rng(0)
    labels, probabilities = generator.integers(0, 100, 100_000), generator.random((100_000, 100), np.float32)
    found = score(labels, probabilities, [str(number) for number in range(100)])
    assert found.images == 100_000
    assert found.metrics["accuracy"].value == (probabilities.argmax(axis=1) == labels).mean()
