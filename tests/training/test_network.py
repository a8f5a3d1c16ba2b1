"""Fine-tuning and training from scratch, from pictures to a classifier: resumable, never worse than where it began."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from telltale.batches.feed import PictureFeed
from telltale.data.splits import Splits, split
from telltale.errors import Interrupted, RecipeError
from telltale.model.engine import has_bf16
from telltale.model.features import features
from telltale.model.head import softmax
from telltale.progress import Advance, Note, silent
from telltale.training.checkpoint import Checkpoint, to_bytes
from telltale.training.loss import class_logits
from telltale.training.network import fit_network, prepare
from telltale.training.recipe import Recipe
from telltale.training.run import Run
from telltale.training.store import STATE, Store, find_pointed

SCRATCH = Recipe(model="cnn", img_size=24, epochs=3, batch_size=8, lr=0.003, arithmetic="f32").resolved
FINETUNE = Recipe(
    model="test_efficientnet", fit="finetune", img_size=64, epochs=3, batch_size=8, lr=0.003, arithmetic="f32"
).resolved
FROZEN = replace(FINETUNE, freeze=0.6, augment=(), ema=0.9)


@pytest.fixture
def two_classes(splits: Splits) -> Splits:
    """Blue and green pictures only."""
    index = splits.index
    return split(replace(index.take(np.flatnonzero(index.codes < 2)), classes=index.classes[:2]))


def run_in(folder: Path) -> Run:
    folder.mkdir()
    return Run(folder)


def train(splits, recipe, run, extractor=None, tell=silent):
    given = extractor if recipe.how == "finetune" else None
    return fit_network(splits, recipe, run, device="cpu", extractor=given, tell=tell)


def rows(run: Run) -> str:
    return (run.folder / "results.csv").read_text()


def interrupt_at(done: int):
    """A listener that sends SIGTERM when so many pictures were learned from."""

    def tell(message):
        if isinstance(message, Advance) and message.stage == "train" and message.done >= done:
            signal.raise_signal(signal.SIGTERM)

    return tell


@pytest.mark.parametrize("recipe", [SCRATCH, FROZEN], ids=["scratch", "frozen"])
def test_stopped_twice_and_gone_on_with_it_is_the_straight_run(splits, extractor, contents, tmp_path, recipe):
    straight, stopped = run_in(tmp_path / "straight"), run_in(tmp_path / "stopped")
    one = train(splits, recipe, straight, extractor)
    for done in (9, 60):
        with pytest.raises(Interrupted, match=r"Stopped after batch \d of epoch \d; everything is saved"):
            train(splits, recipe, stopped, extractor, interrupt_at(done))
    told = []
    other = train(splits, recipe, stopped, extractor, told.append)
    assert any("The training goes on after batch" in note.text for note in told if isinstance(note, Note))
    assert rows(straight) == rows(stopped)
    assert contents(straight.weights) == contents(stopped.weights)
    assert one[0].backbone == other[0].backbone
    assert one[1].weight.tobytes() == other[1].weight.tobytes()
    assert one[2] == other[2]


CHILD = """
import sys
from pathlib import Path
from telltale.data.index import Index
from telltale.data.splits import Splits
from telltale.progress import silent
from telltale.training.network import fit_network
from telltale.training.run import Run
import torch
torch.set_num_threads(1)
run = Run(Path(sys.argv[1]))
splits = Splits.load(run.folder / "splits.arrow", Index.load(run.folder / "index.arrow"))
fit_network(splits, run.recipe, run, device="cpu", extractor=None, tell=silent)
"""


def test_killed_with_sigkill_it_goes_on_as_if_it_had_not_been(splits, contents, tmp_path):
    recipe = replace(SCRATCH, epochs=12, ema=0.9)
    straight, killed = run_in(tmp_path / "straight"), run_in(tmp_path / "killed")
    train(splits, recipe, straight)
    recipe.save(killed.folder / "recipe.toml")
    splits.index.save(killed.folder / "index.arrow")
    splits.save(killed.folder / "splits.arrow")
    with subprocess.Popen([sys.executable, "-c", CHILD, str(killed.folder)]) as child:
        until = time.monotonic() + 60
        while len(killed.history) < 2 and time.monotonic() < until and child.poll() is None:
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    epochs = len(killed.history)
    assert 2 <= epochs < 12
    told = []
    train(splits, recipe, killed, tell=told.append)
    assert sum(isinstance(one, Advance) for one in told) >= (12 - epochs - 1) * 4
    assert rows(straight) == rows(killed)
    assert contents(straight.weights) == contents(killed.weights)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (SCRATCH, {"output": "sigmoid", "hidden": 12}),
        (SCRATCH, {"pixels": "raw", "lr": 0.0003}),
        (FINETUNE, {}),
        (FINETUNE, {"pool": "max", "fit": "scratch"}),
        (FINETUNE, {"output": "sigmoid", "hidden": 12, "ema": 0.9}),
        (FINETUNE, {"freeze": 1.0, "hidden": 12, "augment": (), "output": "sigmoid"}),
        (FINETUNE, {"freeze": 1.0, "arithmetic": "bf16", "augment": ()}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.how,
)
def test_the_classifier_answers_as_the_network_that_was_trained(
    two_classes, extractor, read_pointed, tmp_path, recipe, changes
):
    recipe = replace(recipe, epochs=2, **changes)
    if recipe.arithmetic == "bf16" and not has_bf16():
        pytest.skip("needs a processor with bf16")
    run = run_in(tmp_path / "run")
    given, head, found = train(two_classes, recipe, run, extractor)
    start, state, _ = prepare(
        two_classes, recipe, device="cpu", extractor=extractor if recipe.how == "finetune" else None, tell=silent
    )
    best = read_pointed(run.weights, "best")
    state.network.load_state_dict(best.part("average") if recipe.ema else best.part("network"))
    assert best.facts["best_row"]["epoch"] == found["best_epoch"]
    state.network.eval()
    feed = PictureFeed(two_classes.test, start.preprocess)
    with torch.no_grad():
        expected = torch.cat([class_logits(state.network(batch.inputs)) for batch in feed.in_order()]).numpy()
    probabilities = head.probabilities(features(two_classes.test, given))
    np.testing.assert_allclose(probabilities, softmax(expected), atol=1e-3)
    assert given.preprocess == start.preprocess


@pytest.mark.parametrize(("lr", "freeze"), [(0.001, 0.0), (10.0, 0.0), (0.01, 0.6), (10.0, 1.0)])
def test_a_fine_tuning_never_ends_worse_than_its_probe(splits, extractor, tmp_path, lr, freeze):
    recipe = replace(FINETUNE, lr=lr, freeze=freeze, epochs=2, schedule="constant", augment=())
    run = run_in(tmp_path / "run")
    given, head, found = train(splits, recipe, run, extractor)
    rows = run.history
    assert rows[0]["epoch"] == 0
    best = min(rows, key=lambda row: row["val_loss"])
    assert found["best_epoch"] == best["epoch"]
    chosen = head.probabilities(features(splits.validation, given))[
        np.arange(len(splits.validation)), splits.validation.codes
    ]
    assert -np.log(chosen).mean() == pytest.approx(best["val_loss"], rel=1e-2, abs=1e-3)
    assert best["val_loss"] <= rows[0]["val_loss"]


def test_a_time_limit_ends_it(splits, tmp_path):
    run = run_in(tmp_path / "run")
    began = time.perf_counter()
    _, _, found = train(splits, replace(SCRATCH, epochs=100_000, patience=0, time="2s"), run)
    assert time.perf_counter() - began < 8
    assert found["stopped"] == "time is up"
    assert run.history[-1]["lr"] < 0.1 * SCRATCH.lr


def test_the_time_before_a_stop_counts(splits, read_pointed, tmp_path):
    """After 50 minutes of an hour the cosine goes on near its end."""
    run = run_in(tmp_path / "run")
    train(splits, replace(SCRATCH, epochs=1), run)
    last = read_pointed(run.weights, "last")
    later = to_bytes(Checkpoint(last.tensors, last.facts | {"seconds": 3000.0}))
    shutil.rmtree(find_pointed(run.weights, "last"))
    Store(run.weights, run.id).save(1, 0, {STATE: later}, facts={}, best=True)
    with pytest.raises(Interrupted):
        train(splits, replace(SCRATCH, epochs=100, time="1h"), run, tell=interrupt_at(2 * len(splits.train) + 1))
    assert run.history[1]["lr"] == pytest.approx(SCRATCH.lr * 0.5 * (1 + math.cos(math.pi * 3000 / 3600)), rel=0.05)


def test_a_batch_size_is_found_and_kept(splits, tmp_path):
    run, told = run_in(tmp_path / "run"), []
    with pytest.raises(Interrupted):
        train(splits, replace(SCRATCH, batch_size=0), run, tell=interrupt_at(9))
    assert run.recipe.batch_size == 8
    train(splits, run.recipe, run, tell=told.append)
    assert not any("Batch size" in one.text for one in told if isinstance(one, Note))


def test_what_is_found_is_told(splits):
    told = []
    _, _, lesson = prepare(splits, replace(SCRATCH, batch_size=0), device="cpu", extractor=None, tell=told.append)
    assert told[0].text == f"Batch size 8: {len(splits.train)} pictures are few."
    assert lesson.recipe.batch_size == 8


def test_precision_is_what_the_processor_is_fast_with(splits):
    for wanted, expected in (("f32", "f32"), ("bf16", "bf16"), ("auto", "bf16" if has_bf16() else "f32")):
        recipe = replace(SCRATCH, arithmetic=wanted)
        assert prepare(splits, recipe, device="cpu", extractor=None, tell=silent)[2].precision == expected


def test_elsewhere_it_goes_on_in_the_precision_that_it_began_with(splits, read_pointed, tmp_path):
    run, told = run_in(tmp_path / "run"), []
    with pytest.raises(Interrupted):
        train(splits, replace(SCRATCH, arithmetic="bf16"), run, tell=interrupt_at(9))
    train(splits, SCRATCH, run, tell=told.append)
    assert any(isinstance(one, Note) and one.text.startswith("Training on the processor in bf16") for one in told)
    assert read_pointed(run.weights, "last").facts["precision"] == "bf16"


def test_a_loss_that_is_lost_at_once_leaves_no_classifier(splits, tmp_path):
    run = run_in(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"The loss became no finite number in batch \d of epoch 1 \(.*\.png"):
        train(splits, replace(SCRATCH, lr=1e35), run)
    assert run.history == []


def test_weights_and_rates_follow_the_recipe(splits, extractor):
    recipe = replace(FINETUNE, balance="weights", layer_decay=0.5, weight_decay=0.1, optimizer="sgd")
    start, state, lesson = prepare(splits, recipe, device="cpu", extractor=extractor, tell=silent)
    counts = np.bincount(splits.train.codes)
    np.testing.assert_allclose(lesson.loss.weights.numpy(), len(splits.train) / (4 * counts), rtol=1e-6)
    shares = {one: group["share"] for group in state.optimizer.param_groups for one in group["params"]}
    assert shares[start.network.head.weight] == 1
    assert shares[start.network.features.conv_stem.weight] == min(shares.values()) < 0.1
    assert isinstance(state.optimizer, torch.optim.SGD)
    scratch = prepare(splits, replace(SCRATCH, layer_decay=0.5), device="cpu", extractor=None, tell=silent)[1]
    assert {group["share"] for group in scratch.optimizer.param_groups} == {1.0}


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(splits, tmp_path):
    recipe = replace(SCRATCH, epochs=1, dropout=0.0)  # a compiled dropout draws other numbers
    plain, compiled = run_in(tmp_path / "plain"), run_in(tmp_path / "compiled")
    train(splits, recipe, plain)
    train(splits, replace(recipe, compile=True), compiled)
    assert compiled.history[0]["val_loss"] == pytest.approx(plain.history[0]["val_loss"], rel=1e-2)
