"""What this machine offers: processor cores, a GPU. Found once, then passed as a value."""

import os
import shutil
from pathlib import Path
from typing import Final

from telltale.errors import RecipeError

DEVICES: Final = ("auto", "cpu", "cuda")


def cores() -> int:
    """Processor cores that this process may use (its affinity, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Threads for work that waits now and then, for a disk or for a network that runs on threads of its own.

    Two more than cores: on 2 cores 4 threads feed 1.17 times the pictures per second that 2 do
    (benchmarks/RESULTS.md#threads).
    """
    return cores() + 2


def choose_device(wanted: str = "auto") -> str:
    """`cpu` or `cuda`: what `wanted` means on this machine.

    Torch is asked only where there are signs of an NVIDIA GPU, so that a start on a plain CPU stays free of torch.
    """
    if wanted not in DEVICES:
        raise RecipeError(
            f"The device is {wanted!r}.", expected=f"One of {', '.join(DEVICES)}.", do="Give one of them with --device."
        )
    if wanted == "cpu" or (wanted == "auto" and not (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi"))):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise RecipeError(
            "The device is 'cuda', and torch finds no usable GPU here.",
            expected="An NVIDIA GPU with a driver that fits this torch build.",
            do="Use --device cpu, or check the driver with nvidia-smi.",
        )
    return "cpu"
