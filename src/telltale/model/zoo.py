"""Names to networks: the only file that knows timm. Imports torch and timm where they are needed."""

import contextlib
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
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
    # It may come from a stranger's bundle.
    _check_options(options)
    return _create(_known(architecture.name), options, architecture.size, pretrained=False)


def create_network(model: str, classes: int, size: int) -> "tuple[torch.nn.Module, Architecture]":
    """A whole network with random weights that gives logits `[n, classes]`, and how its backbone is built again."""
    if model == PLAIN:
        from telltale.model.cnn import PlainCNN

        size = size or 160
        return PlainCNN(classes, size), Architecture(PLAIN, (), size)
    facts = pretrained_facts(_known(model))
    size = size or facts["size"]
    return _create(model, {}, size, pretrained=False, classes=classes), Architecture(model, (), size)


def check_network(model: str, size: int) -> None:
    """Raise now where `create_network` would do so later; a plain CNN of usual size is fine without importing torch."""
    if model == PLAIN and (not size or size >= 32):
        return
    take_head(create_network(model, 2, size)[0], model)


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
        facts |= _facts(metadata)
        architecture = Architecture(request.model, _options(metadata), request.size or facts["size"])
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
        state = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # torch and safetensors raise many kinds for damaged or hostile files
        raise ModelError(
            f"The weights file {str(path)!r} cannot be read ({_first_line(error)}).",
            expected="Tensors only: .safetensors, or .pth as torch.save writes a state_dict.",
            do="Download or save the file again; convert it to .safetensors if it holds other objects.",
        ) from error
    if prefix:
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name.removeprefix("module."): value for name, value in state.items()}, metadata


def _load(network: "torch.nn.Module", state: "dict[str, torch.Tensor]", request: Request) -> None:
    """Load what the backbone needs; the file may hold a head too, but nothing may be missing or of another shape."""
    wanted = network.state_dict()
    if any(name in state and state[name].shape != wanted[name].shape for name in wanted):
        state = _adapt(state, network)
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


def _adapt(state: "dict[str, torch.Tensor]", network: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """`state` as timm fits it to another input size: a transformer's position embedding is resampled."""
    adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    try:
        return adapt(dict(state), network) if adapt else state
    except Exception:  # weights of another network altogether: what does not fit is said by the caller
        return state


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
    silence = _find_silence()
    try:
        with _offline(bool(silence)):  # what was fetched before is found without asking
            network = _create(name, {}, size, pretrained=True)
    except Exception as error:  # a proxy's page, a full disk, no such file: the hub's client raises many kinds
        raise ModelError(
            f"The pretrained weights of {name!r} could not be had from the hub ({silence or _first_line(error)}).",
            expected="A connection to the hub that timm uses, or a file on this machine.",
            do=f"Three ways out: --weights FILE, {name}.safetensors in a folder TELLTALE_WEIGHTS, or --fit scratch.",
        ) from error
    return network, Architecture(name, (), size), facts["mean"], facts["std"]


def _find_silence() -> str:
    """Why the hub cannot be reached, empty where it answers: its own client tries for 46 s before it says so."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("ALL_PROXY") or os.environ.get("all_proxy"):
        return ""
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=10).close()
    except urllib.error.URLError as error:
        # An error page is an answer; certificates are the client's own business.
        if not isinstance(error, urllib.error.HTTPError) and not isinstance(error.reason, ssl.SSLError):
            return f"{constants.ENDPOINT} does not answer: {error.reason}"
    except OSError as error:
        return f"{constants.ENDPOINT} does not answer: {error}"
    return ""


@contextlib.contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Inside the block the hub's client looks into its cache only."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


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


def _facts(metadata: dict[str, str]) -> dict[str, Any]:
    """`size`, `mean` and `std` where a weights file's metadata say them.

    >>> _facts({"size": "96", "mean": "0.5,0.5,0.5", "bn_eps": "0.001"})
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


def _options(metadata: dict[str, str]) -> tuple[tuple[str, Scalar], ...]:
    """Constructor arguments in a weights file's metadata: numbers and truth values where they look like such.

    >>> _options({"bn_eps": "0.001", "pad_type": "same", "mean": "0.5,0.5,0.5"})
    (('bn_eps', 0.001), ('pad_type', 'same'))
    """
    texts = {name: text for name, text in sorted(metadata.items()) if name not in _NOT_OPTIONS}
    _check_options(texts)
    return tuple((name, _parse(text)) for name, text in texts.items())


def _check_options(names: Iterable[str]) -> None:
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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
