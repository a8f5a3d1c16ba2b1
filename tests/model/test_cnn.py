import warnings

import pytest
import torch

from telltale.errors import ModelError
from telltale.model.cnn import PlainCNN
from telltale.model.seeding import seeded


def test_it_has_the_seeds_number_of_parameters():
    assert sum(parameter.numel() for parameter in PlainCNN(1, 160).parameters()) == 1_346_753


@pytest.mark.parametrize(
    ("outputs", "size", "filters", "shape"),
    [
        (5, 64, (32, 32, 32), (2, 5)),
        (0, 64, (32, 32, 32), (2, 128)),
        (2, 22, (8, 16, 32), (2, 2)),
        (3, 30, (4,), (2, 3)),
    ],
    ids=["logits", "features", "smallest", "one block"],
)
def test_shapes(outputs, size, filters, shape):
    network = PlainCNN(outputs, size, filters=filters).eval()
    x = torch.rand(2, 3, size, size)
    assert network(x).shape == shape
    assert network.features(x).shape == (2, network.num_features)


def test_without_outputs_it_gives_the_features_of_the_whole_network():
    whole, backbone = PlainCNN(4, 32).eval(), PlainCNN(0, 32).eval()
    backbone.load_state_dict({name: one for name, one in whole.state_dict().items() if not name.startswith("head.")})
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(whole.head(backbone(x)), whole(x))


def test_pooling_before_relu_gives_the_seeds_numbers():
    network = PlainCNN(2, 32).eval()
    x = seeds_way = torch.randn(3, 3, 32, 32)
    for convolution in (network.blocks[0], network.blocks[3], network.blocks[6]):
        seeds_way = torch.max_pool2d(torch.relu(convolution(seeds_way)), 2)
    torch.testing.assert_close(network.blocks(x), seeds_way)


def test_it_can_be_traced():
    network, x = PlainCNN(3, 32).eval(), torch.rand(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against it; conversion for OpenVINO still asks for it
        traced = torch.jit.trace(network, x)
    torch.testing.assert_close(traced(x[:1]), network(x[:1]))


def test_too_small_pictures_are_refused():
    with pytest.raises(ModelError, match=r"21 pixels are too few for 3 convolutions .* At least 22 pixels"):
        PlainCNN(2, 21)


def test_seeded_weights_are_equal_and_leave_the_users_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1):
        first = PlainCNN(2, 22)
    with seeded(1):
        again = PlainCNN(2, 22)
    with seeded(1, 0):
        other = PlainCNN(2, 22)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
