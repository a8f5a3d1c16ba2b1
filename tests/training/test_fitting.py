"""`fit` leaves a whole run folder, and the same seed leaves the same weights, bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from telltale.data.index import Index, scan
from telltale.data.splits import Splits, split
from telltale.model.bundle import golden_difference, load
from telltale.progress import Advance
from telltale.training.fitting import _escape, fit, manifest_hash
from telltale.training.recipe import Recipe
from telltale.training.run import Run, create_run

NETWORK, SIDE = "test_efficientnet", 64
PROBE = Recipe(model=NETWORK, img_size=SIDE)
SCRATCH = Recipe(model="cnn", img_size=24, epochs=3, batch_size=8, lr=0.003)


@pytest.fixture
def splits(pictures, weights, monkeypatch) -> Splits:
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    return split(scan(pictures))


def run_in(folder: Path) -> Run:
    return create_run("pets", folder)


def tensors(run: Run) -> bytes:
    """The weights in a bundle."""
    return (run.bundle / "model.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", [PROBE, SCRATCH], ids=["probe", "scratch"])
def test_a_run_folder_holds_everything(splits, tmp_path, recipe):
    told = []
    classifier, run = fit(splits, recipe, run=run_in(tmp_path / "run"), tell=told.append)
    names = {path.name for path in run.folder.iterdir()}
    expected = {"recipe.toml", "index.arrow", "splits.arrow", "results.csv", "model.telltale", "fit.json"}
    assert names == expected | ({"weights"} if recipe is SCRATCH else set())
    assert run.recipe == recipe
    assert classifier.classes == splits.index.classes
    again = Index.load(run.folder / "index.arrow")
    assert again.table.equals(splits.index.table)
    np.testing.assert_array_equal(Splits.load(run.folder / "splits.arrow", again).parts, splits.parts)
    facts = json.loads((run.folder / "fit.json").read_text())
    assert facts["pictures"] == {"train": 28, "validation": 6, "test": 6} or sum(facts["pictures"].values()) == 40
    assert facts["data_hash"] == manifest_hash(splits)
    assert facts["how"] == recipe.how
    loaded = load(run.bundle)
    assert golden_difference(loaded, run.bundle) < 1e-5
    assert loaded.facts == classifier.facts
    card = (run.bundle / "README.md").read_text()
    assert "# pictures" in card
    assert "| blue |" in card
    if recipe is SCRATCH:
        assert len(run.history) == 3
        assert {path.name for path in run.weights.iterdir()} == {"last.safetensors", "best.safetensors"}
        assert [one.done for one in told if isinstance(one, Advance) and one.stage == "train"] == [1, 2, 3]
        assert facts["fit"]["epochs"] == 3
    else:
        assert [row["epoch"] for row in run.history] == [1]
        assert facts["fit"]["penalty"] > 0


@pytest.mark.parametrize("recipe", [PROBE, SCRATCH], ids=["probe", "scratch"])
def test_the_same_seed_gives_the_same_weights(splits, tmp_path, monkeypatch, recipe):
    _, first = fit(splits, recipe, run=run_in(tmp_path / "first"))
    _, again = fit(splits, recipe, run=run_in(tmp_path / "again"))
    assert tensors(first) == tensors(again)
    assert (first.folder / "results.csv").read_bytes() == (again.folder / "results.csv").read_bytes()
    if recipe is SCRATCH:
        _, other = fit(splits, replace(recipe, seed=1), run=run_in(tmp_path / "other"))
        assert tensors(first) != tensors(other)


def test_a_network_of_timm_trains_from_nothing(splits, tmp_path):
    recipe = Recipe(model="test_resnet", fit="scratch", img_size=32, epochs=1, batch_size=14)
    classifier, run = fit(splits, recipe, run=run_in(tmp_path / "run"))
    assert classifier.extractor.backbone.architecture.name == "test_resnet"
    assert golden_difference(load(run.bundle), run.bundle) < 1e-5


def test_without_a_run_one_is_made(splits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, run = fit(splits, PROBE)
    assert run.folder == Path("runs/pictures")
    assert run.bundle.is_dir()


def test_the_manifest_hash_says_whether_data_and_split_are_the_same(splits):
    assert manifest_hash(splits) == manifest_hash(split(splits.index))
    assert manifest_hash(splits) != manifest_hash(split(splits.index, seed=1))
    assert manifest_hash(splits) != manifest_hash(replace(splits, index=splits.index.take(np.arange(40)[::-1])))


def test_names_of_folders_do_not_become_markup():
    assert _escape("<b>|[a](b)\n#") == r"\<b\>\|\[a\](b) \#"
