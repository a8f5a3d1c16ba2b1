"""Keras' own ImageNet weights of MobileNetV2, in timm's names: `mobilenetv2_130.keras` and the other widths.

timm has none at width 1.3. Reading them needs h5py, an extra (`pip install 'telltale[keras]'`). They are fetched once
from where Keras has them, or from a mirror whose address stands in TELLTALE_KERAS_WEIGHTS.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from telltale.data.download import download
from telltale.errors import DownloadError, ModelError, SourceError
from telltale.model.weights import first_line

if TYPE_CHECKING:
    import torch

ADDRESS: Final = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"
SUFFIX: Final = ".keras"

WIDTHS: Final = {f"mobilenetv2_{width:03d}{SUFFIX}": width / 100 for width in (35, 50, 75, 100, 130, 140)}
"""Names of the networks, and how wide each is."""

METADATA: Final = {"bn_eps": "0.001", "mean": "0.5,0.5,0.5", "pad_type": "same", "std": "0.5,0.5,0.5"}
"""What these weights ask of timm's network and of the pixels, as metadata of a weights file say it."""

_SIZES: Final = (96, 128, 160, 192, 224)
_USUAL_SIZE: Final = 224

_DEPTHS: Final = (2, 3, 4, 3, 3, 1)
"""Blocks of each stage with expansion (Sandler et al. 2018, table 2)."""

_NORM: Final = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}

_MOST_VALUES: Final = 2**24
"""In one tensor; the largest of the widest network has 2.4 million."""


def fetch_keras_weights(model: str, size: int = 0) -> Path:
    """The file with the weights of a network in `WIDTHS`, trained on pictures of `size` pixels where there are such.

    Above width 1 there are only those for 224 pixels, as for any other size (keras-team/keras#16452). Raises
    `ModelError` where they cannot be had.
    """
    width = WIDTHS[model]
    side = size if size in _SIZES and width <= 1 else _USUAL_SIZE
    address = os.environ.get("TELLTALE_KERAS_WEIGHTS", ADDRESS).rstrip("/")
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{side}_no_top.h5"
    try:
        return download(f"{address}/{name}")
    except (DownloadError, SourceError) as error:
        raise ModelError(
            f"The weights of {model!r} could not be had from Keras ({error.given.rstrip('.')}).",
            expected=f"A connection to {address}, or a file on this machine.",
            do="Three ways out: --weights FILE.h5, the URL of a mirror in TELLTALE_KERAS_WEIGHTS, or --fit scratch.",
        ) from error


def read_keras_weights(path: Path) -> "dict[str, torch.Tensor]":
    """Tensors in timm's names of an .h5 file as Keras publishes it or as its versions before 3 wrote it.

    They are found by their order, as Keras does it: names of layers differ from file to file. A classifier behind
    the convolutions is left out. Raises `ModelError` for another file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            f"{path.name!r} holds weights of Keras, and the package 'h5py' is not installed.",
            expected="The extra [keras].",
            do="pip install 'telltale[keras]'",
        ) from error
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, list[Any]] = {part: [] for part in ("kernel", *_NORM)}
            for part, values in _arrays(file):
                found[part].append(values)
    except Exception as error:  # h5py raises many kinds for damaged or hostile files
        raise ModelError(
            f"The Keras weights in {str(path)!r} cannot be read ({first_line(error)}).",
            expected="HDF5 as Keras publishes it, and as save_weights wrote it before Keras 3: with layer_names.",
            do="Download the file again, or give weights of another kind: .safetensors or .pth.",
        ) from error
    names = list(_layers())
    if {len(arrays) for arrays in found.values()} != {len(names)}:
        raise ModelError(
            f"{str(path)!r} holds {len(found['kernel'])} convolutions and {len(found['gamma'])} norms of Keras.",
            expected=f"The {len(names)} of each that MobileNetV2 has.",
            do="Give weights of Keras' MobileNetV2.",
        )
    return _rename(found, names)


def _layers() -> Iterator[tuple[str, str]]:
    """timm's names of each convolution and its norm, in the order in which Keras builds them."""
    yield "conv_stem", "bn1"
    yield "blocks.0.0.conv_dw", "blocks.0.0.bn1"
    yield "blocks.0.0.conv_pw", "blocks.0.0.bn2"
    for stage, depth in enumerate(_DEPTHS, start=1):
        for block in range(depth):
            name = f"blocks.{stage}.{block}"
            yield f"{name}.conv_pw", f"{name}.bn1"
            yield f"{name}.conv_dw", f"{name}.bn2"
            yield f"{name}.conv_pwl", f"{name}.bn3"
    yield "conv_head", "bn2"


def _arrays(file: Any) -> Iterator[tuple[str, Any]]:
    """`kernel`, `gamma`, `beta`, ... and the values, in the file's order."""
    root = file["model_weights"] if "model_weights" in file else file
    for layer in root.attrs["layer_names"]:
        group = root[_text(layer)]
        for name in group.attrs["weight_names"]:
            part = _text(name).rpartition("/")[2].partition(":")[0].removeprefix("depthwise_")
            values = group[_text(name)]
            if (
                values.size > _MOST_VALUES
                or values.file.filename != file.filename
                or values.external
                or values.is_virtual
            ):
                raise ValueError(f"{_text(name)} is not what a weight is")
            if part in _NORM or (part == "kernel" and values.ndim == 4):
                yield part, values[()]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _rename(found: dict[str, list[Any]], names: list[tuple[str, str]]) -> "dict[str, torch.Tensor]":
    """Keras' `[height, width, in, out]` as torch's `[out, in, height, width]`, under timm's names."""
    import numpy as np
    import torch

    state = {}
    for place, (convolution, norm) in enumerate(names):
        kernel = found["kernel"][place]
        # One kernel for each channel is [height, width, channels, 1] there and [channels, 1, height, width] here.
        order = (2, 3, 0, 1) if convolution.endswith("conv_dw") else (3, 2, 0, 1)
        state[f"{convolution}.weight"] = kernel.transpose(order)
        state |= {f"{norm}.{ours}": found[theirs][place] for theirs, ours in _NORM.items()}
    return {name: torch.from_numpy(np.array(values, np.float32)) for name, values in state.items()}
