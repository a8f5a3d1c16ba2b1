"""With folds every picture is tested once, by a classifier that has not seen it."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from telltale.data.index import Index, scan
from telltale.data.splits import Splits, split_folds
from telltale.delivery.pipeline import train
from telltale.errors import DataError, RecipeError
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.scoring import evaluate
from telltale.model.bundle import load
from telltale.model.rejection import ACCEPTED
from telltale.progress import Note
from telltale.training.recipe import Recipe

NETWORK, SIDE = "test_efficientnet", 64
FOLDED = Recipe(model=NETWORK, img_size=SIDE, folds=3, seed=4)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


def test_every_picture_is_tested_once(pictures, backbone):
    told = []
    (pictures / "red" / "broken.png").write_bytes(b"")
    training = train(pictures, FOLDED, tell=told.append)
    folder = training.run.folder
    assert training.test.images == 40
    assert sorted(training.test.paths) == sorted(scan(pictures).readable.paths)
    assert training.test.metrics["accuracy"].value > 0.6
    assert {path.name for path in folder.iterdir()} == {
        "recipe.toml", "index.arrow", "splits.arrow", "folds.csv", "model.telltale", "fold-1", "fold-2", "fold-3",
        "evaluation.json", "validation.json", "test_predictions.parquet", "confusion_matrix.png",
        "confusion_matrix_normalised.png", "predictions.png", "heatmaps.png", "report.html", "report.json",
        "source.json", "augmentation.png", "run.json", "finished.json", "events.jsonl", "test_ledger.jsonl",
    }  # fmt: skip
    assert training.run.recipe == FOLDED.resolved
    rows = list(csv.DictReader((folder / "folds.csv").read_text().splitlines()))
    assert [row["fold"] for row in rows] == ["1", "2", "3"]
    assert sum(int(row["pictures"]) for row in rows) == 40
    right = sum(round(float(row["accuracy"]) * int(row["pictures"])) for row in rows)
    assert right == round(training.test.metrics["accuracy"].value * 40) == np.trace(training.test.confusion)
    best = min(range(3), key=lambda number: float(rows[number]["val_log_loss"]))
    assert any(isinstance(one, Note) and f"is that of fold-{best + 1}," in one.text for one in told)
    index = Index.load(folder / "index.arrow")
    assert (Splits.load(folder / "splits.arrow", index).parts == split_folds(index, 3, seed=4)[best].parts).all()
    for number, splits in enumerate(split_folds(index, 3, seed=4), 1):
        one = folder / f"fold-{number}"
        assert (Splits.load(one / "splits.arrow", Index.load(one / "index.arrow")).parts == splits.parts).all()
        assert (one / "model.telltale" / "manifest.json").is_file()
    chosen = (folder / f"fold-{best + 1}" / "model.telltale" / "model.safetensors").read_bytes()
    assert (folder / "model.telltale" / "model.safetensors").read_bytes() == chosen
    assert Evaluation.load(folder / "evaluation.json").metrics == training.test.metrics
    classifier = load(folder)
    with pytest.raises(DataError, match="were learned from by this classifier"):
        evaluate(classifier, pictures)
    assert evaluate(classifier, pictures, seen="skip").seen.learned == 0


def test_what_the_folds_accept_and_their_sets_are_counted_together(pictures):
    training = train(pictures, replace(FOLDED, precision=0.9))
    test, folder = training.test, training.run.folder
    found = test.selective
    assert len(test.verdicts) == len(test.strangeness) == test.images == 40
    assert found.accepted + found.unsure + found.unlike == 40
    assert found.coverage.value == (test.verdicts == ACCEPTED).mean()
    assert found.threshold == load(folder).rule.threshold
    assert sum(test.sets.sizes.values()) == 40
    # Each picture by the rule of its own fold, whose classifier says the same when it is asked again.
    index, accepted, held = Index.load(folder / "index.arrow"), 0, 0.0
    for number, splits in enumerate(split_folds(index, 3, seed=4), 1):
        one = evaluate(load(folder / f"fold-{number}"), splits.test)
        accepted += one.selective.accepted
        held += one.sets.coverage.value * one.images
    assert found.accepted == accepted
    assert test.sets.coverage.value == pytest.approx(held / 40)
    assert test.calibration is None, "each fold has its own temperature"
    read = Evaluation.load(folder / "evaluation.json")
    assert (read.selective, read.sets) == (found, test.sets)


def test_the_same_seed_gives_the_same_folds(pictures):
    first, again = train(pictures, FOLDED), train(pictures, FOLDED)
    assert again.run.name == "pictures-2"
    assert (first.run.folder / "folds.csv").read_bytes() == (again.run.folder / "folds.csv").read_bytes()
    one, other = (json.loads((run.run.folder / "evaluation.json").read_text()) for run in (first, again))
    assert one == other


def test_more_folds_than_pictures_are_refused_and_leave_no_folder(pictures, tmp_path):
    with pytest.raises(DataError, match=r"divided into 11 folds, but too few separate pictures of 'blue' \(10\)"):
        train(pictures, Recipe(model="cnn", img_size=24, epochs=1, folds=11))
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize("folds", [1, -1, 101])
def test_a_number_of_folds_that_cannot_be(folds):
    with pytest.raises(RecipeError, match=rf"folds is {folds}\. 0, or 2 to 100\."):
        Recipe(folds=folds)
