"""Weights of the last and of the best epoch on disk, each file either whole or not there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from telltale.errors import BundleError
from telltale.files import make_folder, write_atomic

LAST: Final = "last.safetensors"
BEST: Final = "best.safetensors"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a network after `epoch`, with what was measured then."""

    state: dict[str, torch.Tensor]
    epoch: int
    metrics: dict[str, float]


class Checkpoints:
    """The folder `weights/` of a run: `last.safetensors`, and `best.safetensors` of the least validation loss."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        return self.folder / BEST

    def write(self, checkpoint: Checkpoint, *, improved: bool) -> None:
        """Write `last`, and `best` too where this epoch `improved`; a reader sees the old file or the whole new one."""
        state = {name: _plain(tensor) for name, tensor in checkpoint.state.items()}
        facts = {"kind": "checkpoint", "format_version": str(_VERSION), "epoch": str(checkpoint.epoch)}
        content = save(state, facts | {name: repr(value) for name, value in checkpoint.metrics.items()})
        write_atomic(self.last, content)
        if improved:
            write_atomic(self.best, content)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """On the processor, row by row, sharing its memory with no other: what safetensors asks for."""
    return torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format)


def read_checkpoint(path: Path) -> Checkpoint:
    """What `Checkpoints.write` wrote; `BundleError` where it is missing, damaged, foreign or too new."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"The checkpoint {str(path)!r} cannot be read ({error}).",
            expected="Weights that a training of Telltale wrote.",
            do="Check the path, or use the other one of last and best.",
        ) from error
    if facts.pop("kind", "") != "checkpoint" or int(facts.pop("format_version", "0")) > _VERSION:
        raise BundleError(
            f"{str(path)!r} is no checkpoint that this version of Telltale knows.",
            expected="Weights that a training of Telltale wrote.",
            do="Check the path, or update Telltale: pip install -U telltale.",
        )
    epoch = int(facts.pop("epoch"))
    return Checkpoint(state, epoch, {name: float(value) for name, value in facts.items()})
