"""`Step`: one kind of change for the pictures of a batch that drew it. The host draws the numbers, the device changes
the pixels; the numbers of all steps travel in one piece, and nothing waits for the device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of change."""

    places: NDArray[np.intp]
    """Which pictures of the batch."""
    numbers: dict[str, NDArray[Any]]
    """What was drawn for them, `[pictures, ...]` each, and tables; arrives on the device as float32."""
    change: Callable[[torch.Tensor, Numbers], torch.Tensor]
    """Float `[pictures, 3, size, size]`, which it may overwrite, to the same shape."""


def run_steps(pictures: torch.Tensor, steps: Sequence[Step]) -> torch.Tensor:
    """`pictures` (float `[n, 3, size, size]`; overwritten) after all steps, in their order.

    A picture that a step leaves out is not touched by it; every operation of a step treats its pictures one by one.
    """
    sent = send([{"places": step.places, **step.numbers} for step in steps], pictures.device)
    for step, numbers in zip(steps, sent, strict=True):
        if len(step.places) == len(pictures):
            pictures = step.change(pictures, numbers)
        else:
            places = numbers["places"].long()
            pictures.index_copy_(0, places, step.change(pictures.index_select(0, places), numbers))
    return pictures


def send(groups: Sequence[Mapping[str, NDArray[Any]]], device: torch.device) -> list[dict[str, torch.Tensor]]:
    """The arrays of each group as float32 tensors on `device`, in one transfer that the host does not wait for.

    Whole numbers up to 2^24 arrive as they are.
    """
    arrays = [np.asarray(array, np.float32) for group in groups for array in group.values()]
    joined = torch.from_numpy(np.concatenate([array.ravel() for array in arrays] or [np.empty(0, np.float32)]))
    if device.type == "cuda":
        joined = joined.pin_memory()
    pieces = iter(joined.to(device, non_blocking=True).split_with_sizes([array.size for array in arrays]))
    shapes = iter([array.shape for array in arrays])
    return [{name: next(pieces).view(next(shapes)) for name in group} for group in groups]
