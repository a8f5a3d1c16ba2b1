"""Stopped anywhere and gone on with from files, a training is the one that was never stopped: bit for bit."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import nn

from telltale.errors import BundleError
from telltale.training.checkpoint import Checkpoint, read_checkpoint
from telltale.training.events import EpochDone, StepDone
from telltale.training.loop import Stopped, train_epochs
from telltale.training.recipe import Recipe
from telltale.training.store import STATE, Store, find_pointed

BASE = {"fit": "finetune", "epochs": 3, "batch_size": 8, "lr": 0.02, "arithmetic": "f32", "patience": 0}
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
    "bf16": {"arithmetic": "bf16"},
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


@pytest.fixture(scope="module")
def straight(stop_and_go, contents, tmp_path_factory):
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
def test_a_stopped_training_ends_as_the_straight_one(stop_and_go, contents, straight, tmp_path, name, stops):
    expected, weights = straight(name)
    folder = tmp_path / str(next(NUMBERS))
    network = stop_and_go(Recipe(**BASE | RECIPES[name]), folder, stops).state.network
    assert contents(folder) == expected
    assert not network.training
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_patience_ends_the_one_with_patience(straight):
    rows = straight("patience")[0]["last"]["rows"]
    assert 2 <= len(rows) < 20


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_it_can_be_stopped_between_any_two_steps_and_after_an_epoch(stop_and_go, contents, straight, tmp_path, count):
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


def test_a_finished_training_goes_on_with_more_epochs_as_if_it_had_had_them(stop_and_go, contents, tmp_path):
    recipe = Recipe(**BASE | {"schedule": "constant", "ema": 0.5})
    stop_and_go(recipe, tmp_path / "one")
    again = stop_and_go(recipe, tmp_path / "one")
    assert (again.state.epoch, len(again.state.rows)) == (4, 3), "nothing is left to do"
    stop_and_go(replace(recipe, epochs=5), tmp_path / "one")
    stop_and_go(replace(recipe, epochs=5), tmp_path / "five")
    assert contents(tmp_path / "one") == contents(tmp_path / "five")


def test_the_best_weights_travel_in_every_checkpoint(begin, tmp_path):
    """Whichever checkpoint is left, the best epoch up to it is there too."""
    training = begin(Recipe(**BASE | RECIPES["plateau"]), tmp_path)
    training.store.keep = 0
    training.run()
    best = {}
    for mark in reversed(training.store.marks()):
        checkpoint = read_checkpoint(training.store.path(mark) / STATE)
        row = checkpoint.facts["best_row"]
        if row["epoch"] == mark.epoch:
            assert not checkpoint.part("best"), "they are those of the network"
            best[mark.epoch] = checkpoint.part("network")
        else:
            kept = checkpoint.part("best")
            assert all(torch.equal(value, kept[name]) for name, value in best[row["epoch"]].items())
    assert len(best) < 5


def test_a_checkpoint_without_its_best_weights_is_refused(begin, stop_and_go, read_pointed, tmp_path):
    recipe = Recipe(**BASE | {"lr": 1e-30})
    stop_and_go(recipe, tmp_path, features=Pixels)
    last = read_pointed(tmp_path, "last")
    assert last.facts["best_row"]["epoch"] == 1
    tensors = {name: value for name, value in last.tensors.items() if name != "best.head.bias"}
    with pytest.raises(BundleError, match="its weights or facts do not fit this one"):
        begin(recipe, features=Pixels).state.load(Checkpoint(tensors, last.facts))


@pytest.mark.parametrize("other", [{"output": "sigmoid"}, {"ema": 0.5}], ids=["shape", "average"])
def test_a_checkpoint_of_another_training_is_refused(begin, stop_and_go, tmp_path, other):
    recipe = Recipe(**BASE | {"epochs": 1})
    stop_and_go(recipe, tmp_path)
    with pytest.raises(BundleError, match=r"The checkpoint is of another training: its weights or facts do not fit"):
        begin(replace(recipe, **other), tmp_path)


def test_the_start_can_be_the_best(begin, read_pointed, tmp_path):
    """A fine-tuning has the row of its probe before its first epoch, and may be stopped before it has a better one."""
    recipe = Recipe(**BASE | {"lr": 1e-30})
    row = {"epoch": 0, "train_loss": 0.1, "val_loss": 0.0, "val_accuracy": 1.0, "lr": 0.0}

    def start():
        training = begin(recipe)
        training.state.keep_best(row)
        training.state.rows, training.store = [row], Store(tmp_path, "00c0ffee")
        return training

    first = start()
    weights = {name: value.clone() for name, value in first.state.network.state_dict().items()}
    with pytest.raises(Stopped):
        first.run(wants_stop=lambda: True)
    assert find_pointed(tmp_path, "best") is None
    again = start()
    again.state.load(read_pointed(tmp_path, "last"))
    assert again.state.best_row == row
    again.state.restore_best()
    assert all(torch.equal(value, weights[name]) for name, value in again.state.network.state_dict().items())
    assert again.run()[-1].best_epoch == 0
