"""Names to networks: the only file that knows timm. Imports torch and timm where they are needed."""

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from telltale.errors import ModelError
from telltale.model.backbone import USUAL_SIZE, Architecture, Request, Scalar
from telltale.registry import suggest

if TYPE_CHECKING:
    import torch

PLAIN: Final = "cnn"
"""The small plain CNN of `telltale.model.cnn`: three convolutions, trained from nothing."""

_NOT_OPTIONS: Final = {"source", "format", "mean", "std", "size"}
"""Metadata of a weights file that are facts about it, not arguments of the network's constructor."""

_RESERVED: Final = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes",
}  # fmt: skip
"""Arguments that a weights file may not set: they would load other files."""


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Names that `--model` takes, matching a shell pattern; a plain word matches anywhere in the name."""
    import timm

    wanted = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    names = (
        timm.list_models(pretrained=True) if pretrained else [*timm.list_models(), *timm.list_models(pretrained=True)]
    )
    return sorted({name for name in [*names, *([] if pretrained else [PLAIN])] if fnmatch(name, wanted)})


def create_backbone(architecture: Architecture) -> "torch.nn.Module":
    """The network without its head, with random weights: float NCHW to `[n, dimension]`."""
    options = dict(architecture.options)
    if architecture.name == PLAIN:
        from telltale.model.cnn import PlainCNN

        return PlainCNN(0, architecture.size)
    return _create(architecture.name, options, architecture.size, pretrained=False)


def create_network(model: str, classes: int, size: int) -> "tuple[torch.nn.Module, Architecture]":
    """A whole network with random weights that gives logits `[n, classes]`, and how its backbone is built again."""
    if model == PLAIN:
        from telltale.model.cnn import PlainCNN

        size = size or 160
        return PlainCNN(classes, size), Architecture(PLAIN, (), size)
    size = size or pretrained_facts(_known(model))["size"]
    return _create(model, {}, size, pretrained=False, classes=classes), Architecture(model, (), size)


def take_head(network: "torch.nn.Module", model: str) -> "torch.nn.Linear":
    """The last linear layer of a network from `create_network`."""
    import torch

    last = network.head if model == PLAIN else network.get_classifier()  # type: ignore[operator]
    if not isinstance(last, torch.nn.Linear):
        raise ModelError(
            f"The network {model!r} does not end in one linear layer.",
            expected="A network with a linear classifier, as nearly all of timm's have.",
            do="Choose another: telltale models.",
        )
    return last


def load_pretrained(request: Request) -> "tuple[torch.nn.Module, Architecture, tuple[float, ...], tuple[float, ...]]":
    """The backbone that a request asks for, with its weights: network, architecture, mean, std."""
    if not request.weights:
        return _load_from_hub(request)
    state, metadata = read_weights(Path(request.weights), request.prefix)
    if request.architecture is not None:
        architecture, facts = request.architecture, pretrained_facts("") | {"mean": request.mean, "std": request.std}
    else:
        facts = pretrained_facts(_known(request.model)) if request.model != PLAIN else pretrained_facts("")
        for name in ("mean", "std"):
            if name in metadata:
                facts[name] = tuple(float(part) for part in metadata[name].split(","))
        size = request.size or int(metadata.get("size", facts["size"]))
        architecture = Architecture(request.model, _options(metadata), size)
    network = create_backbone(architecture)
    _load(network, state, request)
    return network, architecture, facts["mean"], facts["std"]


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
    except Exception as error:  # torch and safetensors raise many kinds for damaged or hostile files
        raise ModelError(
            f"The weights file {str(path)!r} cannot be read ({str(error).splitlines()[0][:120]}).",
            expected="Tensors only: .safetensors, or .pth as torch.save writes a state_dict.",
            do="Download or save the file again; convert it to .safetensors if it holds other objects.",
        ) from error
    if prefix:
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name.removeprefix("module."): value for name, value in state.items()}, metadata


def _load(network: "torch.nn.Module", state: "dict[str, torch.Tensor]", request: Request) -> None:
    """Load what the backbone needs; the file may hold a head too, but nothing may be missing or of another shape."""
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    wrong = [name for name in wanted if name in state and state[name].shape != wanted[name].shape]
    if missing or wrong:
        what = f"no tensor {missing[0]!r}" if missing else f"another shape of {wrong[0]!r}"
        raise ModelError(
            f"The weights in {request.weights!r} do not fit {request.model!r}: {what}"
            f" ({len(missing) + len(wrong)} of {len(wanted)} tensors).",
            expected=f"The weights of {request.model!r}, in timm's names.",
            do="Give the file that belongs to this network, or another --model.",
        )
    network.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)


def _load_from_hub(request: Request) -> "tuple[torch.nn.Module, Architecture, tuple[float, ...], tuple[float, ...]]":
    if request.model == PLAIN:
        raise ModelError(
            f"The network {PLAIN!r} has no pretrained weights.",
            expected="A network of `telltale models --pretrained`, or training from nothing.",
            do="Use --fit scratch, or another --model.",
        )
    name = _known(request.model)
    facts = pretrained_facts(name)
    size = request.size or facts["size"]
    try:
        network = _create(name, {}, size, pretrained=True)
    except (
        Exception
    ) as error:  # no network, a proxy's page, a full disk, no such file: the hub's client raises many kinds
        raise ModelError(
            f"The pretrained weights of {name!r} could not be had from the hub ({_first_line(error)}).",
            expected="A connection to the hub that timm uses, or a file on this machine.",
            do=f"Three ways out: --weights FILE, {name}.safetensors in a folder TELLTALE_WEIGHTS, or --fit scratch.",
        ) from error
    return network, Architecture(name, (), size), facts["mean"], facts["std"]


def _create(
    name: str, options: dict[str, Scalar], size: int, *, pretrained: bool, classes: int = 0
) -> "torch.nn.Module":
    import timm

    known: dict[str, Any] = {"pretrained": pretrained, "num_classes": classes, **options}
    if size != pretrained_facts(name)["size"]:
        # Transformers build their position embedding for one size; convolutions do not know the argument.
        try:
            return timm.create_model(name, img_size=size, **known)
        except TypeError:
            pass
    try:
        return timm.create_model(name, **known)
    except TypeError as error:
        raise ModelError(
            f"The network {name!r} cannot be built with {options} ({_first_line(error)}).",
            expected="Metadata of the weights file that are arguments of the network's constructor.",
            do="Give the weights file that belongs to this network.",
        ) from error


def _known(name: str) -> str:
    """`name` where timm has it; else `ModelError` with the nearest names."""
    import timm

    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture) and (not tag or name in timm.list_models(pretrained=True)):
        return name
    close = suggest(name, list_models())
    raise ModelError(
        f"No model named {name!r}.",
        expected=f"Did you mean {' or '.join(map(repr, close))}?" if close else "A name that timm knows, or 'cnn'.",
        do="List them: telltale models.",
    )


def pretrained_facts(name: str) -> dict[str, Any]:
    """`size`, `mean` and `std` of the input that a network was made for; usual values where timm does not know."""
    if not name or name == PLAIN:
        return {"size": USUAL_SIZE, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None:
        return {"size": USUAL_SIZE, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return {"size": int(config.input_size[-1]), "mean": tuple(config.mean), "std": tuple(config.std)}


def _options(metadata: dict[str, str]) -> tuple[tuple[str, Scalar], ...]:
    """Constructor arguments in a weights file's metadata: numbers and truth values where they look like such.

    >>> _options({"bn_eps": "0.001", "pad_type": "same", "mean": "0.5,0.5,0.5"})
    (('bn_eps', 0.001), ('pad_type', 'same'))
    """
    options: list[tuple[str, Scalar]] = []
    for name, text in sorted(metadata.items()):
        if name in _NOT_OPTIONS:
            continue
        if name in _RESERVED or not name.isidentifier():
            raise ModelError(
                f"The weights file's metadata set {name!r}.",
                expected="Arguments that shape the network, such as bn_eps.",
                do="Use a weights file from a source that you trust.",
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        options.append((name, value if isinstance(value, str | int | float | bool) else text))
    return tuple(options)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
