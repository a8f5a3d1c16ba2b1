"""The loop learns, says what happens, ends when it should, and loses nothing when something goes wrong."""

import math
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from telltale.batches.feed import Batch
from telltale.training import loop as module
from telltale.training.events import (
    CheckpointSaved,
    EpochDone,
    LossLost,
    MemoryShort,
    StepDone,
    TrainingStarted,
    TrainingStopped,
)
from telltale.training.guard import CHECK_STEPS, NotFinite
from telltale.training.loop import Stopped, TooLarge, measure, pieces_of, train_epochs
from telltale.training.recipe import Recipe

BASE = {"fit": "scratch", "epochs": 3, "batch_size": 8, "lr": 0.02, "arithmetic": "f32", "patience": 0, "augment": ()}
EXACT = BASE | {"optimizer": "sgd", "dropout": 0.0, "schedule": "constant"}
"""Equal but for last digits, whatever is added up first: Adam makes steps of one size of gradients near zero."""


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


class Flat(nn.Module):
    """One linear layer on pixels: no norms, no dropout. It fails above `most` pictures, and gives `worst` with `bad`.

    A picture is bad where its mean is that of `bad`.
    """

    num_features = 6

    def __init__(self, *, most: int = 1000, bad: torch.Tensor | None = None, worst: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 6)
        self.most, self.bad, self.worst = most, bad, worst

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most and self.training:
            raise torch.OutOfMemoryError(f"Tried to allocate {len(x)} GiB.\nmore about it")
        features = self.layer(x.flatten(1))
        if self.bad is not None and self.training:
            hit = (x - self.bad).abs().flatten(1).amax(1) < 1e-6
            features = features + torch.where(hit[:, None], features * self.worst, 0.0)
        return features


def test_it_learns_and_tells_what_happened(begin):
    training = begin(Recipe(**BASE | {"epochs": 30, "augment": ("flip",)}))
    events = training.run()
    network = training.state.network
    started, stopped = events[0], events[-1]
    assert isinstance(started, TrainingStarted) and isinstance(stopped, TrainingStopped)
    assert (started.epochs, started.steps, started.pictures, started.validation_pictures) == (30, 3, 24, 12)
    assert (started.device, started.precision, started.epoch, started.step) == ("cpu", "f32", 1, 0)
    assert started.parameters == sum(one.numel() for one in network.parameters())
    assert [(event.epoch, event.step) for event in of(events, StepDone)][:4] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert sum(event.pictures for event in of(events, StepDone)) == 30 * 24
    epochs = of(events, EpochDone)
    assert [event.epoch for event in epochs] == list(range(1, 31))
    assert epochs[-1].train_loss < epochs[0].train_loss / 2
    assert (stopped.reason, stopped.epochs) == ("all epochs done", 30)
    best = min(epochs, key=lambda event: event.val_loss)
    assert (stopped.best_epoch, stopped.val_loss, stopped.val_accuracy) == (
        best.epoch,
        best.val_loss,
        best.val_accuracy,
    )
    assert measure(network, training.lesson.validation) == (best.val_loss, best.val_accuracy)
    assert best.val_accuracy >= 0.9
    assert not network.training


def test_improved_is_said_where_the_validation_loss_is_the_least_so_far(begin):
    epochs = of(begin(Recipe(**BASE | {"epochs": 6, "lr": 0.3, "schedule": "constant"})).run(), EpochDone)
    least = math.inf
    for event in epochs:
        assert event.improved == (event.val_loss < least)
        least = min(least, event.val_loss)


def test_two_trainings_are_equal_bit_for_bit_whatever_a_listener_draws(begin):
    recipe = Recipe(**BASE | {"seed": 7, "augment": ("flip", "noise=20", "mixup")})
    first, again = begin(recipe), begin(recipe)
    left = first.run()
    torch.manual_seed(99)
    right = []
    for event in train_epochs(again.state, again.lesson):
        torch.rand(3)
        np.random.rand(2)
        right.append(event)
    one, other = first.state.network.state_dict(), again.state.network.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert [event.val_loss for event in of(left, EpochDone)] == [event.val_loss for event in of(right, EpochDone)]


def test_another_seed_gives_other_weights(begin):
    trainings = [begin(Recipe(**BASE | {"epochs": 1, "seed": seed})) for seed in (0, 1)]
    for training in trainings:
        training.run()
    assert not torch.equal(*(training.state.network.head.weight for training in trainings))


def test_the_users_random_numbers_are_left_alone(begin):
    training = begin(Recipe(**BASE | {"epochs": 1}))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    training.run()
    assert torch.equal(torch.rand(2), expected)


