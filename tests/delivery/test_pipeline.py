"""`train` does the whole job and leaves a whole folder, or none."""

import json
import os
from dataclasses import replace

import pytest
from PIL import Image

from telltale.data.source import Columns
from telltale.delivery.pipeline import train
from telltale.delivery.predictor import predict
from telltale.errors import DataError, ModelError, RecipeError, SourceError
from telltale.evaluation.evaluation import Evaluation
from telltale.progress import Note
from telltale.training.recipe import Recipe

NETWORK, SIDE = "test_efficientnet", 64
PROBE = Recipe(model=NETWORK, img_size=SIDE)
SCRATCH = Recipe(model="cnn", img_size=24, epochs=2, batch_size=8)
FILES = {
    "run.json", "finished.json", "events.jsonl", "recipe.toml", "index.arrow", "splits.arrow", "results.csv",
    "model.telltale", "fit.json", "evaluation.json", "validation.json", "test_predictions.parquet",
    "confusion_matrix.png", "confusion_matrix_normalised.png", "predictions.png", "heatmaps.png",
    "report.html", "report.json", "source.json", "augmentation.png", "test_ledger.jsonl",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


def test_one_call_does_everything(pictures, backbone):
    told = []
    (pictures / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    training = train(pictures, PROBE, tell=told.append)
    folder = training.run.folder
    assert str(folder) == os.path.join("runs", "pictures")
    assert {path.name for path in folder.iterdir()} == FILES
    assert Evaluation.load(folder / "evaluation.json").metrics == training.test.metrics
    assert Evaluation.load(folder / "validation.json").metrics == training.validation.metrics
    assert training.test.metrics["accuracy"].value >= 0.5
    assert training.classifier.extractor.backbone == backbone
    assert training.seconds > 0
    report = (folder / "report.html").read_text()
    assert "broken.jpg" in report
    assert "<title>" in report
    notes = [one.text for one in told if isinstance(one, Note)]
    assert any("1 pictures cannot be used" in one for one in notes)
    assert any(one.startswith("Split: ") for one in notes)
    assert training.classifier.rule is not None and training.test.selective is not None
    first = predict(folder, [pictures / "red"], accept_all=True)
    assert next(first).status == "error"
    assert next(first).status == "ok"


def test_the_same_call_gives_the_same_result_in_another_folder(pictures):
    first, again = train(pictures, PROBE), train(pictures, PROBE)
    assert again.run.name == "pictures-2"
    for name in ("model.telltale/model.safetensors", "splits.arrow", "results.csv", "recipe.toml"):
        assert (first.run.folder / name).read_bytes() == (again.run.folder / name).read_bytes(), name
    one, other = (json.loads((run.run.folder / "evaluation.json").read_text()) for run in (first, again))
    assert one == other


def test_scratch_leaves_checkpoints_and_history(pictures, tmp_path):
    training = train(pictures, SCRATCH, output=tmp_path / "mine")
    # At this size the network's last map is one place: no heat map.
    written = FILES - {"heatmaps.png"} | {"weights", "history.png"}
    assert {path.name for path in (tmp_path / "mine").iterdir()} == written
    assert len(training.run.history) == 2
    assert not (tmp_path / "runs").exists()


def test_fine_tuning_starts_from_the_probe_and_the_report_shows_it(pictures, tmp_path):
    training = train(pictures, replace(PROBE, img_size=32, fit="finetune", epochs=1))
    assert [row["epoch"] for row in training.run.history] == [0, 1]
    report = (training.run.folder / "report.html").read_text()
    assert "Epoch 0 is the probe" in report
    assert "What the network sees" in report


def test_what_the_network_sees_is_written(pictures, tmp_path):
    def draw(recipe):
        with Image.open(train(pictures, recipe).run.folder / "augmentation.png") as page:
            return page.size

    plain, changed = draw(PROBE), draw(replace(SCRATCH, epochs=1))
    assert plain[0] == changed[0]
    assert plain[1] < changed[1]  # one row of pictures as they are; a row for each with what chance makes of it
    assert draw(replace(PROBE, views=1)) == changed
    assert draw(replace(SCRATCH, epochs=1, augment=())) == plain


def test_a_table_with_named_columns(pictures, tmp_path):
    rows = [f"{path.relative_to(pictures)},{path.parent.name}" for path in sorted(pictures.rglob("*.png"))]
    (pictures / "what.csv").write_text("\n".join(["where,colour", *rows]))
    training = train(pictures / "what.csv", PROBE, columns=Columns(image="where", label="colour"))
    assert training.classifier.classes == ("blue", "green", "red", "yellow")
    assert training.splits.index.layout == "table what.csv"


def only(pictures, *names: str):
    """Keep these classes."""
    for folder in pictures.iterdir():
        if folder.name not in names:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "recipe", "error", "words"),
    [
        (lambda folder: only(folder), PROBE, SourceError, "There are no pictures in"),
        (lambda folder: only(folder, "red"), PROBE, DataError, "only one class: 'red'"),
        (lambda folder: None, Recipe(model="cnn", img_size=8, epochs=1), ModelError, "8 pixels are too few"),
        (lambda folder: None, Recipe(model="nocnn", img_size=64, fit="scratch"), ModelError, "No model named 'nocnn'"),
    ],
    ids=["no pictures", "one class", "too small", "unknown network from nothing"],
)
def test_what_cannot_be_trained_leaves_no_folder(pictures, tmp_path, spoil, recipe, error, words):
    spoil(pictures)
    before = sorted(path for path in pictures.rglob("*"))
    with pytest.raises(error, match=words):
        train(pictures, recipe)
    assert not list((tmp_path / "runs").glob("*"))
    assert sorted(path for path in pictures.rglob("*")) == before


def test_a_wrong_device_is_refused(pictures, tmp_path):
    with pytest.raises(RecipeError, match=r"The device is 'tpu'\. One of auto, cpu, cuda"):
        train(pictures, PROBE, device="tpu")
    assert not (tmp_path / "runs").exists()


def test_an_output_that_holds_something_is_left_alone(pictures, tmp_path):
    before = {path: path.read_bytes() for path in pictures.rglob("*.png")}
    with pytest.raises(RecipeError, match=r"is not empty"):
        train(pictures, PROBE, output=pictures)
    assert {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()} == before


def test_an_empty_output_stays_where_nothing_came_of_it(pictures, tmp_path):
    only(pictures, "red")
    with pytest.raises(DataError):
        train(pictures, PROBE, output=tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
