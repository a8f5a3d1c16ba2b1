"""A classifier is not praised for what it has learned by heart: such pictures are refused, marked or skipped."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from telltale.data.index import scan
from telltale.data.manifest import Manifest
from telltale.data.splits import split
from telltale.errors import BundleError, DataError, RecipeError
from telltale.evaluation.evaluation import Evaluation, Seen, score
from telltale.evaluation.metrics import Interval
from telltale.evaluation.scoring import evaluate
from telltale.evaluation.wording import describe
from telltale.files import write_manifest
from telltale.model.bundle import load, save


@pytest.fixture
def known(classifier, pictures):
    """The classifier as if it had learned from the red and blue pictures 0 to 6; 7 chose; 8 and 9 are new to it."""
    index = scan(pictures)
    number = np.array([int(path[-5]) for path in index.paths])
    parts = np.where(number < 7, 0, np.where(number == 7, 1, 2)).astype(np.int8)
    return replace(classifier, manifest=Manifest.of(index.table, parts, 0.42))


def keep(pictures, *numbers):
    for path in pictures.rglob("*-*.*"):
        if int(path.stem[-1]) not in numbers:
            path.unlink()


def save_again(pictures, number):
    """Each class's picture `number` as another file that looks the same."""
    for path in pictures.rglob(f"*-{number}.png"):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()


def test_pictures_that_were_learned_from_are_refused(known, pictures):
    words = r"28 of 40 pictures were learned from by this classifier: 'blue/blue-0.png', 'blue/blue-1.png', 'blue/"
    with pytest.raises(DataError, match=words) as caught:
        evaluate(known, pictures)
    assert "--seen skip" in caught.value.do and "--seen mark" in caught.value.do
    shutil.move(pictures, pictures.with_name("other"))
    moved = pictures.with_name("other")
    for path in list(moved.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    with pytest.raises(DataError, match="28 of 40 pictures were learned from by this classifier"):
        evaluate(known, moved)


def test_marked_they_are_scored_and_said(known, pictures):
    save_again(pictures, 0)
    found = evaluate(known, pictures, seen="mark")
    assert found.images == 40
    assert (found.seen.learned, found.seen.alike, found.seen.chose) == (24, 4, 4)
    new = evaluate(known, pictures, seen="skip")
    assert new.images == 12
    keep(pictures, 8, 9)
    assert found.seen.accuracy_on_new == evaluate(known, pictures).metrics["accuracy"]
    words = "24 were learned from and 4 look like one that was and 4 chose between its settings; on the new ones it is"
    assert f"Not all are new: {words}" in describe(found)


def test_skipped_they_are_left_out(known, pictures):
    save_again(pictures, 3)
    found = evaluate(known, pictures, seen="skip")
    assert (found.images, found.seen.learned, found.seen.alike, found.seen.chose) == (12, 0, 0, 4)
    assert {path[-5] for path in found.paths} == {"7", "8", "9"}
    assert "Not all are new: 4 chose between its settings; on the new ones" in describe(found)


def test_nothing_left_is_explained(known, pictures):
    keep(pictures, 1, 2)
    save_again(pictures, 1)
    with pytest.raises(DataError, match=r"All 8 pictures were learned from, or look like one that was\. Pictures that"):
        evaluate(known, pictures, seen="skip")
    everything = evaluate(known, pictures, seen="mark")
    assert everything.seen == Seen(4, 4, 0, None)
    assert "4 were learned from and 4 look like one that was; none of the others is new." in describe(everything)


@pytest.mark.parametrize("seen", ["refuse", "mark", "skip"])
def test_new_pictures_are_scored_whatever_is_asked_for(known, pictures, seen):
    keep(pictures, 8, 9)
    (pictures / "red" / "broken.png").write_bytes(b"")
    found = evaluate(known, pictures, seen=seen)
    assert (found.images, found.unreadable, found.seen) == (8, 1, Seen())


def test_pictures_that_only_look_alike_are_scored(known, pictures):
    keep(pictures, 2, 8)
    save_again(pictures, 2)
    found = evaluate(known, pictures)
    assert (found.images, found.seen.alike) == (8, 4)
    assert found.seen.accuracy_on_new is not None


def test_a_classifier_of_unknown_origin_is_scored_on_anything(classifier, pictures):
    assert classifier.manifest is None
    assert evaluate(classifier, pictures).seen == Seen()


def test_another_word_is_refused(classifier, pictures):
    with pytest.raises(RecipeError, match=r"What to do with training pictures is 'drop'\. One of refuse, mark, skip\."):
        evaluate(classifier, pictures, seen="drop")


# --- on disk


def test_an_evaluation_keeps_what_was_seen(tmp_path):
    evaluation = score(np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]], ["cat", "dog"])
    for seen in (Seen(), Seen(1, 2, 3, Interval(0.5, 0.25, 0.75)), Seen(3, 0, 0, None)):
        loaded = Evaluation.load(replace(evaluation, seen=seen).save(tmp_path / "evaluation.json"))
        assert loaded.seen == seen


def test_an_older_evaluation_has_seen_nothing(tmp_path):
    path = score(np.array([0, 1]), np.eye(2), ["cat", "dog"]).save(tmp_path / "evaluation.json")
    content = json.loads(path.read_text())
    del content["seen"]
    path.write_text(json.dumps(content))
    assert Evaluation.load(path).seen == Seen()
    path.write_text(json.dumps(content | {"seen": {"wrong": 1}}))
    with pytest.raises(BundleError, match=r"The evaluation .* is damaged"):
        Evaluation.load(path)


def test_the_manifest_travels_in_the_bundle(known, pictures, tmp_path):
    bundle = save(known, tmp_path / "pets.telltale")
    again = load(bundle)
    assert again.manifest.table.equals(known.manifest.table) and again.manifest.radius == known.manifest.radius
    with pytest.raises(DataError, match="28 of 40 pictures were learned from by this classifier"):
        evaluate(again, pictures)


def test_a_bundle_without_one_is_loaded_and_a_damaged_one_is_not(known, pictures, tmp_path):
    bundle = save(known, tmp_path / "pets.telltale")
    data = (bundle / "training.arrow").read_bytes()
    (bundle / "training.arrow").write_bytes(data[:-9])
    with pytest.raises(BundleError, match=r"training.arrow' is missing or damaged: it does not match the manifest"):
        load(bundle)
    write_manifest(bundle)
    with pytest.raises(BundleError, match=r"The list of training pictures '.*training.arrow' cannot be read"):
        load(bundle)
    (bundle / "training.arrow").unlink()
    with pytest.raises(BundleError, match=r"training.arrow' is missing or damaged"):
        load(bundle)
    write_manifest(bundle)
    assert load(bundle).manifest is None
    assert evaluate(load(bundle), pictures).images == 40


def test_what_a_split_learns_from_is_what_its_manifest_knows(classifier, pictures):
    splits = split(scan(pictures))
    trained = replace(classifier, manifest=Manifest.of(splits.index.table, splits.parts, splits.radius))
    assert evaluate(trained, splits.test).seen == Seen()
    marked = evaluate(trained, splits.validation, seen="mark")
    assert marked.seen == Seen(0, 0, len(splits.validation), None)
    with pytest.raises(DataError, match="pictures were learned from by this classifier"):
        evaluate(trained, splits.train)