def test_it_stops_when_validation_gets_no_better(begin):
    # So small a rate that weights stay as they are; statistics of norms would still move, so there are none.
    events = begin(Recipe(**BASE | {"epochs": 30, "lr": 1e-30, "patience": 3}), features=Flat).run()
    assert (events[-1].reason, events[-1].epochs, events[-1].best_epoch) == ("no better validation loss", 4, 1)
    assert [event.improved for event in of(events, EpochDone)] == [True, False, False, False]


@pytest.mark.parametrize("schedule", ["cosine", "constant", "plateau", "step"])
def test_the_rate_of_the_last_step_is_in_the_row_of_its_epoch(begin, schedule):
    recipe = Recipe(**BASE | {"epochs": 4, "schedule": schedule, "step_epochs": 2, "layer_decay": 0.3})
    training = begin(recipe)
    rates = [event.lr for event in of(training.run(), EpochDone)]
    assert rates == [row["lr"] for row in training.state.rows]
    if schedule == "cosine":
        assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * (step - 1) / 12)) for step in (3, 6, 9, 12)])
    elif schedule == "step":
        assert rates == pytest.approx([0.02, 0.02, 0.002, 0.002])
    else:
        assert rates == [0.02] * 4


@pytest.mark.parametrize("change", [{}, {"output": "sigmoid"}, {"label_smoothing": 0.2}, {"balance": "weights"}])
def test_two_batches_of_eight_are_one_of_sixteen(begin, change):
    common = EXACT | {"epochs": 2, "clip": 0.3} | change
    eights = begin(Recipe(**common | {"accumulate": 2}), features=Flat)
    sixteens = begin(Recipe(**common | {"batch_size": 16}), features=Flat)
    left, right = eights.run(), sixteens.run()
    one, other = eights.state.network.state_dict(), sixteens.state.network.state_dict()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-6)
    for a, b in zip(of(left, EpochDone), of(right, EpochDone), strict=True):
        assert (a.train_loss, a.val_loss) == pytest.approx((b.train_loss, b.val_loss), rel=1e-5)


def test_pictures_of_a_shorter_last_batch_count_as_much_as_others(begin):
    """24 pictures in batches of 7, 7, 7 and 3, added up, or in one."""
    parts = begin(Recipe(**EXACT | {"epochs": 1, "batch_size": 7, "accumulate": 4}), features=Flat)
    whole = begin(Recipe(**EXACT | {"epochs": 1, "batch_size": 24}), features=Flat)
    parts.run(), whole.run()
    one, other = (training.state.network.features.layer.weight for training in (parts, whole))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


class TestTime:
    def test_it_ends_soon_after_its_time_with_a_rate_near_zero(self, begin):
        training = begin(Recipe(**BASE | {"epochs": 100_000}))
        until = time.perf_counter() + 1.0
        events = training.run(until=until)
        assert 0 <= time.perf_counter() - until < 2
        assert events[-1].reason == "time is up"
        assert events[-1].epochs >= 1
        rates = [event.lr for event in of(events, EpochDone)]
        assert rates[-1] < 0.1 * 0.02
        assert rates == sorted(rates, reverse=True)

    def test_in_a_long_epoch_it_ends_in_its_middle(self, begin):
        training = begin(Recipe(**BASE))
        events = training.run(until=time.perf_counter() - 1)
        assert [event.step for event in of(events, StepDone)] == [1], "one step, so that there is something to keep"
        assert (events[-1].reason, events[-1].epochs) == ("time is up", 1)
        (row,) = training.state.rows
        assert row["train_loss"] == pytest.approx(of(events, EpochDone)[0].train_loss)
        assert 0.1 < row["train_loss"] < 2, "of the pictures that were seen"

    def test_enough_time_changes_nothing(self, begin):
        trainings = begin(Recipe(**BASE)), begin(Recipe(**BASE))
        trainings[0].run(), trainings[1].run(until=time.perf_counter() + 1e6)
        one, other = (training.state.network.head.weight for training in trainings)
        assert torch.equal(one, other)

    def test_what_was_spent_before_a_stop_counts(self, begin):
        """Half of the time was spent before: the rate goes on in the middle of its cosine."""
        training = begin(Recipe(**BASE | {"epochs": 100_000}))
        training.state.seconds = 1000.0
        events = train_epochs(training.state, replace(training.lesson, until=time.perf_counter() + 1000))
        next(events), next(events)
        assert training.state.lr == pytest.approx(0.01, rel=0.05)


