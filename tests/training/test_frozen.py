"""What frozen layers give is kept, and the training is the one in which they run in each epoch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from telltale.batches.feed import PictureFeed
from telltale.batches.preprocess import Preprocess
from telltale.model.backbone import Architecture
from telltale.model.features import features
from telltale.model.network import Network
from telltale.progress import Note, silent
from telltale.training import frozen as module
from telltale.training.events import EpochDone
from telltale.training.frozen import KeptFeed, keep_frozen
from telltale.training.loop import train_epochs
from telltale.training.network import prepare
from telltale.training.recipe import Recipe
from telltale.training.start import Start
from telltale.training.views import Views, view_features

BASE = {
    "model": "test_efficientnet", "fit": "finetune", "img_size": 64, "epochs": 2, "batch_size": 8, "arithmetic": "f32",
    "lr": 0.01, "augment": (), "freeze": 0.6,
}  # fmt: skip
CHANGES = ("flip", "brightness=0.4")


def begin(splits, extractor, **changes):
    """Start, state and lesson, and the notes that were told."""
    told = []
    recipe = Recipe(**BASE | changes).resolved
    start, state, lesson = prepare(splits, recipe, device="cpu", extractor=extractor, tell=told.append)
    return start, state, lesson, [one.text for one in told if isinstance(one, Note)]


def learn(state, lesson) -> dict[str, torch.Tensor]:
    """The weights after the last epoch, whichever was the best."""
    for event in train_epochs(state, lesson):
        if isinstance(event, EpochDone) and event.epoch == lesson.recipe.epochs:
            break
    return {name: value.clone() for name, value in state.network.state_dict().items()}


def whole(start, lesson):
    """The same lesson with the whole network in each step."""
    return replace(
        lesson,
        forward=start.network,
        training=lesson.training.pictures,
        validation=lesson.validation.pictures,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden": 16},
        {"ema": 0.9, "accumulate": 2},
        {"balance": "sampling", "fix_norms": False},
        {"freeze": 1.0},
        {"freeze": 1.0, "hidden": 16, "output": "softmax"},
    ],
    ids=lambda value: ",".join(value) or "plain",
)
def test_the_training_is_the_one_in_which_all_layers_run(splits, extractor, changes):
    _, state, lesson, _ = begin(splits, extractor, **changes)
    assert isinstance(lesson.training, KeptFeed)
    start, other, same, _ = begin(splits, extractor, **changes)
    found, expected = learn(state, lesson), learn(other, whole(start, same))
    for name in ("train_loss", "val_loss", "val_accuracy"):
        assert [row[name] for row in state.rows] == pytest.approx([row[name] for row in other.rows], rel=2e-3, abs=1e-4)
    for name, value in found.items():
        torch.testing.assert_close(value.float(), expected[name].float(), rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("kept", [True, False])
def test_frozen_weights_and_statistics_stay_bit_for_bit(splits, extractor, share, kept):
    start, state, lesson, _ = begin(splits, extractor, freeze=share, weight_decay=0.1, ema=0.5, fix_norms=False)
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    trained = {name for name, one in start.network.named_parameters() if one.requires_grad}
    frozen = [name for name, one in start.network.named_modules() if one in set(state.frozen)]
    after = learn(state, lesson if kept else whole(start, lesson))
    below = {name for name in before if name.rpartition(".")[0] in frozen} - trained
    assert any("running_mean" in name for name in below)
    assert all(torch.equal(before[name], after[name]) for name in below)
    assert trained and not any(torch.equal(before[name], after[name]) for name in trained)


def test_a_feed_of_kept_results_has_the_order_of_its_pictures(splits, extractor):
    _, _, lesson, _ = begin(splits, extractor, batch_size=5)
    feed, pictures = lesson.training, lesson.training.pictures
    assert (len(feed), feed.steps) == (len(splits.train), pictures.steps)
    for number, first in ((1, 1), (2, 3), (2, 99)):
        rows = [batch.rows.tolist() for batch in feed.epoch(number, first=first)]
        assert rows == [batch.rows.tolist() for batch in pictures.epoch(number, first=first)]
    for batch in feed.epoch(3):
        assert batch.labels.tolist() == splits.train.codes[batch.rows].tolist()
    assert np.concatenate([batch.rows for batch in feed.in_order()]).tolist() == list(range(len(feed)))
    assert next(iter(feed.epoch(1))).inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_kept_results_are_what_the_lower_layers_give(splits, extractor, share):
    start, _, lesson, _ = begin(splits, extractor, freeze=share)
    start.network.eval()
    pairs = zip(lesson.validation.in_order(), lesson.validation.pictures.in_order(), strict=True)
    with torch.no_grad():
        for kept, plain in pairs:
            torch.testing.assert_close(lesson.forward(kept.inputs), start.network(plain.inputs), rtol=1e-3, atol=1e-3)


def test_copies_take_turns(splits, extractor):
    _, _, lesson, notes = begin(splits, extractor, augment=CHANGES, views=2)
    assert any("layers are frozen" in text for text in notes)
    epochs = [{} for _ in range(3)]
    for number, epoch in enumerate(epochs, start=1):
        for batch in lesson.training.epoch(number):
            epoch.update(zip(batch.rows.tolist(), batch.inputs, strict=True))
    assert all(torch.equal(epochs[0][row], epochs[2][row]) for row in epochs[0])
    assert not any(torch.equal(epochs[0][row], epochs[1][row]) for row in epochs[0])


@pytest.mark.parametrize(("views", "copies"), [(0, 3), (2, 2)])
def test_a_whole_backbone_runs_in_its_engine_over_every_copy(splits, extractor, views, copies):
    _, _, lesson, _ = begin(splits, extractor, freeze=1.0, augment=CHANGES, views=views, epochs=3)
    for number in (1, 2, 3):
        copy = (number - 1) % copies + 1
        expected = view_features(splits.train, extractor, Views(CHANGES, copies), number=copy)
        for batch in lesson.training.epoch(number):
            np.testing.assert_array_equal(batch.inputs.numpy(), expected[batch.rows])
    seen = np.concatenate([batch.inputs.numpy() for batch in lesson.validation.in_order()])
    np.testing.assert_array_equal(seen, features(splits.validation, extractor))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": CHANGES}, "because pictures change; --set views=4 keeps 4 copies"),
        (
            {"augment": ("mixup",), "views": 2},
            "The frozen layers run in each epoch: pictures are mixed with one another",
        ),
    ],
)
def test_where_they_cannot_be_kept_the_whole_network_runs(splits, extractor, changes, words):
    start, state, lesson, notes = begin(splits, extractor, **changes)
    assert any(words in text for text in notes)
    assert lesson.forward is start.network
    assert state.frozen
    list(train_epochs(state, lesson))


class Moody(torch.nn.Sequential):
    """Does one thing with bright pictures and another with dark ones: no recording of it is right."""

    num_features = 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self[0](x)
        return (self[1](x) if x.mean() > 0 else self[2](x)).mean((2, 3))


def test_a_network_that_cannot_be_cut_runs_as_a_whole(splits):
    preprocess = Preprocess(16)
    network = Network(Moody(*(torch.nn.Conv2d(channels, 4, 3) for channels in (3, 4, 4))), 4)
    feeds = [PictureFeed(part, preprocess, batch_size=8) for part in (splits.train, splits.validation)]
    start, told = Start(network, Architecture("moody", (), 16), preprocess), []
    kept = keep_frozen(start, splits, feeds[0], validation=feeds[1], recipe=Recipe(freeze=0.4), tell=told.append)
    assert kept is None
    assert told[-1].text == "The frozen layers run in each epoch: this network does not fall into two parts."


def test_one_validation_picture_is_enough(splits, extractor):
    part = splits.validation.take(np.array([0]))
    validation = PictureFeed(part, extractor.preprocess)
    start, _, lesson, _ = begin(splits, extractor)
    training = lesson.training.pictures
    kept = keep_frozen(start, splits, training, validation=validation, recipe=lesson.recipe, tell=silent)
    assert kept is not None and len(kept[2]) == 1


def test_augmentation_that_changes_nothing_lets_them_be_kept(splits, extractor):
    assert isinstance(begin(splits, extractor, augment=("none",))[2].training, KeptFeed)


def test_many_activations_lie_in_a_file_that_goes_with_them(splits, extractor, monkeypatch, tmp_path):
    _, state, lesson, _ = begin(splits, extractor)
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path))
    _, other, same, _ = begin(splits, extractor)
    one, found = learn(state, lesson), learn(other, same)
    assert all(torch.equal(value, found[name]) for name, value in one.items())
    assert not list((tmp_path / "activations").iterdir())


def test_without_room_the_frozen_layers_run_in_each_epoch(splits, extractor, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    monkeypatch.setattr(module, "DISK_PARTS", 2**60)
    start, _, lesson, notes = begin(splits, extractor)
    assert any(
        text.startswith("The frozen layers run in each epoch: there is no room for the 0.0 GB") for text in notes
    )
    assert lesson.forward is start.network


def test_layers_with_random_weights_can_be_frozen_too(splits):
    start, state, lesson, _ = begin(splits, None, fit="scratch", freeze=0.5)
    assert isinstance(lesson.training, KeptFeed)
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    after = learn(state, lesson)
    names = [name for name, one in start.network.named_parameters() if not one.requires_grad]
    assert names and all(torch.equal(before[name], after[name]) for name in names)
