"""What this machine offers: processor cores, memory, a GPU. Found once, then passed as a value."""

import contextlib
import ctypes
import os
import shutil
from pathlib import Path
from typing import Final

from telltale.errors import RecipeError

DEVICES: Final = ("auto", "cpu", "cuda")

_MALLOC: Final = ((-1, 2**31 - 1), (-3, 2**30))
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD (malloc.h) in bytes: memory is given back above 2 GB, arrays up to 1 GB share
one heap."""


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


def keep_memory() -> bool:
    """From now on this process keeps freed memory for its next large array; False where the C library is not glibc.

    glibc gives the memory of every large tensor back to the system, and each step of a training pages it in again:
    240,000 page faults for a batch of 32 through MobileNetV2 at 160 pixels, 0.6 of the step's time on a virtual machine
    (benchmarks/RESULTS.md#memory). Values that were set in the environment (`MALLOC_*`, `GLIBC_TUNABLES`) stay.
    """
    if any(name.startswith(("MALLOC_TRIM", "MALLOC_MMAP", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    with contextlib.suppress(OSError, AttributeError, TypeError):  # musl, macOS, Windows
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (raises where the library is another)
        trimmed, mapped = (library.mallopt(number, size) for number, size in _MALLOC)
        return bool(trimmed and mapped)
    return False
