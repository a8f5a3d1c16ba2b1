import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from telltale.batches.loader import PictureBatches
from telltale.batches.preprocess import Preprocess
from telltale.errors import RecipeError
from telltale.model.cnn import PlainCNN
from telltale.model.seeding import seeded
from telltale.training.checkpoint import Checkpoints, read_checkpoint
from telltale.training.events import EpochDone, StepDone, TrainingStarted, TrainingStopped
from telltale.training.loop import Normalise, Plan, measure, plan_from, train_epochs
from telltale.training.recipe import Recipe

PREPROCESS = Preprocess(size=22, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Stripes:
    """Pictures with noise and a stripe that lies (class 0) or stands (class 1), as an `Index` gives them."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.paths = [f"{number}.png" for number in range(count)]
        self.codes = (np.arange(count) % 2).astype(np.int32)
        self.store = self
        self.files = {}
        for path, code in zip(self.paths, self.codes, strict=True):
            pixels = rng.integers(0, 120, (22, 22, 3), np.uint8)
            at = int(rng.integers(2, 17))
            pixels[at : at + 4] += 130
            file = io.BytesIO()
            Image.fromarray(pixels if code == 0 else pixels.transpose(1, 0, 2)).save(file, "PNG")
            self.files[path] = file.getvalue()

    def read(self, path: str) -> bytes:
        return self.files[path]


def batches(count: int = 96, seed: int = 0, **options) -> PictureBatches:
    return PictureBatches(Stripes(count, seed), PREPROCESS, batch_size=16, **options)


def network(outputs: int = 2, seed: int = 0) -> PlainCNN:
    with seeded(seed):
        return PlainCNN(outputs, 22, filters=(8, 8, 8), hidden=16)


def run(net: nn.Module, plan: Plan, **options):
    training, validation = batches(seed=0, flip=True), batches(32, seed=1)
    return list(train_epochs(net, training, validation=validation, plan=plan, **options))


def epochs(events) -> list[EpochDone]:
    return [event for event in events if isinstance(event, EpochDone)]


def test_it_learns_and_tells_what_happened():
    net = network()
    events = run(net, plan_from(Recipe(epochs=12, lr=0.01, patience=0)))
    assert isinstance(events[0], TrainingStarted)
    assert isinstance(events[-1], TrainingStopped)
    assert (events[0].epochs, events[0].steps, events[0].pictures, events[0].validation_pictures) == (12, 6, 96, 32)
    assert events[0].parameters == sum(one.numel() for one in net.parameters())
    assert sum(isinstance(event, StepDone) for event in events) == 12 * 6
    assert [event.epoch for event in epochs(events)] == list(range(1, 13))
    assert epochs(events)[-1].train_loss < epochs(events)[0].train_loss / 2
    assert events[-1].reason == "all epochs done"
    assert measure(net, batches(64, seed=2))[1] >= 0.95


def test_the_best_weights_are_kept_in_the_network_and_on_disk(tmp_path):
    net, checkpoints = network(), Checkpoints(tmp_path / "weights")
    events = run(net, plan_from(Recipe(epochs=6, lr=0.05, schedule="constant")), checkpoints=checkpoints)
    best = min(epochs(events), key=lambda event: event.val_loss)
    assert (events[-1].best_epoch, events[-1].val_loss) == (best.epoch, best.val_loss)
    assert measure(net, batches(32, seed=1)) == (best.val_loss, best.val_accuracy)
    stored = read_checkpoint(checkpoints.best)
    assert stored.epoch == best.epoch
    assert stored.metrics == {name: getattr(best, name) for name in ("train_loss", "val_loss", "val_accuracy", "lr")}
    assert all(torch.equal(value, stored.state[name]) for name, value in net.state_dict().items())
    assert read_checkpoint(checkpoints.last).epoch == 6
    assert not net.training


def test_two_runs_are_equal_bit_for_bit_whatever_a_listener_draws():
    first, again = network(), network()
    plan = plan_from(Recipe(epochs=3, seed=7))
    left = run(first, plan)
    torch.manual_seed(99)
    right = []
    for event in train_epochs(again, batches(flip=True, threads=1), validation=batches(32, seed=1), plan=plan):
        torch.rand(3)
        right.append(event)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert [event.val_loss for event in epochs(left)] == [event.val_loss for event in epochs(right)]


def test_another_seed_gives_other_weights():
    first, other = network(), network()
    run(first, plan_from(Recipe(epochs=1, seed=0)))
    run(other, plan_from(Recipe(epochs=1, seed=1)))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_the_users_random_numbers_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run(network(), plan_from(Recipe(epochs=1)))
    assert torch.equal(torch.rand(2), expected)


def test_it_stops_when_validation_gets_no_better():
    # So small a rate that weights stay as they are in float32: no epoch after the first is better.
    events = run(network(), plan_from(Recipe(epochs=30, lr=1e-30, patience=3)))
    assert (events[-1].reason, events[-1].epochs, events[-1].best_epoch) == ("no better validation loss", 4, 1)
    assert [event.improved for event in epochs(events)] == [True, False, False, False]


@pytest.mark.parametrize("schedule", ["cosine", "constant", "plateau"])
def test_schedules(schedule):
    rates = [
        event.lr
        for event in epochs(run(network(), plan_from(Recipe(epochs=4, lr=1e-30, schedule=schedule, patience=0))))
    ]
    if schedule == "cosine":
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] < rates[0] / 10
    else:
        assert rates == [1e-30] * 4


class Exploding(nn.Module):
    """Gives finite logits for a while, then none."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 22 * 22, 2)
        self.left = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        return self.layer(x.flatten(1)) * (1 if self.left >= 0 else math.nan)


def test_a_loss_that_is_no_number_ends_the_training_with_the_best_weights(tmp_path):
    net, checkpoints = Exploding(calls=2 * (6 + 2)), Checkpoints(tmp_path)
    plan = plan_from(Recipe(epochs=9, lr=1e-4))
    with pytest.raises(RecipeError, match=r"The loss became nan in epoch 3\. .* such as --lr 1e-05"):
        run(net, plan, checkpoints=checkpoints)
    assert read_checkpoint(checkpoints.last).epoch == 2
    best = read_checkpoint(checkpoints.best).state
    assert torch.equal(net.layer.weight, best["layer.weight"])
    assert torch.isfinite(net.layer.weight).all()


def test_normalise_is_pixels_over_255_less_mean_over_std():
    preprocess = Preprocess(size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    squares = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    expected = (squares / 255 - torch.tensor(preprocess.mean)) / torch.tensor(preprocess.std)
    torch.testing.assert_close(Normalise(preprocess)(squares), expected.permute(0, 3, 1, 2))


def test_the_plan_takes_its_fields_from_the_recipe():
    recipe = Recipe(epochs=3, lr=0.2, weight_decay=0.3, schedule="plateau", patience=4, seed=5)
    assert plan_from(recipe) == Plan(epochs=3, lr=0.2, weight_decay=0.3, schedule="plateau", patience=4, seed=5)
