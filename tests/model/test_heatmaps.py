"""Heat maps: on the object that decides, the same with and without torch, for networks of every build."""

import numpy as np
import pytest

from telltale.batches.preprocess import Preprocess
from telltale.errors import ModelError
from telltale.model.class_maps import open_class_maps
from telltale.model.classifier import Classifier
from telltale.model.features import Extractor
from telltale.model.head import Head, fit_head
from telltale.model.heatmaps import HeatMapper, draw_heatmaps
from telltale.model.margin import Question

COLOURS = np.array([(40, 60, 200), (40, 180, 60), (200, 50, 40), (210, 190, 40)])


def draw_objects(count, side, object_side, seed):
    """Noise with a coloured square somewhere on a grid; the colours' numbers; where the squares are."""
    rng = np.random.default_rng(seed)
    pictures = rng.normal(128, 40, (count, side, side, 3))
    labels = np.arange(count, dtype=np.int32) % 4
    masks = np.zeros((count, side, side), bool)
    for picture, label, mask in zip(pictures, labels, masks, strict=True):
        top, left = rng.integers(0, side // object_side, 2) * object_side
        mask[top : top + object_side, left : left + object_side] = True
        picture[mask] = rng.normal(COLOURS[label], 25, (object_side**2, 3))
    return np.clip(pictures, 0, 255).astype(np.uint8), labels, masks


def keep(network, architecture):
    """A network of torch as the backbone of a classifier with four classes and a random head."""
    from telltale.model.conversion import write_backbone

    backbone = write_backbone(network, architecture, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    weight = np.random.default_rng(0).normal(size=(4, backbone.dimension)).astype(np.float32)
    preprocess = Preprocess(architecture.size, "squash", backbone.mean, backbone.std)
    return Classifier(Extractor(backbone, preprocess, "f32"), Head(weight, np.zeros(4, np.float32)), tuple("bgry"))


def with_head(classifier, head):
    return Classifier(classifier.extractor, head, classifier.classes)


def density(heats, masks, side):
    """Mean heat on the object, as a multiple of the mean heat beside it; and how often the hottest place is on it."""
    placed = np.stack([Preprocess(side, "squash").place_back(heat, side, side) for heat in heats])
    peaks = placed.reshape(len(placed), -1).argmax(axis=1)
    hits = masks.reshape(len(masks), -1)[np.arange(len(masks)), peaks]
    return float(placed[masks].mean() / placed[~masks].mean()), float(hits.mean())


def test_a_trained_network_looks_at_the_object():
    import torch

    from telltale.model.backbone import Architecture
    from telltale.model.cnn import PlainCNN
    from telltale.model.network import Network
    from telltale.model.seeding import seeded

    pictures, labels, masks = draw_objects(160, 48, 12, seed=0)
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
    classifier = with_head(keep(network.features, Architecture("cnn", (), 48)), head)
    new, truth, where = draw_objects(16, 48, 12, seed=1)
    assert (head.logits(classifier.extractor.engine.run(new)).argmax(axis=1) == truth).all()
    heats = draw_heatmaps(classifier, list(new))
    assert {heat.shape for heat in heats} == {(6, 6)}
    times, hits = density(heats, where, 48)
    print(times, hits)
    assert times > 3
    assert hits > 0.8
