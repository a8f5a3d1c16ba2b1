"""`fit` leaves a whole run folder, and the same seed leaves the same weights, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from telltale.data.index import Index
from telltale.data.splits import Splits, split
from telltale.errors import Interrupted, ModelError, RecipeError
from telltale.model.bundle import golden_difference, load
from telltale.progress import Advance
from telltale.training.fitting import _escape, check_recipe, fit, manifest_hash
from telltale.training.recipe import Recipe
from telltale.training.run import Run, create_run

NETWORK, SIDE = "test_efficientnet", 64
PROBE = Recipe(model=NETWORK, img_size=SIDE)
VIEWS = replace(PROBE, views=2, augment=("flip", "brightness=0.3"))
FINETUNE = Recipe(model=NETWORK, img_size=SIDE, fit="finetune", epochs=2, batch_size=8, lr=0.001)
SCRATCH = Recipe(model="cnn", img_size=24, epochs=3, batch_size=8, lr=0.003)
KINDS = pytest.mark.parametrize(
    "recipe", [PROBE, VIEWS, FINETUNE, SCRATCH], ids=["probe", "views", "finetune", "scratch"]
)


@pytest.fixture(autouse=True)
def _weights(weights, backbone, monkeypatch):
    """The smallest network of timm, converted already."""
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


def run_in(folder: Path) -> Run:
    return create_run("pets", folder)


def tensors(run: Run) -> bytes:
    """The weights in a bundle."""
    return (run.bundle / "model.safetensors").read_bytes()


@KINDS
def test_a_run_folder_holds_everything(splits, tmp_path, recipe):
    told = []
    classifier, run = fit(splits, recipe, run=run_in(tmp_path / "run"), tell=told.append)
    names = {path.name for path in run.folder.iterdir()}
    expected = {
        "run.json",
        "events.jsonl",
        "recipe.toml",
        "index.arrow",
        "splits.arrow",
        "results.csv",
        "model.telltale",
        "fit.json",
    }
    learned = recipe.how != "probe"
    assert names == expected | {"augmentation.png"} | ({"weights"} if learned else set())
    assert run.recipe == recipe.resolved
    assert classifier.classes == splits.index.classes
    again = Index.load(run.folder / "index.arrow")
    assert again.table.equals(splits.index.table)
    np.testing.assert_array_equal(Splits.load(run.folder / "splits.arrow", again).parts, splits.parts)
    facts = json.loads((run.folder / "fit.json").read_text())
    assert sum(facts["pictures"].values()) == 40
    assert facts["data_hash"] == manifest_hash(splits)
    assert facts["how"] == recipe.how
    loaded = load(run.bundle)
    assert golden_difference(loaded, run.bundle) < 1e-5
    assert loaded.facts == classifier.facts
    assert loaded.rule == classifier.rule and loaded.rule.precision == 0.99 and loaded.rule.coverage == 0.95
    assert facts["calibration"]["temperature"] == pytest.approx(loaded.head.temperature, abs=1e-4)
    part = "validation pictures, which chose" if learned else "training pictures, each judged by a head"
    assert part in facts["calibration"]["source"]
    card = (run.bundle / "README.md").read_text()
    assert "# pictures" in card
    assert "| blue |" in card
    if learned:
        epochs = recipe.epochs
        assert [row["epoch"] for row in run.history] == list(range(recipe.how == "scratch", epochs + 1))
        assert {path.name for path in run.weights.glob("*.json")} == {"last.json", "best.json"}
        assert len(list(run.weights.glob("epoch-*"))) in (2, 3)
        steps = [one.done for one in told if isinstance(one, Advance) and one.stage == "train"]
        assert steps[-1] == epochs * len(splits.train)
        assert facts["fit"]["epochs"] == epochs
    else:
        assert [row["epoch"] for row in run.history] == [1]
        assert facts["fit"]["penalty"] > 0
        assert ("views" in facts["fit"]) == (recipe is VIEWS)


@pytest.mark.parametrize("recipe", [VIEWS, SCRATCH], ids=["views", "scratch"])
def test_the_same_seed_gives_the_same_weights(splits, tmp_path, recipe):
    runs = [
        fit(splits, replace(recipe, seed=seed), run=run_in(tmp_path / name))[1]
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    ]
    weights, rows = map(tensors, runs), [(run.folder / "results.csv").read_bytes() for run in runs]
    first, again, other = weights
    assert first == again and rows[0] == rows[1]
    assert first != other and rows[0] != rows[2]


@pytest.mark.parametrize("changes", [{}, {"freeze": 1.0, "arithmetic": "auto"}], ids=["all", "frozen"])
def test_an_interrupted_run_is_finished_by_its_own_recipe(splits, tmp_path, changes):
    recipe = replace(FINETUNE, **changes)
    _, straight = fit(splits, recipe, run=run_in(tmp_path / "straight"))

    def tell(message):
        if isinstance(message, Advance) and message.stage == "train" and message.done >= 40:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        fit(splits, recipe, run=run_in(tmp_path / "stopped"), tell=tell)
    assert caught.value.run == str(tmp_path / "stopped")
    stopped = Run(tmp_path / "stopped")
    assert not stopped.bundle.exists()
    fit(splits, stopped.recipe, run=stopped)
    assert tensors(straight) == tensors(stopped)
    assert (straight.folder / "results.csv").read_bytes() == (stopped.folder / "results.csv").read_bytes()


def test_a_new_training_starts_from_a_run_with_other_classes(splits, tmp_path):
    """Its backbone is what the other run had learned; so are, of a dense layer, the weights."""
    recipe = replace(FINETUNE, hidden=8)
    classifier, run = fit(splits, recipe, run=run_in(tmp_path / "first"))
    index = splits.index
    fewer = split(replace(index.take(np.flatnonzero(index.codes < 3)), classes=index.classes[:3]))
    start = Recipe(start_from=str(run.folder), img_size=SIDE, epochs=1, batch_size=8, lr=1e-30, freeze=1.0)
    other, _ = fit(fewer, start, run=run_in(tmp_path / "second"))
    assert other.classes == index.classes[:3]
    assert other.extractor.backbone.architecture == classifier.extractor.backbone.architecture
    assert other.extractor.backbone.weights_hash == classifier.extractor.backbone.weights_hash


PROGRAM = """
import sys
from telltale.data.index import scan
from telltale.data.splits import split
from telltale.training.fitting import fit
from telltale.training.recipe import Recipe
from telltale.training.run import create_run
fit(split(scan(sys.argv[1])), Recipe(model=sys.argv[2], img_size=int(sys.argv[3])), run=create_run("pets", sys.argv[4]))
print(*[name for name in ("torch", "torchvision", "timm", "scipy", "sklearn", "matplotlib") if name in sys.modules])
"""


def test_a_probe_of_a_converted_network_needs_no_torch(pictures, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(pictures), NETWORK, str(SIDE), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("recipe", "kind", "words"),
    [
        (Recipe(augment=("flipp",)), RecipeError, "flipp"),
        (Recipe(model="cnnn", fit="scratch"), ModelError, "No model named 'cnnn'"),
        (Recipe(model="cnn", output="sigmoid"), RecipeError, "output is 'sigmoid', and there are 4 classes"),
        (Recipe(model="cnn", pool="max"), ModelError, "The network 'cnn' does not pool"),
    ],
)
def test_what_training_would_refuse_is_refused_before(recipe, kind, words):
    with pytest.raises(kind, match=words):
        check_recipe(recipe, 4)


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


def test_copies_of_single_pictures_are_not_mixed():
    with pytest.raises(RecipeError, match=r"views keeps copies of single pictures, and augment mixes pictures"):
        check_recipe(Recipe(views=2, augment=("flip", "mixup")), 4)


def test_a_classifier_may_be_asked_to_answer_always(splits, tmp_path):
    classifier, run = fit(splits, replace(PROBE, precision=0.0, coverage=0.8), run=run_in(tmp_path / "run"))
    rule = load(run.bundle).rule
    assert (rule.precision, rule.threshold, rule.unlike_above, rule.coverage) == (0.0, 0.0, np.inf, 0.8)
    assert rule == classifier.rule
