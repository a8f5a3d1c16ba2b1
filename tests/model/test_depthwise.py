"""Depthwise convolutions with faster gradients: the same answers, and the gradients of float32 but for rounding."""

import copy

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from telltale.model.depthwise import hasten_depthwise

KINDS = {
    "strided": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False),
    "large kernel": lambda: nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "strided large kernel": lambda: nn.Conv2d(8, 8, 7, stride=2, padding=3, groups=8),
    "dilated": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=2, dilation=2, groups=8),
    "padded as TensorFlow does": lambda: Conv2dSame(8, 8, 3, stride=2, groups=8),
}
OTHERS = {
    "plain": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=1),
    "in groups": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),
    "small and without a stride": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "circular": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, padding_mode="circular"),
}


def learn(layer: nn.Module, x: torch.Tensor, precision: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The answer and the gradients of the input, the weights and the bias."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        given = layer(x)
    given.float().square().sum().backward()
    return given, x.grad, *(one.grad.clone() for one in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_same_and_gradients_close(kind):
    torch.manual_seed(0)
    layer = KINDS[kind]().to(memory_format=torch.channels_last)
    hastened = copy.deepcopy(layer)
    hasten_depthwise(nn.Sequential(hastened))
    assert type(hastened) is not type(layer)
    x = torch.randn(4, 8, 13, 14).to(memory_format=torch.channels_last)
    usual, mine = learn(layer, x, torch.bfloat16), learn(hastened, x, torch.bfloat16)
    assert torch.equal(usual[0], mine[0])
    for one, other in zip(usual, mine, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02 * float(one.detach().abs().max()))
    for one, other in zip(learn(layer, x, torch.float32), learn(hastened, x, torch.float32), strict=True):
        assert torch.equal(one, other)


def test_gradients_are_nearer_to_those_of_float32():
    torch.manual_seed(0)
    layer = KINDS["strided large kernel"]()
    hastened = copy.deepcopy(layer)
    hasten_depthwise(nn.Sequential(hastened))
    x = torch.randn(8, 8, 16, 16)
    exact = learn(layer, x, torch.float32)
    off = [
        sum(float((one - other).abs().sum()) for one, other in zip(exact[1:], found[1:], strict=True))
        for found in (learn(layer, x, torch.bfloat16), learn(hastened, x, torch.bfloat16))
    ]
    assert off[1] <= off[0] * 1.05


@pytest.mark.parametrize("kind", OTHERS)
def test_others_stay_as_they_are(kind):
    layer = OTHERS[kind]()
    hasten_depthwise(nn.Sequential(layer))
    assert type(layer) is nn.Conv2d


def test_frozen_layers_below_need_no_gradient():
    torch.manual_seed(0)
    layer = KINDS["strided"]()
    hasten_depthwise(nn.Sequential(layer))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 8, 9, 9)).float().sum().backward()
    assert layer.weight.grad is not None
    layer.weight.requires_grad_(False)
    x = torch.randn(2, 8, 9, 9, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x).float().sum().backward()
    assert x.grad is not None


def test_weights_keep_their_names():
    layer = nn.Sequential(KINDS["strided"]())
    names = list(layer.state_dict())
    hasten_depthwise(layer)
    assert list(layer.state_dict()) == names
