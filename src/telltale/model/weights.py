"""Files of weights: their tensors and metadata, checked against the network that they are for. No code in them runs."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from telltale.errors import ModelError
from telltale.model.backbone import Scalar

if TYPE_CHECKING:
    import torch

_NOT_OPTIONS: Final = {"source", "format", "mean", "std", "size"}
"""Metadata of a weights file that are facts about it, not arguments of the network's constructor."""

_RESERVED: Final = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes",
}  # fmt: skip
"""Arguments that a weights file may not set: they would load other files."""


def read_weights(path: Path, prefix: str = "") -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """Tensors and metadata of a .safetensors file, or of a .pth file read with `weights_only`: no code is run."""
    import torch
    from safetensors import safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        else:
            state, metadata = torch.load(path, map_location="cpu", weights_only=True), {}
            for outer in ("state_dict", "model"):
                state = state[outer] if isinstance(state.get(outer), dict) else state
        state = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # torch and safetensors raise many kinds for damaged or hostile files
        raise ModelError(
            f"The weights file {str(path)!r} cannot be read ({first_line(error)}).",
            expected="Tensors only: .safetensors, or .pth as torch.save writes a state_dict.",
            do="Download or save the file again; convert it to .safetensors if it holds other objects.",
        ) from error
    if prefix:
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name.removeprefix("module."): value for name, value in state.items()}, metadata


def load_weights(network: "torch.nn.Module", state: "dict[str, torch.Tensor]", *, model: str, source: str) -> None:
    """Load what the backbone needs; the file may hold a head too, but nothing may be missing or of another shape.

    `model` and `source` name network and file in the `ModelError` that says otherwise.
    """
    wanted = network.state_dict()
    if any(name in state and state[name].shape != wanted[name].shape for name in wanted):
        state = _adapt(state, network)
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    wrong = [name for name in wanted if name in state and state[name].shape != wanted[name].shape]
    if missing or wrong:
        what = f"no tensor {missing[0]!r}" if missing else f"another shape of {wrong[0]!r}"
        raise ModelError(
            f"The weights in {source!r} do not fit {model!r}: {what}"
            f" ({len(missing) + len(wrong)} of {len(wanted)} tensors).",
            expected=f"The weights of {model!r}, in timm's names.",
            do="Give the file that belongs to this network, or another --model.",
        )
    network.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)


def _adapt(state: "dict[str, torch.Tensor]", network: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """`state` as timm fits it to another input size: a transformer's position embedding is resampled."""
    adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    try:
        return adapt(dict(state), network) if adapt else state
    except Exception:  # weights of another network altogether: what does not fit is said by the caller
        return state


def read_facts(metadata: dict[str, str]) -> dict[str, Any]:
    """`size`, `mean` and `std` where a weights file's metadata say them.

    >>> read_facts({"size": "96", "mean": "0.5,0.5,0.5", "bn_eps": "0.001"})
    {'size': 96, 'mean': (0.5, 0.5, 0.5)}
    """
    found: dict[str, Any] = {}
    for name in ("size", "mean", "std"):
        if name not in metadata:
            continue
        try:
            numbers = tuple(float(part) for part in metadata[name].split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != (1 if name == "size" else 3):
            raise ModelError(
                f"The weights file's metadata set {name!r} to {metadata[name]!r}.",
                expected="One number of pixels for size, three numbers with commas for mean and std.",
                do="Correct the metadata, or use another weights file.",
            )
        found[name] = int(numbers[0]) if name == "size" else numbers
    return found


def read_options(metadata: dict[str, str]) -> dict[str, Scalar]:
    """Constructor arguments in a weights file's metadata: numbers and truth values where they look like such.

    >>> read_options({"bn_eps": "0.001", "pad_type": "same", "mean": "0.5,0.5,0.5"})
    {'bn_eps': 0.001, 'pad_type': 'same'}
    """
    texts = {name: text for name, text in sorted(metadata.items()) if name not in _NOT_OPTIONS}
    check_options(texts)
    return {name: _parse(text) for name, text in texts.items()}


def check_options(names: Iterable[str]) -> None:
    """Raise `ModelError` at the first that is no argument that shapes a network."""
    for name in names:
        if name in _RESERVED or not name.isidentifier():
            raise ModelError(
                f"The weights file's metadata set {name!r}.",
                expected="Arguments that shape the network, such as bn_eps.",
                do="Use a weights file from a source that you trust.",
            )


def _parse(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def first_line(error: Exception) -> str:
    """What an error of a library says, short enough for one line of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
