"""Names to networks: the file that knows timm. Imports torch and timm where they are needed."""

import contextlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from telltale.errors import ModelError
from telltale.model.backbone import USUAL_SIZE, Architecture, Request, Scalar
from telltale.model.keras_weights import METADATA, SUFFIX, WIDTHS, fetch_keras_weights, read_keras_weights
from telltale.model.mobilenetv2 import USUAL, build_mobilenetv2, find_width
from telltale.model.weights import check_options, first_line, load_weights, read_facts, read_options, read_weights
from telltale.registry import Registry, select, suggest

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Plain:
    """A network of `telltale.model.cnn`: its filters, and the rate of the dropout behind each convolution."""

    filters: tuple[int, ...]
    dropout: float


PLAIN_NETWORKS: Final = Registry[Plain](
    "plain network",
    {
        "cnn": Plain((32, 32, 32), 0.0),
        # Half of the usual rate before the head: a feature map has many values that say the same.
        "cnn_growing": Plain((32, 64, 128, 256), 0.1),
    },
)
"""The small networks that train from nothing; there are no pretrained weights for them."""

_PLAIN_SIZE: Final = 160
_ALWAYS_ENOUGH: Final = 64
"""Pixels that every plain network can take: four convolutions with pooling need 46."""


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Names that `--model` takes, matching a shell pattern; a plain word matches anywhere in the name.

    Without `pretrained` also those that start from random weights only. Of the widths of MobileNetV2 that timm lacks
    only the usual one is listed, 1.3.
    """
    import timm

    names = [*timm.list_models(pretrained=True), *WIDTHS]
    if not pretrained:
        names += [*timm.list_models(), *PLAIN_NETWORKS, "mobilenetv2_130"]
    return select(names, pattern)


def describe_network(model: str, *, size: int = 0, pool: str = "") -> Architecture:
    """How to build `model` without its head; `size` 0 is the size that it was made for.

    `pool` (`avg` or `max`) is how features of all places become one vector; empty: as the network does it. Raises
    `ModelError` for an unknown name, and for a plain network with `pool`.
    """
    if model not in PLAIN_NETWORKS:
        options = read_options(METADATA) if model in WIDTHS else {}
        options |= {"global_pool": pool} if pool else {}
        size = size or pretrained_facts(_known(model))["size"]
        return Architecture(model.removesuffix(SUFFIX), tuple(sorted(options.items())), size)
    if pool:
        raise ModelError(
            f"The network {model!r} does not pool.",
            expected="A network of timm where pool is given: a plain one passes every place on to its dense layer.",
            do="Leave pool out, or choose another network: telltale models.",
        )
    return Architecture(model, (), size or _PLAIN_SIZE)


def create_backbone(architecture: Architecture) -> "torch.nn.Module":
    """The network without its head, with random weights: float NCHW to `[n, dimension]`.

    The option `hidden` puts a dense layer behind it (`telltale.model.network.Features`).
    """
    options = dict(architecture.options)
    hidden = options.pop("hidden", None)
    # It may come from a stranger's bundle.
    check_options(options)
    if architecture.name in PLAIN_NETWORKS:
        trunk = _create_plain(architecture.name, architecture.size, options)
    else:
        trunk = _create(_known(architecture.name), options, architecture.size)
    if hidden is None:
        return trunk
    from telltale.model.network import Features

    return Features(trunk, hidden)  # type: ignore[arg-type]  # it checks the type


def check_network(model: str, size: int, *, pool: str = "") -> None:
    """Raise now what building or the first batch would raise; plain networks of usual size need no torch for it."""
    architecture = describe_network(model, size=size, pool=pool)
    if model in PLAIN_NETWORKS and architecture.size >= _ALWAYS_ENOUGH:
        return
    import torch

    from telltale.model.network import build_network

    network = build_network(create_backbone(architecture), 2).eval()
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, 3, architecture.size, architecture.size)).shape)
        why = "" if shape == (1, 2) else f"its values are of shape {shape}"
    except Exception as error:  # sizes that fit nowhere, odd pooling: torch and timm raise many kinds
        why = first_line(error)
    if why:
        raise ModelError(
            f"The network {model!r} makes no features of pictures of {architecture.size} pixels ({why}).",
            expected="A network that makes one vector of each picture, and pictures large enough for it.",
            do="Give a larger --img-size, or choose another network: telltale models.",
        )


def load_pretrained(request: Request) -> "tuple[torch.nn.Module, Architecture, tuple[float, ...], tuple[float, ...]]":
    """The backbone that a request asks for, with its weights: network, architecture, mean, std."""
    source = request.weights
    if not source and request.model in WIDTHS:
        source = str(fetch_keras_weights(request.model, request.size))
    if not source:
        return _load_from_hub(request)
    path = Path(source)
    if path.suffix == ".h5":
        state, metadata = read_keras_weights(path), METADATA
    else:
        state, metadata = read_weights(path, request.prefix)
    facts: dict[str, Any]
    if request.architecture is not None:
        architecture, facts = request.architecture, {"mean": request.mean, "std": request.std}
    else:
        described = describe_network(request.model, pool=request.pool)
        facts = pretrained_facts(request.model) | {"size": described.size} | read_facts(metadata)
        options = {**dict(described.options), **read_options(metadata)}
        options |= {"global_pool": request.pool} if request.pool else {}
        architecture = Architecture(described.name, tuple(sorted(options.items())), request.size or facts["size"])
    network = create_backbone(architecture)
    load_weights(network, state, model=request.model, source=source)
    return network, architecture, facts["mean"], facts["std"]


def _load_from_hub(request: Request) -> "tuple[torch.nn.Module, Architecture, tuple[float, ...], tuple[float, ...]]":
    if request.model in PLAIN_NETWORKS or _find_lacking(request.model):
        keras = f", such as {request.model}{SUFFIX}" if f"{request.model}{SUFFIX}" in WIDTHS else ""
        raise ModelError(
            f"The network {request.model!r} has no pretrained weights.",
            expected="A network of `telltale models --pretrained`, or training from nothing.",
            do=f"Use --fit scratch, or another --model{keras}.",
        )
    architecture = describe_network(_known(request.model), size=request.size, pool=request.pool)
    if request.pool:
        create_backbone(architecture)  # where it cannot pool so, that is said, not that the hub has no weights
    name, facts = architecture.name, pretrained_facts(architecture.name)
    silence = find_silence()
    try:
        with _offline(bool(silence)):  # what was fetched before is found without asking
            network = _build(name, dict(architecture.options), architecture.size, pretrained=True)
    except Exception as error:  # a proxy's page, a full disk, no such file: the hub's client raises many kinds
        raise ModelError(
            f"The pretrained weights of {name!r} could not be had from the hub ({silence or first_line(error)}).",
            expected="A connection to the hub that timm uses, or a file on this machine.",
            do=f"Three ways out: --weights FILE, {name}.safetensors in a folder TELLTALE_WEIGHTS, or --fit scratch.",
        ) from error
    return network, architecture, facts["mean"], facts["std"]


def find_silence() -> str:
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


def _create_plain(name: str, size: int, options: dict[str, Scalar]) -> "torch.nn.Module":
    from telltale.model.cnn import PlainCNN

    if options:
        raise _no_such_options(name, options, "a plain network has none")
    return PlainCNN(size, filters=PLAIN_NETWORKS[name].filters, dropout=PLAIN_NETWORKS[name].dropout)


def _create(name: str, options: dict[str, Scalar], size: int) -> "torch.nn.Module":
    """A network of timm with random weights; `ModelError` where it does not take its options."""
    try:
        return _build(name, options, size, pretrained=False)
    except Exception as error:  # timm's constructors raise many kinds
        if "global_pool" in options:
            raise ModelError(
                f"The network {name!r} cannot pool with {options['global_pool']!r} ({first_line(error)}).",
                expected="A network whose pooling can be chosen, as that of nearly all convolutional ones.",
                do="Leave pool out, or choose another network: telltale models.",
            ) from error
        raise _no_such_options(name, options, first_line(error)) from error


def _no_such_options(name: str, options: dict[str, Scalar], why: str) -> ModelError:
    return ModelError(
        f"The network {name!r} cannot be built with {options} ({why}).",
        expected="Metadata of the weights file that are arguments of the network's constructor.",
        do="Give the weights file that belongs to this network.",
    )


def _build(name: str, options: dict[str, Scalar], size: int, *, pretrained: bool) -> "torch.nn.Module":
    import timm

    if width := _find_lacking(name):
        return build_mobilenetv2(width, options)
    known: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0, **options}
    if size != pretrained_facts(name)["size"]:
        # Transformers build their position embedding for one size; convolutions do not know the argument.
        with contextlib.suppress(TypeError):
            return timm.create_model(name, img_size=size, **known)
    return timm.create_model(name, **known)


def _find_lacking(name: str) -> int:
    """Width in percent where `name` is a MobileNetV2 that timm lacks, else 0."""
    import timm

    return 0 if timm.is_model(name) else find_width(name)


def _known(name: str) -> str:
    """`name` where there is such a network of timm, or a MobileNetV2; else `ModelError` with the nearest names."""
    import timm

    architecture, _, tag = name.partition(".")
    if (
        name in WIDTHS
        or find_width(name)
        or (timm.is_model(architecture) and (not tag or name in timm.list_models(pretrained=True)))
    ):
        return name
    close = suggest(name, list_models())
    raise ModelError(
        f"No model named {name!r}.",
        expected=f"Did you mean {' or '.join(map(repr, close))}?" if close else "A name that timm knows, or 'cnn'.",
        do="List them: telltale models.",
    )


def pretrained_facts(name: str) -> dict[str, Any]:
    """`size`, `mean` and `std` of the input that a network was made for; usual values where timm does not know."""
    if not name or name in PLAIN_NETWORKS or name in WIDTHS:
        return {"size": USUAL_SIZE, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    import timm

    config = timm.get_pretrained_cfg(USUAL if _find_lacking(name) else name)
    if config is None:
        return {"size": USUAL_SIZE, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return {"size": int(config.input_size[-1]), "mean": tuple(config.mean), "std": tuple(config.std)}
