"""Stopped anywhere and gone on with from files, a training is the one that was never stopped: bit for bit."""

import itertools
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from telltale.errors import BundleError
from telltale.training.checkpoint import Checkpoint, Checkpoints, read_checkpoint
from telltale.training.events import EpochDone, StepDone
from telltale.training.loop import Stopped, train_epochs
from telltale.training.recipe import Recipe

BASE = {"fit": "finetune", "epochs": 3, "batch_size": 8, "lr": 0.02, "precision": "f32", "patience": 0}
RECIPES = {
    "plain": {"augment": ()},
    "mixed": {"augment": ("flip", "rotation=20", "mixup=0.4"), "label_smoothing": 0.1},
    "accumulate": {"accumulate": 2, "clip": 0.5},
    "average": {"ema": 0.9, "warmup": 1.5},
    "sampling": {"balance": "sampling", "batch_size": 5},
    "weights": {"balance": "weights", "schedule": "step", "step_epochs": 1},
    "plateau": {"schedule": "plateau", "patience": 2, "lr": 0.3, "epochs": 5},
    "patience": {"patience": 1, "lr": 0.3, "schedule": "constant", "epochs": 20},
    "sgd": {"optimizer": "sgd", "weight_decay": 0.01},
    "frozen": {"freeze": 0.5, "augment": ("flip", "brightness=0.2"), "views": 2},
    "bf16": {"precision": "bf16"},
    "sigmoid": {"output": "sigmoid", "accumulate": 3},
    "together": {
        "augment": ("flip", "cutmix", "cutout"), "accumulate": 2, "ema": 0.8, "balance": "sampling",
        "output": "sigmoid", "optimizer": "sgd", "schedule": "plateau", "patience": 2, "clip": 1.0, "warmup": 0.5,
    },
}  # fmt: skip
STOPS = st.lists(st.tuples(st.sampled_from(["stop", "kill"]), st.integers(1, 16)), min_size=1, max_size=3)
NUMBERS = itertools.count()


class Pixels(nn.Flatten):
    """Nothing but the head learns: with hardly any learning rate no epoch is better than the first."""

    num_features = 3 * 16 * 16


