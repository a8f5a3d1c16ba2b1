"""`find_batch_size`: as many pictures per batch as memory and the number of pictures allow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from telltale.model.seeding import seeded

MOST: Final = 256
"""Larger batches need other learning rates (Goyal et al. 2017) and gain no speed."""

FEWEST: Final = 8
"""Pictures whose batch norm still says something about all of them."""

FEWEST_STEPS: Final = 16
"""Changes of the weights in an epoch that small data sets keep."""

CONTROL_GROUP: Final = Path("/sys/fs/cgroup")
"""Where Linux says how much memory a container may take."""

MEMORY_SHARE: Final = 0.5
"""Of the free memory: the rest is for weights, moments, the pictures and the work space of convolutions."""

_UNKNOWN: Final = 4 * 2**30
"""Free memory that is assumed where the system does not say."""


@dataclass(frozen=True)
class BatchSize:
    """A number of pictures, and what decided it."""

    size: int
    why: str


def find_batch_size(network: nn.Module, side: int, pictures: int, *, free: int = 0) -> BatchSize:
    """The largest power of two for `network` (input `side` x `side`) that half of the `free` bytes hold; 0: all memory.

    What a picture takes is measured: the bytes that the forward pass keeps for the backward pass. Never more than
    `MOST`, and few enough for `FEWEST_STEPS` batches of so many training `pictures` where that leaves `FEWEST`.
    """
    each = measure_activations(network, side)
    free = free or free_memory(next(network.parameters()).device)
    fits = int(MEMORY_SHARE * free / max(each, 1))
    enough = max(FEWEST, pictures // FEWEST_STEPS)
    size = 2 ** (max(2, min(fits, enough, MOST)).bit_length() - 1)
    if fits <= min(enough, MOST):
        why = f"a picture takes {each / 2**20:.0f} MB while training, and {free / 2**30:.1f} GB are free"
    elif enough == FEWEST:
        why = f"{pictures:,} pictures are few"
    elif enough <= MOST:
        why = f"{pictures:,} pictures make at least {FEWEST_STEPS} batches of it"
    else:
        why = "a larger one gains no speed"
    return BatchSize(size, why)


def measure_activations(network: nn.Module, side: int) -> int:
    """Bytes that one picture's forward pass keeps for the backward pass; the network stays as it is."""
    device = next(network.parameters()).device
    own = {one.untyped_storage().data_ptr() for one in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [(module, module.training) for module in network.modules()]
    network.train()
    try:
        with seeded(0, device=device), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(torch.zeros(2, 3, side, side, device=device)).sum()
    finally:
        network.load_state_dict(before)
        for module, training in modes:
            module.training = training
    return sum(kept.values()) // 2


def free_memory(device: torch.device) -> int:
    """Free bytes on a GPU, or of the machine and of the container that this process lives in."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [1024 * _read_fact(Path("/proc/meminfo"), "MemAvailable:"), read_group(CONTROL_GROUP)]
    return min((one for one in found if one > 0), default=_UNKNOWN)


def read_group(folder: Path) -> int:
    """Free bytes of a control group, version 2; 0 where it has no limit. The page cache in it counts as free."""
    try:
        limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # `max` is no number
        return 0
    return max(1, limit - used + _read_fact(folder / "memory.stat", "inactive_file"))


def _read_fact(path: Path, name: str) -> int:
    """The number behind a name in a file with one fact a line; 0 where there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
    except (OSError, StopIteration, ValueError):
        return 0
