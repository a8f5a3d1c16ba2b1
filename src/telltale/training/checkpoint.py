"""`Checkpoint`: what a training needs to go on, as tensors and plain facts, and as the bytes of a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from telltale.errors import BundleError

_VERSION: Final = 3


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


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """The content of a file that `read_checkpoint` reads."""
    described = {"kind": "checkpoint", "format_version": str(_VERSION), "facts": json.dumps(checkpoint.facts)}
    return save({name: _plain(tensor) for name, tensor in checkpoint.tensors.items()}, described)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """On the processor, row by row, sharing its memory with no other: what safetensors asks for."""
    return torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format)


def read_checkpoint(path: Path) -> Checkpoint:
    """What `to_bytes` made; `BundleError` where it is missing, damaged, foreign or of another version.

    Bits of a tensor that have changed are not noticed here but by the manifest of the folder (`Store.newest`).
    """
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
    return Checkpoint(tensors, json.loads(described["facts"]))
