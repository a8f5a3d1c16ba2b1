"""Which weights learn how fast, and how the learning rate goes over time."""

import itertools

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from telltale.model.cutting import depth_groups
from telltale.training.optimizer import build_optimizer, count_stalls, learning_rate, set_rate
from telltale.training.recipe import Recipe

SCHEDULES = st.sampled_from(["cosine", "constant", "step"])


def groups(network: nn.Module) -> list:
    return [list(layer.named_parameters()) for layer in network]


def rates(recipe: Recipe, epochs: int = 10, steps: int = 7) -> list[float]:
    """The rate of every step of a training without validation."""
    total = epochs * steps
    return [learning_rate(recipe, passed=step / steps, done=step / total, losses=[]) for step in range(total)]


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
def test_the_rate_at_one_step(schedule, done, losses, rate):
    recipe = Recipe(lr=1.0, schedule=schedule, patience=4)
    assert learning_rate(recipe, passed=10 * done, done=done, losses=losses) == pytest.approx(rate)


@given(SCHEDULES, st.floats(0, 5), st.integers(1, 5))
def test_the_rate_rises_in_the_warmup_and_falls_afterwards(schedule, warmup, step_epochs):
    recipe = Recipe(lr=0.3, schedule=schedule, warmup=warmup, step_epochs=step_epochs, factor=0.5)
    found = rates(recipe)
    top = next(place for place in range(len(found)) if place / 7 >= warmup)
    assert found[:top] == pytest.approx([0.3 * place / 7 / warmup for place in range(top)])
    assert all(one >= other - 1e-12 for one, other in itertools.pairwise(found[top:]))
    assert max(found) <= 0.3 + 1e-12
    if schedule == "cosine":
        assert found[-1] < 0.02 * 0.3
        assert found[top] > 0.95 * 0.3


@given(st.floats(0, 4), st.floats(0.01, 5))
def test_a_cosine_ends_at_zero_where_time_ends_before_the_epochs_do(warmup, more):
    recipe = Recipe(lr=1.0, warmup=warmup, epochs=10)
    assert learning_rate(recipe, passed=warmup + more, done=1.0, losses=[]) == pytest.approx(0, abs=1e-9)


def test_steps_come_every_so_many_epochs():
    recipe = Recipe(lr=1.0, schedule="step", step_epochs=3, factor=0.1)
    found = [learning_rate(recipe, passed=passed, done=0, losses=[]) for passed in (0, 2.9, 3, 5.9, 6, 9)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])


def test_plateau_without_patience_waits_six_epochs():
    recipe = Recipe(lr=1.0, schedule="plateau", patience=0)
    found = [learning_rate(recipe, passed=9, done=0, losses=[1.0] * (1 + count)) for count in (5, 6)]
    assert found == pytest.approx([1.0, 0.1])


def test_a_loss_that_is_equal_is_no_better():
    assert count_stalls([1.0, 1.0, 1.0], wait=2) == 1
    assert count_stalls([], wait=2) == 0


def test_only_matrices_and_kernels_decay():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = build_optimizer(groups(network), Recipe(lr=0.1, weight_decay=0.5))
    decays = {one: group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    assert {name: decays[one] for name, one in network.named_parameters()} == {
        "0.weight": 0.5,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "3.weight": 0.5,
        "3.bias": 0.0,
    }


def test_each_layer_learns_at_a_share_of_the_rate_of_the_one_above():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 2))
    optimizer = build_optimizer(groups(network), Recipe(lr=0.1, layer_decay=0.5))
    set_rate(optimizer, 0.8)
    found = {one: group["lr"] for group in optimizer.param_groups for one in group["params"]}
    assert [found[layer.weight] for layer in network] == pytest.approx([0.2, 0.4, 0.8])
    assert [found[layer.bias] for layer in network] == pytest.approx([0.2, 0.4, 0.8])


def test_groups_of_a_network_of_timm_go_from_stem_to_head():
    import timm

    from telltale.model.network import build_network

    network = build_network(timm.create_model("test_resnet", num_classes=0), 2, hidden=8)
    layers = [*depth_groups(network.features), list(network.head.named_parameters())]
    optimizer = build_optimizer(layers, Recipe(lr=1.0, layer_decay=0.5))
    share = {one: group["share"] for group in optimizer.param_groups for one in group["params"]}
    assert len(share) == len(list(network.parameters()))
    by_name = {name: share[one] for name, one in network.named_parameters()}
    assert by_name["head.weight"] == 1
    assert by_name["features.hidden.1.weight"] == 0.5
    assert next(iter(by_name.values())) == min(by_name.values()), "the stem"


def test_frozen_parameters_are_left_out():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2, bias=False))
    network[0].requires_grad_(False)
    (group,) = build_optimizer(groups(network), Recipe(lr=0.1)).param_groups
    assert [one.shape for one in group["params"]] == [(2, 3)]


@pytest.mark.parametrize(
    ("recipe", "build"),
    [
        (Recipe(lr=0.01), lambda weights: torch.optim.Adam(weights, lr=0.01)),
        (Recipe(lr=0.01, optimizer="sgd"), lambda weights: torch.optim.SGD(weights, 0.01, 0.9, nesterov=True)),
    ],
    ids=["adam", "sgd"],
)
def test_without_decay_they_are_adam_and_nesterov(recipe, build):
    networks = [nn.Linear(4, 3), nn.Linear(4, 3)]
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers = [build_optimizer([list(networks[0].named_parameters())], recipe), build(networks[1].parameters())]
    for _ in range(5):
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(networks[0].weight, networks[1].weight)
