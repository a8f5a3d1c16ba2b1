"""Milliseconds per picture of each augmentation, batched, against torchvision's transforms picture by picture.

    python benchmarks/augmentation_speed.py [--size 160] [--batch 32] [--rounds 20] [--threads 1]

Both start from uint8 squares in memory and end with a float batch, channels last. torchvision has no grid and no
optical distortion; two random perspectives, each with probability 0.5, stand for them. Runs take turns; printed are
medians, the least, and the median of the ratios of neighbouring runs. *Drawing* is the part of the host: all random
numbers. With one thread its processor time is measured, so that other work on the machine counts for little; with more
it is the time on the wall.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torchvision.transforms import v2

from telltale.batches.augmentation import Augmentation, parse_augmentation
from telltale.batches.chance import Chance
from telltale.batches.colours import draw_colours
from telltale.batches.policies import draw_layers
from telltale.batches.textures import draw_textures
from telltale.batches.tones import draw_tones
from telltale.batches.turns import draw_turns
from telltale.batches.warps import draw_warp

BILINEAR = v2.InterpolationMode.BILINEAR


def sometimes(change: Callable[[torch.Tensor], torch.Tensor]) -> v2.Transform:
    return v2.RandomApply([v2.Lambda(change)], p=0.5)


def shift_channels(picture: torch.Tensor) -> torch.Tensor:
    added = torch.randint(-20, 21, (3, 1, 1))
    return (picture.int() + added).clamp(0, 255).byte()


def theirs(size: int) -> dict[str, list[v2.Transform]]:
    """The same changes as torchvision has them, by the terms of ours."""
    flip = v2.RandomHorizontalFlip()
    return {
        "flip": [flip],
        "flip rotation": [flip, v2.RandomRotation(15, BILINEAR)],
        "light": [
            flip,
            v2.RandomAffine(10, (0.05, 0.05), (0.9, 1.11), interpolation=BILINEAR),
            v2.ColorJitter(0.15, 0.15),
        ],
        "medium": [
            flip,
            v2.RandomResizedCrop(size, (0.5, 1), interpolation=BILINEAR),
            v2.RandomAffine(15, shear=5, interpolation=BILINEAR),
            v2.ColorJitter(0.25, 0.25, 0.25, 10 / 360),
            v2.RandomErasing(0.25, (0.06, 0.06), (1, 1)),
        ],
        "strong": [
            flip,
            v2.RandomResizedCrop(size, (0.3, 1), interpolation=BILINEAR),
            v2.TrivialAugmentWide(interpolation=BILINEAR),
            v2.RandomErasing(0.5, (0.16, 0.16), (1, 1)),
        ],
        "distortions": [
            flip,
            v2.RandomVerticalFlip(),
            sometimes(lambda picture: picture.transpose(-1, -2)),
            v2.RandomApply([v2.ColorJitter(brightness=0.2)]),
            v2.RandomApply([v2.ColorJitter(contrast=0.2)]),
            sometimes(shift_channels),
            v2.RandomPerspective(0.3, 0.5, BILINEAR),
            v2.RandomPerspective(0.05, 0.5, BILINEAR),
        ],
    }  # fmt: skip


def draw(augmentation: Augmentation, count: int, epoch: int, size: int) -> None:
    """All random numbers of a batch, and nothing else."""
    terms, chance = {term.name: term for term in augmentation.terms}, Chance(0, epoch, np.arange(count))
    layers, turns = draw_layers(terms, chance), draw_turns(terms, chance)
    list(draw_tones(layers))
    draw_colours(terms, layers, chance)
    draw_warp(terms, layers, chance, turns=turns, size=size)
    list(draw_textures(terms, chance, size))


def seconds(work: Callable[[], object]) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def measure(name: str, transforms: list[v2.Transform], squares: torch.Tensor, rounds: int) -> None:
    augmentation, chain = parse_augmentation(name.split()), v2.Compose(transforms)
    count, size = squares.shape[:2]
    rows, pictures = np.arange(count), squares.permute(0, 3, 1, 2).contiguous()

    def one_by_one() -> torch.Tensor:
        changed = torch.stack([chain(picture) for picture in pictures])
        return changed.float().contiguous(memory_format=torch.channels_last)

    ours, others, drawing = [], [], []
    for epoch in range(rounds + 2):  # the first two warm up
        ours.append(seconds(lambda: augmentation.apply(squares, rows, seed=0, epoch=epoch)))  # noqa: B023
        others.append(seconds(one_by_one))
        drawing.append(seconds(lambda: draw(augmentation, count, epoch, size)))  # noqa: B023
    ours, others, drawing = ([1000 * value / count for value in values[2:]] for values in (ours, others, drawing))
    ratio = statistics.median(other / own for own, other in zip(ours, others, strict=True))
    print(
        f"{name:<16}{statistics.median(ours):>8.3f} (least {min(ours):.3f}) ms a picture, of it drawing "
        f"{statistics.median(drawing):.3f}; torchvision one by one {statistics.median(others):>7.3f} "
        f"(least {min(others):.3f}): {ratio:.1f} x",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    coarse = np.random.default_rng(0).integers(0, 256, (arguments.batch, 10, 10, 3), np.uint8)
    drawn = coarse.repeat(-(-arguments.size // 10), 1).repeat(-(-arguments.size // 10), 2)
    drawn = np.ascontiguousarray(drawn[:, : arguments.size, : arguments.size])
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{arguments.batch} pictures of {arguments.size} pixels, {threads}")
    for terms, transforms in theirs(arguments.size).items():
        measure(terms, transforms, torch.from_numpy(drawn), arguments.rounds)