def bad_picture(begin, row: int) -> torch.Tensor:
    """The input of one picture of the training part."""
    return next(iter(begin(Recipe(**BASE | {"batch_size": 24})).lesson.training.in_order())).inputs[row]


class TestNotFinite:
    @pytest.mark.parametrize("worst", [math.inf, math.nan])
    def test_the_first_epoch_names_batch_and_pictures(self, begin, read_pointed, tmp_path, worst):
        features = partial(Flat, bad=bad_picture(begin, 17), worst=worst)
        training = begin(Recipe(**BASE), tmp_path, features=features)
        order = training.lesson.training.order(1)
        step = next(place for place, rows in enumerate(order, start=1) if 17 in rows)
        with pytest.raises(NotFinite, match=rf"no finite number in batch {step} of epoch 1") as caught:
            training.run()
        assert (caught.value.step, list(caught.value.rows)) == (step, order[step - 1].tolist())
        last = read_pointed(tmp_path, "last")
        assert (last.facts["epoch"], last.facts["step"]) == (1, step - 1)
        assert all(torch.isfinite(value).all() for value in last.tensors.values())
        weights = training.state.network.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in last.part("network").items())

    def test_later_the_best_weights_are_what_is_left(self, begin, read_pointed, tmp_path):
        training = begin(Recipe(**BASE), tmp_path, features=Flat)
        events = []
        for event in train_epochs(training.state, training.lesson, training.store):
            events.append(event)
            if isinstance(event, EpochDone) and event.epoch == 2:
                training.state.network.features.layer.weight.data[0, 0] = 1e38
        (lost,) = of(events, LossLost)
        assert (lost.epoch, lost.step) == (3, 1)
        assert list(lost.rows) == training.lesson.training.order(3)[0].tolist()
        assert (events[-1].reason, events[-1].epochs) == ("a loss that is no number", 2)
        best = read_pointed(tmp_path, "best")
        assert best.facts["best_row"]["epoch"] == events[-1].best_epoch
        weights = training.state.network.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in best.part("network").items())
        assert measure(training.state.network, training.lesson.validation)[0] == events[-1].val_loss

    def test_an_absurd_rate_ends_with_finite_weights(self, begin, tmp_path):
        training = begin(Recipe(**BASE | {"lr": 1e30, "epochs": 9}), tmp_path)
        with pytest.raises(NotFinite):
            training.run()
        assert all(torch.isfinite(value).all() for value in training.state.network.state_dict().values())

    def test_an_infinite_gradient_counts_though_the_loss_is_finite(self, begin):
        class Steep(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, gradient):
                return gradient * math.inf

        class Cliff(Flat):
            def forward(self, x):
                return Steep.apply(super().forward(x))

        training = begin(Recipe(**BASE), features=Cliff)
        before = training.state.network.features.layer.weight.detach().clone()
        with pytest.raises(NotFinite, match="batch 1 of epoch 1") as caught:
            training.run()
        assert list(caught.value.rows) == training.lesson.training.order(1)[0].tolist()
        assert torch.equal(training.state.network.features.layer.weight, before)

    def test_what_is_saved_was_looked_at(self, begin, read_pointed, tmp_path, monkeypatch):
        """As on a GPU: the bad step is known late, but not later than the file."""
        monkeypatch.setitem(CHECK_STEPS, "cpu", 50)
        training = begin(Recipe(**BASE), tmp_path, features=partial(Flat, bad=bad_picture(begin, 17), worst=math.nan))
        step = next(place for place, rows in enumerate(training.lesson.training.order(1), start=1) if 17 in rows)
        with pytest.raises(NotFinite, match=f"batch {step} of epoch 1"):
            training.run(wants_stop=lambda: training.state.step == step)
        last = read_pointed(tmp_path, "last")
        assert last.facts["step"] == step - 1
        assert all(torch.isfinite(value).all() for value in last.tensors.values())

    def test_a_validation_loss_that_is_no_number_is_named_as_such(self, begin, tmp_path):
        class Blind(Flat):
            def forward(self, x):
                return super().forward(x) * (1 if self.training else math.nan)

        training = begin(Recipe(**BASE), tmp_path, features=Blind)
        with pytest.raises(NotFinite, match="in the validation of epoch 1") as caught:
            training.run()
        assert (caught.value.step, caught.value.rows) == (0, ())


