"""A training begins with random weights from its seed, or with pretrained ones and the probe's head."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from telltale.batches.feed import PictureFeed
from telltale.data.splits import split
from telltale.errors import ModelError, RecipeError
from telltale.model.cutting import freeze
from telltale.model.head import softmax
from telltale.model.network import Features
from telltale.progress import Note, silent
from telltale.training.loop import measure
from telltale.training.network import prepare
from telltale.training.probe import fit_probe
from telltale.training.recipe import Recipe
from telltale.training.start import check_output, start_from_nothing, start_from_probe

FINETUNE = Recipe(model="test_efficientnet", fit="finetune", img_size=64, arithmetic="f32", augment=())


@pytest.fixture
def two_classes(splits):
    """Blue and green pictures only."""
    index = splits.index
    kept = index.take(np.flatnonzero(index.codes < 2))
    return split(replace(kept, classes=index.classes[:2]))


def count(network, trained: bool = False) -> int:
    return sum(one.numel() for one in network.parameters() if one.requires_grad or not trained)


def test_the_seeds_cnn_has_its_number_of_parameters(two_classes):
    recipe = Recipe(model="cnn", img_size=160, output="sigmoid")
    assert count(start_from_nothing(two_classes, recipe).network) == 1_346_753


def test_the_seeds_transfer_network_has_its_numbers_of_parameters(two_classes):
    recipe = Recipe(
        model="mobilenetv2_100", fit="scratch", img_size=160, pool="max", hidden=128, output="sigmoid", freeze=1.0
    )
    network = start_from_nothing(two_classes, recipe).network
    freeze(network, recipe.freeze)
    # Keras counts the running means and variances of batch norms, too: as many as they have weights and biases.
    statistics = sum(one.numel() for name, one in network.named_buffers() if "running" in name)
    assert statistics == 34_112
    assert count(network) + statistics == 2_422_081
    assert count(network, trained=True) == 164_097


def test_random_weights_follow_from_the_seed_alone(splits):
    recipe = Recipe(model="cnn", img_size=32)
    torch.manual_seed(1)
    first = start_from_nothing(splits, recipe).network.state_dict()
    torch.manual_seed(2)
    again = start_from_nothing(splits, recipe).network.state_dict()
    other = start_from_nothing(splits, replace(recipe, seed=1)).network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize(
    ("pixels", "low", "high"), [("raw", 0, 255), ("unit", 0, 1), ("symmetric", -1, 1), ("auto", -1, 1)]
)
def test_pixels_are_scaled_as_asked(splits, pixels, low, high):
    start = start_from_nothing(splits, Recipe(model="cnn", img_size=32, pixels=pixels))
    assert isinstance(start.preprocess.mean[0], float)
    feed = PictureFeed(splits.train, start.preprocess, batch_size=len(splits.train))
    inputs = next(iter(feed.in_order())).inputs
    assert inputs.min() == pytest.approx(low, abs=0.02 * (high - low))
    assert inputs.max() == pytest.approx(high, abs=0.02 * (high - low))


@pytest.mark.parametrize(("output", "outputs"), [("softmax", 2), ("sigmoid", 1)])
def test_the_head_has_the_outputs_that_the_recipe_says(two_classes, output, outputs):
    recipe = Recipe(model="cnn", img_size=32, output=output, hidden=24, dropout=0.7)
    start = start_from_nothing(two_classes, recipe)
    assert start.network(torch.zeros(3, 3, 32, 32)).shape == (3, outputs)
    assert isinstance(start.network.features, Features)
    assert dict(start.architecture.options) == {"hidden": 24}
    assert start.network.dropout.p == start.network.features.hidden[0].p == 0.7
    assert start.row is None


def test_one_output_is_for_two_classes(splits, two_classes):
    check_output(Recipe(output="sigmoid"), 2)
    check_output(Recipe(), 4)
    words = r"output is 'sigmoid', and there are 4 classes\. Two classes for one sigmoid output\."
    with pytest.raises(RecipeError, match=words):
        check_output(Recipe(output="sigmoid"), 4)
    with pytest.raises(RecipeError, match=words):
        prepare(splits, Recipe(model="cnn", output="sigmoid").resolved, device="cpu", extractor=None, tell=silent)


def test_an_unknown_network_is_refused(splits):
    with pytest.raises(ModelError, match="No model named 'cnnn'"):
        start_from_nothing(splits, Recipe(model="cnnn", fit="scratch"))


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_fine_tuning_begins_as_good_as_its_probe(two_classes, extractor, output):
    told = []
    recipe = replace(FINETUNE, output=output).resolved
    start = start_from_probe(two_classes, recipe, extractor, told.append)
    probe = fit_probe(two_classes, extractor, tell=silent)
    assert start.row == {"epoch": 0, **probe.losses, "lr": 0.0}
    feed = PictureFeed(two_classes.validation, extractor.preprocess)
    loss, accuracy = measure(start.network.eval(), feed)
    assert loss == pytest.approx(probe.losses["val_loss"], rel=1e-3)
    assert accuracy == pytest.approx(probe.losses["val_accuracy"])
    words = [one.text for one in told if isinstance(one, Note)]
    assert words[-1] == f"Head first: the probe's validation accuracy is {accuracy:.3f}."


def test_a_new_dense_layer_and_its_head_are_random(splits, extractor):
    recipe = replace(FINETUNE, hidden=16).resolved
    start, again = (start_from_probe(splits, recipe, extractor, silent) for _ in range(2))
    assert start.row is None
    assert torch.equal(start.network.head.weight, again.network.head.weight)
    assert dict(start.architecture.options) == {"hidden": 16}
    with torch.no_grad():
        trunk = start.network.features.trunk.eval()(
            next(iter(PictureFeed(splits.train, extractor.preprocess).in_order())).inputs
        )
    assert trunk.shape[1] == extractor.backbone.dimension


def test_a_dense_layer_of_the_backbone_is_a_part_of_it(splits, extractor):
    """As from a bundle whose network was trained with `hidden`: it is kept where no other one is asked for."""
    from telltale.model.conversion import write_backbone

    made = start_from_probe(splits, replace(FINETUNE, hidden=16).resolved, extractor, silent)
    preprocess = made.preprocess
    stored = write_backbone(made.network.features, made.architecture, preprocess.mean, preprocess.std)
    ending = replace(extractor, backbone=stored, _open=[])
    for hidden, width, pretrained in ((0, 16, True), (16, 16, True), (8, 8, False)):
        recipe = replace(FINETUNE, hidden=hidden, freeze=1.0, epochs=1).resolved
        start, state, lesson = prepare(splits, recipe, device="cpu", extractor=ending, tell=silent)
        assert start.network.head.in_features == width
        assert (start.row is not None) == pretrained
        assert dict(start.architecture.options) == {"hidden": width}
        same = torch.equal(start.network.features.trunk.conv_stem.weight, made.network.features.trunk.conv_stem.weight)
        assert same, "the trunk is that of the bundle"
        start.network.eval()
        kept, plain = next(iter(lesson.training.in_order())), next(iter(lesson.training.pictures.in_order()))
        with torch.no_grad():
            expected = start.network(plain.inputs)
            torch.testing.assert_close(lesson.forward(kept.inputs), expected, rtol=1e-3, atol=1e-3)
        assert np.allclose(softmax(expected.numpy()).sum(1), 1, atol=1e-5)
        assert state.least_loss == (start.row or {}).get("val_loss", float("inf"))


def test_the_precision_that_the_probe_chose_is_kept(splits, extractor, monkeypatch):
    """Where bf16 does not pass the gate, frozen layers do not run in it either."""
    from telltale.model.engine import has_bf16
    from telltale.training import probe as module

    if not has_bf16():
        pytest.skip("needs a processor with bf16")
    monkeypatch.setattr(module, "GATE_DIFFERENCE", 0.0)
    monkeypatch.setattr(module, "GATE_LEAST", 1)
    start = start_from_probe(splits, FINETUNE.resolved, replace(extractor, precision="auto", _open=[]), silent)
    assert start.extractor.arithmetic == "f32"
