import pytest
import torch
from torch import nn

from telltale.training.average import Average


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()


def move(net: nn.Module) -> None:
    """A step of a training: other weights, other statistics, one more batch counted."""
    net(torch.randn(5, 4))
    with torch.no_grad():
        for one in net.parameters():
            one.add_(torch.randn_like(one))


@pytest.mark.parametrize("decay", [0.05, 0.15, 0.9])
def test_it_is_the_moving_average_with_a_rising_rate(decay):
    net = network()
    average = Average(net, decay)
    expected = {name: value.clone().double() for name, value in net.state_dict().items()}
    for step in range(1, 6):
        move(net)
        average.update()
        rate = min(decay, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            expected[name] = rate * expected[name] + (1 - rate) * value.double()
    for name, value in average.values.items():
        if name.endswith("num_batches_tracked"):
            assert value == 5, "a counter is not averaged"
        else:
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_inside_the_block_the_network_has_the_average_and_afterwards_its_own_weights():
    net = network()
    average = Average(net, 0.9)
    move(net)
    average.update()
    own = {name: value.clone() for name, value in net.state_dict().items()}
    with average.applied():
        assert all(torch.equal(value, average.values[name]) for name, value in net.state_dict().items())
        assert not torch.equal(net[0].weight, own["0.weight"])
    with pytest.raises(ZeroDivisionError), average.applied():
        _ = 1 / 0
    assert all(torch.equal(value, own[name]) for name, value in net.state_dict().items())


def test_what_stays_as_it_is_is_its_own_average_bit_for_bit():
    net = network().eval()
    average = Average(net, 0.999)
    for _ in range(20):
        average.update()
    assert all(torch.equal(value, average.values[name]) for name, value in net.state_dict().items())
