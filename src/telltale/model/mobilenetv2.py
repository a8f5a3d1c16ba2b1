"""MobileNetV2 in the widths that timm lacks, built from timm's own parts: `mobilenetv2_130` is 1.3 times as wide."""

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

USUAL: Final = "mobilenetv2_100"
"""The width that timm has for certain, and whose input the others take."""

_NAME: Final = re.compile(r"mobilenetv2_(\d{3})")
_NARROWEST: Final = 10
_WIDEST: Final = 300

# One stage each, in timm's notation: ds/ir: without or with expansion; r: blocks, k: kernel, s: stride of the first,
# e: expansion, c: channels at width 1 (Sandler et al. 2018, table 2).
_STAGES: Final = (
    "ds_r1_k3_s1_c16",
    "ir_r2_k3_s2_e6_c24",
    "ir_r3_k3_s2_e6_c32",
    "ir_r4_k3_s2_e6_c64",
    "ir_r3_k3_s1_e6_c96",
    "ir_r3_k3_s2_e6_c160",
    "ir_r1_k3_s1_e6_c320",
)


def find_width(name: str) -> int:
    """Width in percent that a name asks for, from 10 to 300; 0 where it is no such name.

    >>> find_width("mobilenetv2_130"), find_width("mobilenetv2_999"), find_width("mobilenetv2_110d")
    (130, 0, 0)
    """
    match = _NAME.fullmatch(name)
    width = int(match[1]) if match else 0
    return width if _NARROWEST <= width <= _WIDEST else 0


def build_mobilenetv2(width: int, options: dict[str, Any]) -> "torch.nn.Module":
    """The network without head, `width` percent as wide as the usual one, with random weights.

    `options` are those of timm's networks of this family, such as `bn_eps`, `pad_type` and `global_pool`; `TypeError`
    for others. At a width that timm has, the network is the same as timm's (tested).
    """
    from functools import partial

    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet
    from torch import nn

    norm = {name: options[f"bn_{name}"] for name in ("eps", "momentum") if f"bn_{name}" in options}
    others = {name: value for name, value in options.items() if not name.startswith("bn_")}
    widen = partial(round_channels, multiplier=width / 100)
    network: nn.Module = EfficientNet(
        block_args=decode_arch_def([[stage] for stage in _STAGES]),  # type: ignore[no-untyped-call]
        num_classes=0,
        num_features=max(1280, widen(1280)),
        round_chs_fn=widen,
        norm_layer=partial(nn.BatchNorm2d, **norm),
        act_layer=nn.ReLU6,
        **others,
    )
    return network
