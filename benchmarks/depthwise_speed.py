"""What `hasten_depthwise` brings: steps of learning in bfloat16 with and without it, in turn, on one thread.

    python benchmarks/depthwise_speed.py [--rounds 5] [NAME ...]

Random weights and pictures, all layers, batches of 16 at each network's input size; images per second of the
processor's time: the median of the rounds (least to greatest), and the ratio of the medians. Before them the gradient
of the input of single convolutions, in milliseconds for 32 pictures.
"""

import argparse
import statistics
import time

import timm
import torch
from torch import nn

from telltale.device import keep_memory
from telltale.model.depthwise import hasten_depthwise

NETWORKS = ("mobilenetv2_100", "efficientnet_b0", "tf_efficientnetv2_b2", "mobilenetv4_conv_small", "convnext_nano")
BATCH = 16
LAYERS = ((576, 10, 3, 2), (96, 80, 3, 2), (240, 40, 5, 2), (144, 40, 3, 1))
"""Channels, pixels, kernel, stride."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*", default=NETWORKS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    for layer in LAYERS:
        print(compare_layer(*layer), flush=True)
    for name in options.names:
        print(compare_network(name, options.rounds), flush=True)


def compare_layer(channels, pixels, kernel, stride):
    """Milliseconds of the gradient of the input in both precisions."""
    times = []
    for precision in (torch.float32, torch.bfloat16):
        x, weight = (
            torch.randn(shape).to(precision).contiguous(memory_format=torch.channels_last)
            for shape in ((32, channels, pixels, pixels), (channels, 1, kernel, kernel))
        )
        about = ((stride,) * 2, (kernel // 2,) * 2, (1, 1), False, (0, 0), channels, (True, False, False))
        gradient = torch.randn_like(nn.functional.conv2d(x, weight, None, stride, kernel // 2, 1, channels))
        rounds = [
            spend(
                lambda given=(gradient, x, weight), about=about: torch.ops.aten.convolution_backward(
                    *given, None, *about
                )
            )
            for _ in range(4)
        ]
        times.append(1e3 * min(rounds))
    what = f"{channels} channels, {pixels} pixels, kernel {kernel}, stride {stride}"
    return f"{what}: f32 {times[0]:.2f} ms, bf16 {times[1]:.2f} ms"


def compare_network(name, rounds):
    """Images per second as it is and hastened."""
    torch.manual_seed(0)
    plain, hastened = (
        timm.create_model(name, num_classes=10).to(memory_format=torch.channels_last).train() for _ in range(2)
    )
    hasten_depthwise(hastened)
    size = plain.default_cfg["input_size"][-1]
    inputs = torch.rand(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.zeros(BATCH, dtype=torch.int64)
    works = [make_step(network, inputs, labels) for network in (plain, hastened)]
    rates = [[], []]
    for number in range(rounds + 1):
        for found, work in zip(rates, works, strict=True):
            seconds = spend(work)
            if number:  # the first round warms up
                found.append(BATCH / seconds)
    texts = [f"{statistics.median(each):.1f} ({min(each):.1f}-{max(each):.1f})" for each in rates]
    ratio = statistics.median(rates[1]) / statistics.median(rates[0])
    return f"{name} @{size}: {texts[0]}, hastened {texts[1]}; {ratio:.2f} x, n={rounds}"


def make_step(network, inputs, labels):
    """One step of AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)

    def step():
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(network(inputs).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def spend(work):
    """Seconds of the processor's time."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
