"""What the loop says becomes rows, notes and progress; what goes wrong becomes one clear message."""

import math
import re
import signal
from functools import partial

import pytest
import torch
from torch import nn

from telltale.errors import Interrupted, ModelError, RecipeError
from telltale.progress import Advance, Note, silent
from telltale.training.events import LossLost
from telltale.training.listener import _place, listen
from telltale.training.recipe import Recipe
from telltale.training.run import Run
from telltale.training.store import Store

BASE = {"fit": "scratch", "epochs": 3, "batch_size": 8, "lr": 0.02, "arithmetic": "f32", "patience": 0, "augment": ()}


class Flat(nn.Module):
    """A linear layer on pixels that gives `worst` times as much when it learns, and fails above `most` pictures."""

    num_features = 4

    def __init__(self, worst: float = 1.0, most: int = 1000) -> None:
        super().__init__()
        self.layer, self.worst, self.most = nn.Linear(3 * 16 * 16, 4), worst, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError(f"Tried to allocate {len(x)} GiB.")
        return self.layer(x.flatten(1)) * (self.worst if self.training else 1)


def hear(begin, tmp_path, tell=silent, **changes):
    """What `listen` finds in a training in `tmp_path`, and what is told."""
    features = changes.pop("features", Flat)
    recipe = Recipe(**BASE | changes)
    run = Run(tmp_path / "run")
    training = begin(recipe, run.weights, features=features)
    paths = training.lesson.training.pictures.paths
    return listen(training.state, training.lesson, Store(run.weights, "00c0ffee"), run=run, paths=paths, tell=tell), run


def notes(told) -> list[str]:
    return [one.text for one in told if isinstance(one, Note)]


def test_every_epoch_becomes_a_row_and_a_note(begin, tmp_path):
    told = []
    found, run = hear(begin, tmp_path, told.append)
    best = min(run.history, key=lambda row: row["val_loss"])
    assert found == {"epochs": 3, "best_epoch": best["epoch"], "stopped": "all epochs done"}
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    first, *epochs, last = notes(told)
    assert first == "Training on the processor in f32: 24 pictures, 3,086 numbers to learn, at most 3 epochs."
    for number, (text, row) in enumerate(zip(epochs, run.history, strict=True), start=1):
        assert text.startswith(
            f"epoch {number} of 3: loss {row['train_loss']:.4f}, validation loss {row['val_loss']:.4f}"
        )
        assert f"accuracy {row['val_accuracy']:.4f}" in text
    assert "the best so far" in epochs[0]
    assert last == f"Done after 3 epochs; the best was epoch {best['epoch']:g}."
    steps = [one for one in told if isinstance(one, Advance)]
    assert [one.done for one in steps] == [8 * step for step in range(1, 10)]
    assert {(one.stage, one.total) for one in steps} == {("train", 72)}
    assert steps[-1].detail == "epoch 3 of 3"


def test_sigterm_ends_the_step_and_the_run_can_go_on(begin, tmp_path):
    told = []

    def tell(message):
        told.append(message)
        if isinstance(message, Advance) and message.done == 40:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        hear(begin, tmp_path, tell)
    assert str(caught.value) == "Stopped after batch 2 of epoch 2; everything is saved."
    assert caught.value.run == str(tmp_path / "run")
    assert isinstance(caught.value, KeyboardInterrupt)
    again = []
    hear(begin, tmp_path, again.append)
    assert [one.done for one in again if isinstance(one, Advance)] == [48, 56, 64, 72], "progress goes on, too"


def test_a_signal_while_validating_ends_it_after_the_epoch(begin, tmp_path):
    def tell(message):
        if isinstance(message, Note) and message.text.startswith("epoch 1 of 3"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"^Stopped after epoch 1; everything is saved\.$"):
        hear(begin, tmp_path, tell)


