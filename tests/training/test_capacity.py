"""Batch sizes are powers of two that memory and the number of pictures allow."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from telltale.model.cnn import PlainCNN
from telltale.model.network import Network
from telltale.training.capacity import MOST, find_batch_size, free_memory, measure_activations, read_group

GB = 2**30


class Convolution(nn.Sequential):
    """One, with a norm: `[n, 3, s, s]` to `[n, 8]`."""

    num_features = 8

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(Convolution(), 2)


def test_activations_are_measured_per_picture():
    network = Network(PlainCNN(64), 2)
    # Inputs of three convolutions, of ReLUs' and pools' outputs and indices: 62, 29 and 12 pixels a side, 32 channels.
    conv = 32 * (62**2 + 29**2 + 12**2) * 4
    assert conv < measure_activations(network, 64) < 6 * conv


def test_twice_the_side_takes_four_times_the_memory(network):
    assert measure_activations(network, 64) == pytest.approx(4 * measure_activations(network, 32), rel=0.15)


def test_the_network_stays_as_it_is(network):
    network.eval()
    network.features[1].train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    measure_activations(network, 32)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert all(one.grad is None for one in network.parameters())


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 10_000_000), st.integers(1, 300))
def test_it_is_a_power_of_two_within_all_limits(network, pictures, megabytes):
    each = measure_activations(network, 64)
    found = find_batch_size(network, 64, pictures, free=megabytes * 2**20)
    assert found.size & (found.size - 1) == 0
    assert 2 <= found.size <= MOST
    assert found.size * each <= megabytes * 2**20 / 2 or found.size == 2
    assert found.size <= max(8, pictures / 16)
    bigger = 2 * found.size
    assert bigger > MOST or bigger * each > megabytes * 2**20 / 2 or bigger > max(8, pictures // 16)


@pytest.mark.parametrize(
    ("pictures", "free", "size", "why"),
    [
        (2000, 100 * GB, 64, "2,000 pictures make at least 16 batches of it"),
        (28, 100 * GB, 8, "28 pictures are few"),
        (100_000, 100 * GB, 256, "a larger one gains no speed"),
        (100_000, 2**20, 2, r"a picture takes 0 MB while training, and 0.0 GB are free"),
    ],
)
def test_what_decided_is_said(network, pictures, free, size, why):
    found = find_batch_size(network, 64, pictures, free=free)
    assert (found.size, found.why) == (size, why)


def test_free_memory_is_that_of_the_machine(network):
    free = free_memory(torch.device("cpu"))
    assert 2**20 < free < 2**50
    assert find_batch_size(network, 64, 3200).size == find_batch_size(network, 64, 3200, free=free).size


def test_a_container_may_take_less(tmp_path):
    assert read_group(tmp_path) == 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 1500\ninactive_file 1000\nactive_file 500\n")
    assert read_group(tmp_path) == 0, "no limit"
    (tmp_path / "memory.max").write_text("10000\n")
    assert read_group(tmp_path) == 8000
    (tmp_path / "memory.stat").unlink()
    assert read_group(tmp_path) == 7000
    (tmp_path / "memory.current").write_text("10000\n")
    assert read_group(tmp_path) == 1, "nothing is left"
