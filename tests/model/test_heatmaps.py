"""Heat maps: on the object that decides, the same with and without torch, for networks of every build."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.conftest import COLOURS, NETWORK

from telltale.batches.preprocess import Preprocess
from telltale.errors import ModelError
from telltale.model.backbone import Architecture, Backbone, Request
from telltale.model.class_maps import open_class_maps
from telltale.model.classifier import Classifier
from telltale.model.cnn import PlainCNN
from telltale.model.conversion import write_backbone
from telltale.model.features import Extractor
from telltale.model.gradients import GradientMaps
from telltale.model.head import Head
from telltale.model.heatmaps import HeatMapper, draw_heatmaps
from telltale.model.network import Network, count_features
from telltale.model.question import Question
from telltale.model.seeding import seeded
from telltale.model.zoo import create_backbone, load_pretrained


def draw_objects(count, side, object_side, seed):
    """Noise with a coloured square somewhere on a grid; the colours' numbers; where the squares are."""
    rng = np.random.default_rng(seed)
    pictures = rng.normal(128, 40, (count, side, side, 3))
    labels = np.arange(count, dtype=np.int32) % 4
    masks = np.zeros((count, side, side), bool)
    for picture, label, mask in zip(pictures, labels, masks, strict=True):
        top, left = rng.integers(0, side // object_side, 2) * object_side
        mask[top : top + object_side, left : left + object_side] = True
        picture[mask] = rng.normal(list(COLOURS.values())[label], 25, (object_side**2, 3))
    return np.clip(pictures, 0, 255).astype(np.uint8), labels, masks


def hold(network, architecture, folder):
    """A network of torch as an extractor that was not converted, so that it runs in torch."""
    from safetensors.torch import save_file

    save_file(
        {name: value.clone().contiguous() for name, value in network.state_dict().items()},
        folder / "backbone.safetensors",
    )
    backbone = Backbone(architecture, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), count_features(network), 0, "", False, folder)
    return Extractor(backbone, Preprocess(architecture.size, "squash", backbone.mean, backbone.std), "f32")


def look(heats, masks, side):
    """Mean heat on the object as a multiple of the heat beside it; mean distance of the heat's middle from it."""
    placed = np.stack([Preprocess(side, "squash").place_back(heat, side, side) for heat in heats])
    grid = np.stack(np.mgrid[:side, :side])
    middles = [(grid * part).sum(axis=(1, 2)) / part.sum() for part in placed**2]
    centres = [(grid * mask).sum(axis=(1, 2)) / mask.sum() for mask in masks]
    distances = [np.hypot(*(a - b)) for a, b in zip(middles, centres, strict=True)]
    return float(placed[masks].mean() / placed[~masks].mean()), float(np.mean(distances))


def random_head(extractor, classes=4):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(classes, extractor.backbone.dimension)).astype(np.float32)
    return Classifier(extractor, Head(weight, np.zeros(classes, np.float32)), tuple(map(str, range(classes))))


