"""`CANDIDATES`: the pretrained networks that `--quality` chooses from, with what is known of each.

* Accuracy and parameters: timm, results/results-imagenet.csv of 2025-10-30; of mobilenetv2_035 that of TensorFlow's
  models, whose weights it has. The better a network names ImageNet's pictures, the better a linear head on its features
  names others (Kornblith et al. 2019, "Do Better ImageNet Models Transfer Better?").
* CPU: `benchmarks/backbone_speed.py` on two cores, bf16 (benchmarks/RESULTS.md#networks).
* GPU: timm, results/benchmark-infer-amp-nhwc-pt240-cu124-rtx4090.csv of 2024-09-05.

All weights may be used for any purpose (Apache 2.0). ConvNeXt V2 (no commercial use) and FastViT (Apple's licence) are
left out for that reason.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network with pretrained weights, at one input size."""

    model: str
    """Name with tag, as in timm."""
    size: int
    """Height and width of the input."""
    accuracy: float
    """Share of ImageNet-1k's validation pictures that it names rightly, in percent."""
    parameters: float
    """Millions, with the head for ImageNet."""
    cpu: float
    """Images per second from pixels to features on two cores."""
    cpu_training: float
    """Images per second of learning with all layers on two cores."""
    gpu: float
    """Images per second from pixels to features on an RTX 4090."""
    hub: bool = True
    """Whether timm's hub has the weights."""


CANDIDATES: Final = (
    Candidate("mobilenetv2_035", 224, 60.3, 1.68, 1838, 139.2, 30232, hub=False),
    Candidate("mobilenetv2_100.ra_in1k", 224, 72.91, 3.5, 516, 58.1, 11768),
    Candidate("mobilenetv4_conv_small.e2400_r224_in1k", 224, 73.76, 3.77, 899, 117.3, 45334),
    Candidate("mobilenetv3_large_100.ra4_e3600_r224_in1k", 224, 76.31, 5.48, 621, 60.5, 16892),
    Candidate("hgnetv2_b0.ssld_stage2_ft_in1k", 224, 77.36, 6.0, 534, 61.8, 10948),
    Candidate("efficientnet_b0.ra4_e3600_r224_in1k", 224, 78.57, 5.29, 249, 31.2, 9832),
    Candidate("tf_efficientnetv2_b2.in1k", 208, 79.21, 10.1, 147, 28.7, 10822),
    Candidate("mobilenetv4_conv_medium.e500_r256_in1k", 256, 79.92, 9.72, 176, 25.6, 10509),
    Candidate("hgnetv2_b2.ssld_stage2_ft_in1k", 224, 81.56, 11.22, 162, 26.0, 5619),
    Candidate("efficientvit_b2.r224_in1k", 224, 82.16, 24.33, 94, 15.8, 4171),
    Candidate("convnext_nano.in12k_ft_in1k", 224, 82.31, 15.59, 66, 15.6, 6329),
    Candidate("hgnetv2_b4.ssld_stage2_ft_in1k", 224, 83.70, 19.8, 73, 15.6, 7067),
    Candidate("convnext_tiny.in12k_ft_in1k", 224, 84.19, 28.59, 35.5, 8.9, 4845),
    Candidate("hgnetv2_b5.ssld_stage2_ft_in1k", 224, 84.82, 39.57, 32.4, 6.5, 4234),
    Candidate("convnext_small.in12k_ft_in1k", 224, 85.16, 50.22, 21.0, 5.2, 2979),
    Candidate("convnext_base.clip_laion2b_augreg_ft_in12k_in1k", 256, 86.38, 88.59, 9.0, 2.4, 1616),
)
"""Least accurate first."""