def test_a_signal_in_the_last_epoch_changes_nothing_where_all_is_done(begin, tmp_path):
    def tell(message):
        if isinstance(message, Note) and message.text.startswith("epoch 3 of 3"):
            signal.raise_signal(signal.SIGINT)

    assert hear(begin, tmp_path, tell)[0]["epochs"] == 3


def test_a_loss_that_is_lost_at_once_is_an_error_with_the_pictures(begin, tmp_path):
    with pytest.raises(RecipeError) as caught:
        hear(begin, tmp_path, features=partial(Flat, worst=math.inf))
    words = str(caught.value)
    assert words.startswith("The loss became no finite number in batch ")
    assert ".png, " in words and " and 5 more)" in words
    assert (
        "A finite number in every batch. Start a new training with a smaller learning rate, such as --lr 0.001."
        in words
    )
    assert re.search(r" The last finite weights are in '.+epoch-0000(-step-\d+)?-00c0ffee-[0-9a-f]{4}'\.$", words)


def test_a_loss_that_is_lost_later_is_a_warning(begin, tmp_path):
    told = []
    recipe = Recipe(**BASE | {"epochs": 9})
    run = Run(tmp_path / "run")
    training = begin(recipe, run.weights, features=Flat)
    layer = training.state.network.features.layer

    def tell(message):
        told.append(message)
        if isinstance(message, Note) and message.text.startswith("epoch 2 of 9"):
            layer.weight.data[:] = math.nan

    paths = training.lesson.training.pictures.paths
    found = listen(training.state, training.lesson, training.store, run=run, paths=paths, tell=tell)
    assert (found["epochs"], found["stopped"]) == (2, "a loss that is no number")
    (warning,) = [one for one in told if isinstance(one, Note) and one.warning]
    assert warning.text.startswith("The loss became no finite number in batch 1 of epoch 3 (")
    assert warning.text.endswith(": the best weights are kept. A smaller learning rate may help: --lr 0.001.")
    assert torch.isfinite(layer.weight).all()
    assert len(run.history) == 2


def test_memory_that_is_short_is_told_once(begin, tmp_path):
    told = []
    hear(begin, tmp_path, told.append, features=partial(Flat, most=4))
    assert notes(told)[1] == "Memory was short: each batch goes through in 2 pieces."


def test_memory_that_does_not_suffice_is_an_error(begin, tmp_path):
    words = r"Memory does not suffice to learn from two or three pictures at once \(Tried to allocate \d GiB\.\)"
    with pytest.raises(ModelError, match=words) as caught:
        hear(begin, tmp_path, features=partial(Flat, most=1))
    assert caught.value.do == "Use a smaller --img-size or another --model."


def test_a_validation_loss_that_is_lost_is_named_as_such(begin, tmp_path):
    class Blind(Flat):
        def forward(self, x):
            return super().forward(x) * (1 if self.training else math.nan)

    with pytest.raises(RecipeError, match=r"no finite number in the validation of epoch 1\. A finite number"):
        hear(begin, tmp_path, features=Blind)


def test_where_the_start_was_the_best_that_is_said(begin, tmp_path):
    told = []
    run = Run(tmp_path / "run")
    training = begin(Recipe(**BASE), run.weights, features=Flat)
    training.state.keep_best({"epoch": 0, "train_loss": 0.0, "val_loss": 0.0, "val_accuracy": 1.0, "lr": 0.0})
    found = listen(training.state, training.lesson, training.store, run=run, paths=[], tell=told.append)
    assert found["best_epoch"] == 0
    assert notes(told)[-1] == "Done after 3 epochs; the best was where it started, the probe."


@pytest.mark.parametrize(
    ("rows", "words"), [((1,), "(b)"), ((0, 1, 2), "(a, b, c)"), ((0, 1, 2, 3, 4), "(a, b, c and 2 more)")]
)
def test_at_most_three_pictures_are_named(rows, words):
    assert _place(LossLost(2, 5, rows), list("abcde")) == f"batch 5 of epoch 2 {words}"
