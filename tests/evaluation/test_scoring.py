"""`evaluate` matches classes by name and counts what it cannot read."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from telltale.data.index import scan
from telltale.errors import DataError
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.scoring import evaluate
from telltale.model.rejection import ACCEPTED, RejectRule


def test_a_folder_is_scored(classifier, pictures):
    found = evaluate(classifier, pictures)
    assert found.images == 40
    assert found.unreadable == 0
    assert found.metrics["accuracy"].value > 0.9
    assert evaluate(classifier, scan(pictures)).metrics == found.metrics
    assert evaluate(classifier, str(pictures), seed=0).metrics == found.metrics


def test_classes_are_matched_by_name_not_by_number(classifier, pictures):
    whole = evaluate(classifier, pictures)
    for name in ("blue", "red"):
        shutil.rmtree(pictures / name)
    some = evaluate(classifier, pictures)
    assert some.images == 20
    assert some.metrics["accuracy"].value > 0.9
    head = classifier.head
    order = [2, 0, 3, 1]
    turned = replace(
        classifier,
        classes=tuple(classifier.classes[number] for number in order),
        head=replace(head, weight=head.weight[order], bias=head.bias[order]),
    )
    assert evaluate(turned, pictures).metrics["accuracy"].value == some.metrics["accuracy"].value
    assert whole.images == 40


def test_unreadable_pictures_are_counted_and_not_scored(classifier, pictures):
    (pictures / "red" / "red-0.png").write_bytes(b"")
    (pictures / "red" / "red-1.png").write_text("<html></html>")
    found = evaluate(classifier, pictures)
    assert (found.images, found.unreadable) == (38, 2)


@pytest.mark.parametrize(
    ("name", "advice"),
    [("reds", "Rename the class to 'red' if it is the same"), ("zebra", "Take these pictures out of the data")],
)
def test_an_unknown_class_is_named(classifier, pictures, name, advice):
    (pictures / "red").rename(pictures / name)
    words = rf"The data have pictures of '{name}', which the classifier does not know\. Only its classes: blue, green"
    with pytest.raises(DataError, match=words) as caught:
        evaluate(classifier, pictures)
    assert advice in caught.value.do


def test_nothing_to_score_is_explained(classifier, pictures):
    for path in pictures.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"No readable labelled pictures in '.*pictures'\. At least one picture with"):
        evaluate(classifier, pictures)
    with pytest.raises(DataError, match=r"No readable labelled pictures"):
        evaluate(classifier, scan(pictures).take(np.arange(0)))


def test_what_the_answers_are_worth_is_checked(classifier, pictures):
    plain = evaluate(classifier, pictures)
    assert (plain.calibration.temperature, plain.selective, plain.sets, len(plain.verdicts)) == (1.0, None, None, 0)
    confidence = np.sort(plain.probabilities.max(axis=1))
    rule = RejectRule(0.9, float(confidence[10]), np.inf, 0.8, 0.5, 40, True)
    head = replace(classifier.head, weight=2 * classifier.head.weight, bias=2 * classifier.head.bias, temperature=2.0)
    found = evaluate(replace(classifier, head=head, rule=rule), pictures)
    assert np.allclose(found.probabilities, plain.probabilities, atol=1e-6)
    assert found.calibration.temperature == 2.0
    assert (found.selective.accepted, found.selective.unsure, found.selective.unlike) == (30, 10, 0)
    accepted = found.verdicts == ACCEPTED
    right = found.probabilities.argmax(axis=1) == found.labels
    assert found.selective.accuracy.value == pytest.approx(right[accepted].mean())
    assert found.sets.nominal == 0.8 and sum(found.sets.sizes.values()) == 40
    assert "It answers 75.0 % of them" in str(found) and "calibration error" in str(found)
    assert "It answers" not in str(plain)
    again = Evaluation.load(found.save(pictures / "evaluation.json"))
    assert (again.calibration, again.selective, again.sets) == (found.calibration, found.selective, found.sets)