def test_a_trained_network_looks_at_the_object(tmp_path):
    pictures, labels, _ = draw_objects(160, 48, 12, seed=0)
    inputs, targets = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(labels).long()
    with seeded(0):
        network = Network(PlainCNN(48), 4, dropout=0.0)
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(6):
            for rows in torch.arange(160).split(16):
                loss = torch.nn.functional.cross_entropy(network(inputs[rows]), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    head = Head(network.head.weight.detach().numpy(), network.head.bias.detach().numpy())
    classifier = Classifier(hold(network.features, Architecture("cnn", (), 48), tmp_path), head, tuple("bgry"))
    new, truth, where = draw_objects(24, 48, 12, seed=1)
    assert (head.logits(classifier.extractor.engine.run(new)).argmax(axis=1) == truth).mean() > 0.9
    times, distance = look(draw_heatmaps(classifier, list(new), truth.tolist()), where, 48)
    assert times > 3
    # Two random places in such a picture are 25 pixels apart.
    assert distance < 12


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_with_and_without_torch_the_maps_are_the_same(weights, pool):
    request = Request(NETWORK, str(weights / f"{NETWORK}.safetensors"), 96, pool=pool)
    backbone = write_backbone(*load_pretrained(request))
    classifier = random_head(Extractor(backbone, Preprocess(96, "crop", backbone.mean, backbone.std), "f32"))
    pictures = np.random.default_rng(0).integers(0, 256, (9, 96, 96, 3), np.uint8)
    fast, slow = open_class_maps(backbone), GradientMaps(backbone, "cpu")
    assert fast is not None
    assert fast.pool == {"avg": "mean", "max": "max"}[pool]
    question = Question(classifier.head)
    one, other = (source.evidence(pictures, question) for source in (fast, slow))
    assert one.shape == other.shape == (9, 3, 3)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9999


NETWORKS = {
    "cnn": ({}, (8, 8)),
    "cnn_growing": ({}, (4, 4)),
    "test_resnet": ({}, (2, 2)),
    "test_resnet with a dense layer": ({"hidden": 16}, (2, 2)),
    "test_convnext": ({}, (2, 2)),
    "mobilenetv3_small_050": ({}, (2, 2)),
    "test_mambaout": ({}, (2, 2)),
    "swin_tiny_patch4_window7_224": ({"embed_dim": 24}, (2, 2)),
    "test_vit": ({}, (4, 4)),
    "test_vit2": ({}, (4, 4)),
    "test_vit3": ({}, (4, 4)),
}
"""Options and map: convolutions, layers behind the pool, channels last, tokens pooled in three ways."""


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_build_have_a_map(name, tmp_path):
    options, shape = NETWORKS[name]
    architecture = Architecture(name.split()[0], tuple(options.items()), 64)
    with seeded(0):
        extractor = hold(create_backbone(architecture), architecture, tmp_path)
    mapper = HeatMapper(random_head(extractor))
    pictures = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), np.uint8)
    heats = mapper.draw(pictures)
    assert all(heat.shape == shape and heat.dtype == np.float32 for heat in heats)
    assert all(heat.min() == 0 and heat.max() == 1 for heat in heats)
    # More than one batch, and a picture by itself: neighbours change nothing.
    np.testing.assert_allclose(mapper.draw(pictures[9:])[0], heats[9], atol=1e-3)


def test_another_class_is_another_question(classifier):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    maps = draw_heatmaps(classifier, [picture] * 4, range(4))
    assert len({heat.tobytes() for heat in maps}) == 4
    scores = classifier.head.logits(classifier.extractor.engine.run([picture]))
    (predicted,) = draw_heatmaps(classifier, [picture])
    assert (predicted == maps[int(scores.argmax())]).all()
    assert draw_heatmaps(classifier, []) == []


def test_two_classes_are_told_apart_whatever_they_share():
    weight = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    ones = np.ones((1, 5), np.float32)
    plain, shifted = (Question(Head(one, np.zeros(2, np.float32)), [1]).weigh(ones) for one in (weight, weight + 7))
    np.testing.assert_allclose(plain, shifted, atol=1e-5)
    np.testing.assert_allclose(plain, [weight[1] - weight[0]], atol=1e-6)


def test_a_network_without_places_says_so(tmp_path):
    architecture = Architecture("test_resnet", (), 32)
    extractor = hold(create_backbone(architecture), architecture, tmp_path)
    with pytest.raises(ModelError, match=r"No heat maps can be drawn for the network 'test_resnet' at 32 pixels .*"):
        HeatMapper(random_head(extractor))


def test_heat_maps_of_a_converted_network_start_without_torch(trained):
    program = (
        "import sys, numpy as np; from telltale.model.bundle import load; "
        "from telltale.model.heatmaps import draw_heatmaps; "
        f"maps = draw_heatmaps(load({str(trained)!r}), [np.zeros((64, 64, 3), np.uint8)]); "
        "print(len(maps), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["1", "False"]
