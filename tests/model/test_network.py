"""A network for training: what its parts are, how many numbers they have, and that it comes back from a bundle."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from telltale.batches.preprocess import Preprocess
from telltale.errors import ModelError
from telltale.model.backbone import Architecture
from telltale.model.bundle import load, save
from telltale.model.classifier import Classifier, classify
from telltale.model.conversion import write_backbone
from telltale.model.engine import open_engine
from telltale.model.features import Extractor
from telltale.model.head import Head
from telltale.model.network import Features, Network, build_network, count_features
from telltale.model.seeding import seeded
from telltale.model.zoo import create_backbone, describe_network

NETWORK = "test_efficientnet"
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def count(network: torch.nn.Module) -> int:
    """Numbers in a network as Keras counts them: with the moving statistics of norms."""
    state = network.state_dict()
    return sum(value.numel() for name, value in state.items() if not name.endswith("num_batches_tracked"))


def test_the_plain_network_has_the_seeds_number_of_parameters():
    assert count(build_network(create_backbone(describe_network("cnn", size=160)), 1)) == 1_346_753


def test_the_transfer_network_has_the_seeds_numbers_of_parameters():
    backbone = create_backbone(describe_network("mobilenetv2_100", size=160, pool="max"))
    network = build_network(backbone, 1, hidden=128)
    assert count(network) == 2_422_081
    assert count(network) - count(backbone) == 164_097


@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize("model", ["cnn", NETWORK, "test_vit", "mobilenetv3_small_050"])
def test_features_dropout_and_head_make_the_logits(model, hidden):
    backbone = create_backbone(describe_network(model, size=64))
    network = build_network(backbone, 5, hidden=hidden, dropout=0.3).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        features = network.features(x)
        assert features.shape == (2, hidden or count_features(backbone))
        torch.testing.assert_close(network(x), network.head(features))
    assert network.dropout.p == 0.3
    assert network.features is backbone if not hidden else network.features.trunk is backbone


def test_in_training_the_dense_layer_and_the_head_see_dropout():
    with seeded(2):
        network = build_network(create_backbone(describe_network("cnn", size=24)), 2, hidden=64, dropout=0.5).train()
        x = torch.rand(1, 3, 24, 24)
        assert not torch.equal(network.features(x), network.features(x))
        network.features.eval()
        assert not torch.equal(network(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


@pytest.mark.parametrize(("hidden", "width", "kept"), [(0, 9, True), (9, 9, True), (5, 5, False)])
def test_a_backbone_with_a_dense_layer_keeps_it_unless_another_is_asked_for(hidden, width, kept):
    backbone = create_backbone(Architecture("cnn", (("hidden", 9),), 24))
    network = build_network(backbone, 2, hidden=hidden, dropout=0.7)
    assert isinstance(network.features, Features)
    assert network.features.num_features == network.head.in_features == width
    assert (network.features is backbone) is kept
    assert network.features.trunk is backbone.trunk
    assert network.features.hidden[0].p == network.dropout.p == 0.7


@pytest.mark.parametrize("hidden", [-1, 65_537, 1.5])
def test_an_odd_dense_layer_is_refused(hidden):
    with pytest.raises(ModelError, match=r"The dense layer is to have .* outputs\. A whole number from 1 to 65536\."):
        build_network(create_backbone(describe_network("cnn", size=24)), 2, hidden=hidden)


def trained(model: str, size: int, *, pool: str = "", hidden: int = 0) -> tuple[Network, Architecture]:
    """A network as training leaves it, and how its features are built again."""
    architecture = describe_network(model, size=size, pool=pool)
    with seeded(6):
        network = build_network(create_backbone(architecture), 3, hidden=hidden)
    if hidden:
        architecture = replace(architecture, options=tuple(sorted((*architecture.options, ("hidden", hidden)))))
    return network, architecture


def normalise(pictures: np.ndarray) -> torch.Tensor:
    """What a network takes, of uint8 `[n, size, size, 3]`."""
    return torch.from_numpy(((pictures / 255 - np.array(MEAN)) / np.array(STD)).astype(np.float32)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("model", "size", "pool", "hidden"),
    [
        ("cnn", 24, "", 0),
        ("cnn_growing", 48, "", 0),
        ("cnn", 24, "", 6),
        (NETWORK, 64, "max", 0),
        ("test_vit", 64, "", 5),
    ],
)
def test_the_features_are_stored_and_built_again(model, size, pool, hidden):
    network, architecture = trained(model, size, pool=pool, hidden=hidden)
    stored = write_backbone(network.features, architecture, MEAN, STD)
    assert stored.converted
    assert stored.dimension == network.head.in_features
    built = create_backbone(Architecture.from_dict(stored.to_dict()["architecture"])).eval()
    built.load_state_dict(load_file(stored.folder / "backbone.safetensors"))
    pictures = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network.eval().features(normalise(pictures)).numpy()
        np.testing.assert_array_equal(built(normalise(pictures)).numpy(), expected)
    np.testing.assert_allclose(open_engine(stored).run(pictures), expected, atol=1e-3 * expected.std())


def test_what_was_trained_comes_back_from_a_bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "here"))
    network, architecture = trained(NETWORK, 64, pool="max", hidden=6)
    stored = write_backbone(network.features, architecture, MEAN, STD)
    weight, bias = (one.detach().numpy() for one in (network.head.weight, network.head.bias))
    extractor = Extractor(stored, Preprocess(64, "crop", MEAN, STD), "f32")
    bundle = save(Classifier(extractor, Head(weight, bias), ("a", "b", "c")), tmp_path / "a.telltale")

    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "there"))  # another machine: it has to be converted anew
    found = load(bundle)
    assert found.extractor.backbone.architecture == architecture
    pictures = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(found.extractor.engine.run(pictures), extractor.engine.run(pictures))
    with torch.inference_mode():
        probabilities = network.eval()(normalise(pictures)).softmax(1).numpy()
    np.testing.assert_allclose(classify(found, list(pictures)), probabilities, atol=1e-4)


def test_storing_leaves_the_network_as_it_is():
    network = create_backbone(describe_network("cnn", size=24)).double()
    stored = write_backbone(network, Architecture("cnn", (), 24), MEAN, STD)
    assert next(network.parameters()).dtype == torch.float64
    assert stored.converted
