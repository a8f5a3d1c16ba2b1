"""Two files in the folder `weights/` of a run, each either whole or not there.

last.safetensors   everything that a training needs to go on as if it had not been stopped
best.safetensors   the network's weights after the epoch with the least validation loss
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from telltale.errors import BundleError
from telltale.files import make_folder, write_atomic

LAST: Final = "last.safetensors"
BEST: Final = "best.safetensors"
_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and plain facts (JSON) about them: `epoch`, and what was measured then."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose names start with `prefix` and a dot, without them.

        >>> list(Checkpoint({"network.a": torch.zeros(1), "optimizer.a": torch.zeros(1)}, {}).part("network"))
        ['a']
        """
        start = f"{prefix}."
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


class Checkpoints:
    """The folder `weights/` of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        return self.folder / BEST

    def write_last(self, checkpoint: Checkpoint) -> None:
        """Replace `last`; a reader sees the old file or the whole new one."""
        write_atomic(self.last, _to_bytes(checkpoint))

    def write_best(self, checkpoint: Checkpoint) -> None:
        """Replace `best`, after `last` of the same epoch: until then `last` itself holds the best weights."""
        write_atomic(self.best, _to_bytes(checkpoint))


def _to_bytes(checkpoint: Checkpoint) -> bytes:
    tensors = {name: _plain(tensor) for name, tensor in checkpoint.tensors.items()}
    facts = json.dumps(checkpoint.facts)
    described = {"kind": "checkpoint", "format_version": str(_VERSION), "facts": facts}
    return save(tensors, described | {"sha256": _digest(tensors, facts)})


def _digest(tensors: dict[str, torch.Tensor], facts: str) -> str:
    """SHA-256 of everything that a checkpoint says: safetensors itself notices no changed bit."""
    state = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """On the processor, row by row, sharing its memory with no other: what safetensors asks for."""
    return torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format)


def read_checkpoint(path: Path) -> Checkpoint:
    """What `Checkpoints` wrote; `BundleError` where it is missing, damaged, foreign or of another version."""
    try:
        with safe_open(path, framework="pt") as file:
            described = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"The checkpoint {str(path)!r} cannot be read ({error}).",
            expected="Weights that a training of Telltale wrote.",
            do="Check the path, or train again.",
        ) from error
    if described.get("kind") != "checkpoint" or described.get("format_version") != str(_VERSION):
        raise BundleError(
            f"{str(path)!r} is no checkpoint that this version of Telltale knows.",
            expected="Weights that a training of this version wrote.",
            do="Check the path, use the version that wrote it, or train again.",
        )
    if described.get("sha256") != _digest(tensors, described["facts"]):
        raise BundleError(
            f"The checkpoint {str(path)!r} is damaged: its content does not match its SHA-256.",
            expected="The bytes that the training wrote.",
            do="Copy it again from where it is whole, or train again.",
        )
    return Checkpoint(tensors, json.loads(described["facts"]))
