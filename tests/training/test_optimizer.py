import pytest
import torch
from torch import nn

from telltale.training.optimizer import build_optimizer, count_stalls, learning_rate, set_rate


@pytest.mark.parametrize(
    ("schedule", "done", "losses", "rate"),
    [
        ("cosine", 0.0, [], 1.0),
        ("cosine", 0.5, [], 0.5),
        ("cosine", 1.0, [], 0.0),
        ("constant", 0.9, [3.0, 3.0, 3.0], 1.0),
        ("plateau", 0.9, [3.0, 2.0, 1.0], 1.0),
        ("plateau", 0.9, [1.0, 2.0, 3.0], 0.1),
        ("plateau", 0.9, [1.0, 2.0, 3.0, 0.5, 0.5, 0.5], 0.01),
    ],
)
def test_learning_rate(schedule, done, losses, rate):
    assert learning_rate(schedule, 1.0, done=done, losses=losses, patience=4) == pytest.approx(rate)


def test_plateau_without_patience_waits_six_epochs():
    rates = [learning_rate("plateau", 1.0, done=0, losses=[1.0] * (1 + count), patience=0) for count in (5, 6)]
    assert rates == pytest.approx([1.0, 0.1])


def test_a_loss_that_is_equal_is_no_better():
    assert count_stalls([1.0, 1.0, 1.0], wait=2) == 1
    assert count_stalls([], wait=2) == 0


def test_only_matrices_and_kernels_decay():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = build_optimizer(network, lr=0.1, weight_decay=0.5)
    decays = {one: group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    assert {name: decays[one] for name, one in network.named_parameters()} == {
        "0.weight": 0.5,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "3.weight": 0.5,
        "3.bias": 0.0,
    }


def test_frozen_parameters_are_left_out():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2, bias=False))
    network[0].requires_grad_(False)
    (group,) = build_optimizer(network, lr=0.1).param_groups
    assert [one.shape for one in group["params"]] == [(2, 3)]


def test_without_decay_it_is_adam():
    networks = [nn.Linear(4, 3), nn.Linear(4, 3)]
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers = [build_optimizer(networks[0], lr=0.01), torch.optim.Adam(networks[1].parameters(), lr=0.01)]
    for _ in range(5):
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(networks[0].weight, networks[1].weight)


def test_set_rate_reaches_every_group():
    optimizer = build_optimizer(nn.Linear(4, 3), lr=0.01)
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
