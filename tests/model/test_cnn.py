import warnings

import pytest
import torch
from torch import nn

from telltale.errors import ModelError
from telltale.model.cnn import PlainCNN
from telltale.model.seeding import seeded


@pytest.mark.parametrize(
    ("size", "filters"),
    [(64, (32, 32, 32)), (22, (8, 16, 32)), (30, (4,)), (46, (4, 8, 12, 16))],
    ids=["usual", "smallest", "one block", "smallest with four blocks"],
)
def test_shapes(size, filters):
    network = PlainCNN(size, filters=filters, hidden=7).eval()
    features = network(torch.rand(2, 3, size, size))
    assert features.shape == (2, network.num_features) == (2, 7)
    assert (features >= 0).all()


def test_names_of_its_tensors_are_those_of_older_bundles():
    names = {
        f"{layer}.{part}" for layer in ("blocks.0", "blocks.3", "blocks.6", "dense.0") for part in ("weight", "bias")
    }
    assert PlainCNN(32).state_dict().keys() == names


def test_pooling_before_relu_gives_the_seeds_numbers():
    network = PlainCNN(32).eval()
    x = seeds_way = torch.randn(3, 3, 32, 32)
    for convolution in (network.blocks[0], network.blocks[3], network.blocks[6]):
        seeds_way = torch.max_pool2d(torch.relu(convolution(seeds_way)), 2)
    torch.testing.assert_close(network.blocks(x), seeds_way)


def test_dropout_changes_training_only():
    with seeded(3):
        network, x = PlainCNN(32, dropout=0.5), torch.rand(2, 3, 32, 32)
        assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))
    assert not [layer for layer in PlainCNN(32).modules() if isinstance(layer, nn.Dropout)]


def test_it_can_be_traced():
    network, x = PlainCNN(32).eval(), torch.rand(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against it; conversion for OpenVINO still asks for it
        traced = torch.jit.trace(network, x)
    torch.testing.assert_close(traced(x[:1]), network(x[:1]))


def test_too_small_pictures_are_refused():
    with pytest.raises(ModelError, match=r"21 pixels are too few for 3 convolutions .* At least 22 pixels"):
        PlainCNN(21)


def test_seeded_weights_are_equal_and_leave_the_users_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1):
        first = PlainCNN(22)
    with seeded(1):
        again = PlainCNN(22)
    with seeded(1, 0):
        other = PlainCNN(22)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(first.dense[0].weight, again.dense[0].weight)
    assert not torch.equal(first.dense[0].weight, other.dense[0].weight)
