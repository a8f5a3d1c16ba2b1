"""A gradient that is not finite changes nothing, whether it is looked at after each step or, as on a GPU, rarely."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from telltale.batches.feed import Batch
from telltale.training import guard as module
from telltale.training.average import Average
from telltale.training.guard import Guard, NotFinite
from telltale.training.optimizer import build_optimizer
from telltale.training.recipe import Recipe
from telltale.training.state import State

OPTIMIZERS = ["adamw", "sgd"]


def begin(optimizer: str = "adamw") -> State:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    groups = [list(network.named_parameters())]
    return State(network, build_optimizer(groups, Recipe(lr=0.1, optimizer=optimizer)), Average(network, 0.5))


def batches(number: int, count: int) -> list[Batch]:
    """Batches of four samples with row numbers of their own."""
    rng = np.random.default_rng(number)
    return [
        Batch(torch.from_numpy(rng.normal(size=(4, 4)).astype(np.float32)), torch.zeros(4), np.arange(4) + 10 * place)
        for place in range(count)
    ]


def learn(state: State, guard: Guard, group: list[Batch], factor: float = 1.0, bad: int = 0) -> None:
    """One step as the loop does it; the loss of batch `bad` is multiplied with `factor`."""
    losses = []
    for place, batch in enumerate(group):
        loss = state.network(batch.inputs).square().sum() * (factor if place == bad else 1.0)
        torch.autograd.backward(loss)
        losses.append(loss.detach())
    guard.apply(losses, group)
    state.losses += losses
    state.step, state.seen = state.step + len(group), state.seen + 4 * len(group)


def snapshot(state: State) -> dict[str, bytes]:
    """All numbers of a state."""
    return {name: value.numpy().tobytes() for name, value in state.save(0).tensors.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize("bad", [1, 3])
def test_at_once_the_state_is_what_it_was_before_the_step(optimizer, factor, bad):
    state = begin(optimizer)
    guard = Guard(state, clip=0)
    for number in range(1, bad):
        learn(state, guard, batches(number, 1))
    before = snapshot(state)
    with pytest.raises(NotFinite, match=rf"in batch {bad} of epoch 1") as caught:
        learn(state, guard, batches(9, 1), factor)
    assert (caught.value.epoch, caught.value.step, caught.value.rows) == (1, bad, (0, 1, 2, 3))
    assert snapshot(state) == before
    assert (state.step, state.seen, len(state.losses)) == (bad - 1, 4 * (bad - 1), bad - 1)
    assert all(one.grad is None for one in state.network.parameters())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bad", [2, 3])
def test_late_the_weights_are_still_those_before_the_step(optimizer, bad, monkeypatch):
    """As on a GPU, where a look waits for the device: all steps after the bad one change nothing."""
    monkeypatch.setitem(module.CHECK_STEPS, "cpu", 5)
    state, other = begin(optimizer), begin(optimizer)
    guards = Guard(state, clip=1.0), Guard(other, clip=1.0)
    for number in range(1, bad):
        learn(state, guards[0], batches(number, 1))
        learn(other, guards[1], batches(number, 1))
    before = snapshot(other)
    learn(state, guards[0], batches(bad, 1), math.nan)
    for number in range(bad + 1, 5):
        learn(state, guards[0], batches(number, 1))
    with pytest.raises(NotFinite, match=rf"in batch {bad} of epoch 1"):
        learn(state, guards[0], batches(5, 1))
    found = snapshot(state)
    learned = [name for name in found if not ("running" in name or "num_batches" in name or name.startswith("average"))]
    assert {name: found[name] for name in learned} == {name: before[name] for name in learned}
    assert all(torch.isfinite(value).all() for value in state.save(0).tensors.values())
    assert (state.step, state.seen, len(state.losses)) == (bad - 1, 4 * (bad - 1), bad - 1)


def test_the_last_steps_of_an_epoch_are_looked_at_when_asked(monkeypatch):
    monkeypatch.setitem(module.CHECK_STEPS, "cpu", 50)
    state = begin()
    guard = Guard(state, clip=0)
    learn(state, guard, batches(1, 1))
    guard.look()
    learn(state, guard, batches(2, 1), math.inf)
    with pytest.raises(NotFinite, match="in batch 2 of epoch 1"):
        guard.look()


def test_looking_rarely_changes_nothing_where_all_is_finite(monkeypatch):
    states = begin(), begin()
    for state, every in zip(states, (1, 3), strict=True):
        monkeypatch.setitem(module.CHECK_STEPS, "cpu", every)
        guard = Guard(state, clip=0.5)
        for number in range(7):
            learn(state, guard, batches(number, 1))
        guard.look()
    assert snapshot(states[0]) == snapshot(states[1])


def test_of_several_batches_the_one_with_the_bad_loss_is_named():
    state = begin()
    with pytest.raises(NotFinite) as caught:
        learn(state, Guard(state, clip=0), batches(1, 3), math.nan, bad=2)
    assert (caught.value.step, caught.value.rows) == (3, (20, 21, 22, 23))


def test_where_only_the_gradient_is_infinite_all_its_batches_are_named():
    state = begin()
    guard, group = Guard(state, clip=0), batches(1, 2)
    for one in state.network.parameters():
        one.grad = torch.full_like(one, math.inf)
    with pytest.raises(NotFinite) as caught:
        guard.apply([torch.tensor(1.0), torch.tensor(2.0)], group)
    assert (caught.value.step, caught.value.rows) == (1, (0, 1, 2, 3, 10, 11, 12, 13))


@pytest.mark.parametrize("clip", [0.0, 0.01, 1e6])
def test_a_gradient_is_cut_to_the_largest_norm(clip):
    """One step of SGD from rest moves the weights by 1.9 times rate and gradient."""
    state, other = begin("sgd"), begin("sgd")
    weights = [one.detach().clone() for one in state.network.parameters()]
    for one, limit in ((state, clip), (other, 0.0)):
        learn(one, Guard(one, clip=limit), batches(1, 1))
    moved, free = (
        torch.cat([(one.detach() - old).flatten() for one, old in zip(net.parameters(), weights, strict=True)]) / -0.19
        for net in (state.network, other.network)
    )
    norm = float(free.norm())
    expected = free * min(1.0, clip / norm) if clip else free
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-6)
