"""Depthwise convolutions that learn in bfloat16 on a processor: the gradients that oneDNN is slow with, in float32.

oneDNN 3.13 has no fast kernel for two of them. The gradient of the input of a convolution with a stride takes 81 ms in
bfloat16 and 0.3 ms in float32 (32 pictures, 576 channels, 10 x 10 pixels, one thread of a Zen 4): more than a third of
a whole step of MobileNetV2. That of the weights of a kernel larger than 3 x 3 takes 1.4 to 4 times as long.
"""

from typing import Any, Final

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import nn

_FAST_KERNEL: Final = 3
"""Largest kernel, in pixels, with a fast gradient of its weights in bfloat16."""


def hasten_depthwise(network: nn.Module) -> None:
    """Let the depthwise convolutions of `network` learn faster under autocast to bfloat16 on a processor.

    Nothing else changes: what they give is the same bit for bit, and so are their gradients but for rounding.

    >>> network = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, groups=8))
    >>> before = network(torch.ones(1, 8, 9, 9))
    >>> hasten_depthwise(network)
    >>> torch.equal(network(torch.ones(1, 8, 9, 9)), before)
    True
    """
    for module in network.modules():
        if type(module) in _FASTER and _is_slow(module):
            module.__class__ = _FASTER[type(module)]


def _is_slow(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    depthwise = 1 < module.groups == module.in_channels == module.out_channels
    return depthwise and (max(module.stride) > 1 or max(module.kernel_size) > _FAST_KERNEL)


class _Depthwise(torch.autograd.Function):
    """The depthwise convolution `layer` of bfloat16 tensors; `bias` may be None."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, layer: nn.Conv2d, padding: Any
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer, ctx.padding = layer, padding
        return nn.functional.conv2d(x, weight, bias, layer.stride, padding, layer.dilation, layer.groups)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        tensors, layer = (gradients[0], *ctx.saved_tensors), ctx.layer
        slow = max(layer.stride) > 1, max(layer.kernel_size) > _FAST_KERNEL
        found: list[torch.Tensor | None] = [None, None, None]
        for place in (0, 1):
            if ctx.needs_input_grad[place]:
                given = [one.float() for one in tensors] if slow[place] else tensors
                about = (layer.stride, ctx.padding, layer.dilation, False, (0, 0), layer.groups)
                gradient = torch.ops.aten.convolution_backward(*given, None, *about, (place == 0, place == 1, False))
                found[place] = gradient[place].to(torch.bfloat16)
        if ctx.needs_input_grad[2]:  # oneDNN would compute the gradient of the weights for it once more
            found[2] = gradients[0].sum((0, 2, 3))
        return *found, None, None


def _convolve(layer: nn.Conv2d, x: torch.Tensor, padding: Any) -> torch.Tensor:
    """The convolution `layer` of `x`: in bfloat16 with the faster gradients where autocast asks for it."""
    weight, bias = layer.weight, layer.bias
    if not (
        x.ndim == 4
        and x.is_cpu
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    ):
        return nn.functional.conv2d(x, weight, bias, layer.stride, padding, layer.dilation, layer.groups)
    low = None if bias is None else bias.bfloat16()
    result: torch.Tensor = _Depthwise.apply(x.bfloat16(), weight.bfloat16(), low, layer, padding)
    return result


class _FasterConv2d(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _convolve(self, x, self.padding)


class _FasterConv2dSame(Conv2dSame):
    """TensorFlow's padding, which depends on the size of the picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = pad_same(x, list(self.kernel_size), list(self.stride), list(self.dilation))
        return _convolve(self, padded, (0, 0))


_FASTER: Final[dict[type[nn.Module], type[nn.Conv2d]]] = {nn.Conv2d: _FasterConv2d, Conv2dSame: _FasterConv2dSame}