class TestMemory:
    @pytest.mark.parametrize(("most", "told"), [(7, [2]), (4, [4]), (3, [4]), (5, [2])])
    def test_smaller_pieces_give_the_same_step(self, begin, most, told):
        recipe = Recipe(**EXACT | {"balance": "weights", "clip": 0.5, "batch_size": 9})
        whole, pieces = begin(recipe, features=Flat), begin(recipe, features=partial(Flat, most=most))
        whole.run()
        short = of(pieces.run(), MemoryShort)
        assert [event.pieces for event in short] == told
        assert (short[0].epoch, short[0].step) == (1, 1)
        one, other = whole.state.network.state_dict(), pieces.state.network.state_dict()
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-6)

    def test_mixed_pictures_keep_their_shares_in_pieces(self, begin):
        recipe = Recipe(**EXACT | {"augment": ("mixup=0.4",)})
        whole, pieces = begin(recipe, features=Flat), begin(recipe, features=partial(Flat, most=3))
        whole.run(), pieces.run()
        torch.testing.assert_close(
            whole.state.network.head.weight, pieces.state.network.head.weight, rtol=1e-5, atol=1e-6
        )

    def test_pieces_stay_after_a_stop(self, begin, tmp_path):
        recipe = Recipe(**BASE | {"dropout": 0.0})
        training = begin(recipe, tmp_path, features=partial(Flat, most=4))
        with pytest.raises(Stopped):
            training.run(wants_stop=lambda: True)
        again = begin(recipe, tmp_path, features=partial(Flat, most=4))
        assert again.state.pieces == 2
        assert not of(again.run(), MemoryShort)

    @pytest.mark.parametrize("size", [2, 3, 8, 9])
    def test_where_two_pictures_are_too_many_it_ends(self, begin, size):
        with pytest.raises(TooLarge, match=r"^Tried to allocate \d GiB\.$"):
            begin(Recipe(**BASE | {"batch_size": size}), features=partial(Flat, most=1)).run()

    def test_the_memory_of_the_machine_counts_too(self, begin):
        class Huge(Flat):
            def forward(self, x):
                if len(x) > 4:
                    torch.empty(2**60)
                return super().forward(x)

        assert [event.pieces for event in of(begin(Recipe(**BASE), features=Huge).run(), MemoryShort)] == [2]

    def test_another_error_is_no_lack_of_memory(self, begin):
        class Broken(Flat):
            def forward(self, x):
                return super().forward(x)[:, :3]

        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            begin(Recipe(**BASE), features=Broken).run()


@given(st.integers(1, 300), st.integers(1, 300))
def test_pieces_are_of_nearly_equal_size_and_never_of_one_picture(count, most):
    found = pieces_of(count, most)
    sizes = [len(range(count)[part]) for part in found]
    assert sum(sizes) == count
    assert len(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(2, count)


class TestSaving:
    def test_a_wish_to_stop_is_heard_after_the_step_and_everything_is_saved(self, begin, read_pointed, tmp_path):
        training = begin(Recipe(**BASE), tmp_path)
        lesson = replace(training.lesson, wants_stop=lambda: True)
        events = train_epochs(training.state, lesson, training.store)
        assert [type(next(events)) for _ in range(3)] == [TrainingStarted, StepDone, CheckpointSaved]
        with pytest.raises(Stopped):
            next(events)
        facts = read_pointed(tmp_path, "last").facts
        assert (facts["epoch"], facts["step"]) == (1, 1)

    def test_a_long_epoch_is_saved_in_between(self, begin, read_pointed, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "SAVE_SECONDS", 0.0)
        training = begin(Recipe(**BASE), tmp_path)
        events = train_epochs(training.state, training.lesson, training.store)
        while not (tmp_path / "last.json").exists():
            next(events)
        facts = read_pointed(tmp_path, "last").facts
        assert (facts["epoch"], facts["step"], facts["seen"]) == (1, 1, 8)

    def test_without_a_place_for_checkpoints_nothing_is_written(self, begin, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        begin(Recipe(**BASE | {"epochs": 1})).run()
        assert not list(tmp_path.iterdir())


def test_measure_is_mean_cross_entropy_and_accuracy(begin):
    training = begin(Recipe(**BASE))
    network, feed = training.state.network.eval(), training.lesson.validation
    (whole,) = [torch.cat([network(batch.inputs).detach() for batch in feed.in_order()])]
    labels = torch.from_numpy(feed.pictures.codes).long()
    loss, accuracy = measure(network, feed)
    assert loss == pytest.approx(float(nn.functional.cross_entropy(whole, labels)), rel=1e-5)
    assert accuracy == float((whole.argmax(1) == labels).double().mean())
    assert isinstance(next(iter(feed.in_order())), Batch)