def contents(folder: Path) -> dict[str, object]:
    """Everything in the files of a training but the time that it took."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
        facts.pop("seconds", None)
        found[path.name] = facts
        found |= {f"{path.name}/{name}": value.numpy().tobytes() for name, value in load_file(path).items()}
    return found


@pytest.fixture(scope="module")
def straight(stop_and_go, tmp_path_factory):
    """What a training by a recipe leaves in files and in the network where it is never stopped; each runs once."""

    @cache
    def run(name: str) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
        folder = tmp_path_factory.mktemp(name)
        network = stop_and_go(Recipe(**BASE | RECIPES[name]), folder).state.network
        return contents(folder), network.state_dict()

    return run


@pytest.mark.parametrize("name", RECIPES)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=STOPS)
def test_a_stopped_training_ends_as_the_straight_one(stop_and_go, straight, tmp_path, name, stops):
    expected, weights = straight(name)
    folder = tmp_path / str(next(NUMBERS))
    network = stop_and_go(Recipe(**BASE | RECIPES[name]), folder, stops).state.network
    assert contents(folder) == expected
    assert not network.training
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_patience_ends_the_one_with_patience(straight):
    rows = straight("patience")[0]["last.safetensors"]["rows"]
    assert 2 <= len(rows) < 20


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_it_can_be_stopped_between_any_two_steps_and_after_an_epoch(stop_and_go, straight, tmp_path, count):
    stop_and_go(Recipe(**BASE | RECIPES["plain"]), tmp_path, [("stop", count)])
    assert contents(tmp_path) == straight("plain")[0]


def test_where_it_stands_is_said_in_words(begin, tmp_path):
    training = begin(Recipe(**BASE), tmp_path)
    places = []
    for event in train_epochs(training.state, training.lesson):
        if isinstance(event, StepDone | EpochDone):
            places.append(training.state.place)
    assert places[:5] == [
        "batch 1 of epoch 1",
        "batch 2 of epoch 1",
        "batch 3 of epoch 1",
        "epoch 1",
        "batch 1 of epoch 2",
    ]


def test_a_finished_training_goes_on_with_more_epochs_as_if_it_had_had_them(stop_and_go, tmp_path):
    recipe = Recipe(**BASE | {"schedule": "constant", "ema": 0.5})
    stop_and_go(recipe, tmp_path / "one")
    again = stop_and_go(recipe, tmp_path / "one")
    assert (again.state.epoch, len(again.state.rows)) == (4, 3), "nothing is left to do"
    stop_and_go(replace(recipe, epochs=5), tmp_path / "one")
    stop_and_go(replace(recipe, epochs=5), tmp_path / "five")
    assert contents(tmp_path / "one") == contents(tmp_path / "five")


def killed_before_best(begin, folder: Path, recipe: Recipe) -> int:
    """A training that is killed when `last` of its second good epoch is written and `best` is not: that epoch."""
    training = begin(recipe, folder)
    good, before = 0, b""
    for event in train_epochs(training.state, training.lesson, training.checkpoints):
        good += isinstance(event, EpochDone) and event.improved
        if good == 2:
            training.checkpoints.best.write_bytes(before)
            return event.epoch
        if isinstance(event, EpochDone):
            before = training.checkpoints.best.read_bytes()
    raise AssertionError("one good epoch only")


def test_killed_between_the_two_files_nothing_is_lost(begin, stop_and_go, straight, tmp_path):
    recipe = Recipe(**BASE | RECIPES["average"])
    epoch = killed_before_best(begin, tmp_path, recipe)
    assert read_checkpoint(tmp_path / "best.safetensors").facts["epoch"] < epoch
    stop_and_go(recipe, tmp_path)
    assert contents(tmp_path) == straight("average")[0]


def test_killed_before_the_first_best_file_nothing_is_lost(begin, stop_and_go, straight, tmp_path):
    recipe = Recipe(**BASE | RECIPES["plain"])
    training = begin(recipe, tmp_path)
    for event in train_epochs(training.state, training.lesson, training.checkpoints):
        if isinstance(event, EpochDone):
            break
    training.checkpoints.best.unlink()
    stop_and_go(recipe, tmp_path)
    assert contents(tmp_path) == straight("plain")[0]


def test_best_weights_that_are_gone_are_missed(begin, stop_and_go, tmp_path):
    recipe = Recipe(**BASE | {"lr": 1e-30})
    stop_and_go(recipe, tmp_path, features=Pixels)
    best = tmp_path / "best.safetensors"
    content = best.read_bytes()
    best.unlink()
    words = r"The best weights, of epoch 1, are missing or damaged\. best.safetensors beside last.safetensors"
    with pytest.raises(BundleError, match=words):
        begin(recipe, tmp_path, features=Pixels)
    Checkpoints(tmp_path).write_best(Checkpoint({"network.head.bias": torch.zeros(2)}, {"epoch": 2}))
    with pytest.raises(BundleError, match=words):
        begin(recipe, tmp_path, features=Pixels)
    best.write_bytes(content[:-7])
    with pytest.raises(BundleError, match=r"The checkpoint '.*best.safetensors' cannot be read"):
        begin(recipe, tmp_path, features=Pixels)
    best.write_bytes(content)
    begin(recipe, tmp_path, features=Pixels)


@pytest.mark.parametrize("other", [{"output": "sigmoid"}, {"ema": 0.5}], ids=["shape", "average"])
def test_a_checkpoint_of_another_training_is_refused(begin, stop_and_go, tmp_path, other):
    recipe = Recipe(**BASE | {"epochs": 1})
    stop_and_go(recipe, tmp_path)
    with pytest.raises(BundleError, match=r"The checkpoint is of another training: its weights or facts do not fit"):
        begin(replace(recipe, **other), tmp_path)


def test_the_start_can_be_the_best(begin, stop_and_go, tmp_path):
    """A fine-tuning has the row of its probe before its first epoch, and may be stopped before it has a better one."""
    recipe = Recipe(**BASE | {"lr": 1e-30})
    row = {"epoch": 0, "train_loss": 0.1, "val_loss": 0.0, "val_accuracy": 1.0, "lr": 0.0}

    def start():
        training = begin(recipe)
        training.state.keep_best(row)
        training.state.rows, training.checkpoints = [row], Checkpoints(tmp_path)
        return training

    first = start()
    weights = {name: value.clone() for name, value in first.state.network.state_dict().items()}
    with pytest.raises(Stopped):
        first.run(wants_stop=lambda: True)
    assert read_checkpoint(tmp_path / "best.safetensors").facts == row
    for path in (tmp_path / "best.safetensors", None):
        again = start()
        again.state.load(read_checkpoint(tmp_path / "last.safetensors"), read_checkpoint(path) if path else None)
        assert again.state.best_row == row
        again.state.restore_best()
        assert all(torch.equal(value, weights[name]) for name, value in again.state.network.state_dict().items())
    assert again.run()[-1].best_epoch == 0
