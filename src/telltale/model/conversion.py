"""A torch network to a folder that runs without torch. As a program: a request on stdin, the folder on stdout.

    python -m telltale.model.conversion < request.json

The converted network is compared with torch on random pictures; where they differ, or where the conversion is not
possible, only the weights are kept and the network runs on torch.
"""

import contextlib
import copy
import json
import os
import secrets
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from telltale.errors import UserError
from telltale.files import make_folder, sha256, write_atomic, write_json, write_manifest
from telltale.model.backbone import (
    FORMAT_VERSION,
    Architecture,
    Backbone,
    Request,
    engine_folder,
    open_backbone,
)

if TYPE_CHECKING:
    import torch

BATCH: Final = 4
"""Pictures per inference: on 2 Zen 5 cores 4 is near the best of f32 and bf16 (benchmarks/RESULTS.md#batch): the
activations of one picture are a few megabytes, and a core has 1 MB of second-level cache."""

TOLERANCE: Final = 1e-3
"""Largest difference between torch and the converted network, as a share of the features' standard deviation."""


def write_backbone(
    network: "torch.nn.Module", architecture: Architecture, mean: tuple[float, ...], std: tuple[float, ...]
) -> Backbone:
    """Put a network without head into the cache of engines, converted where possible; one that is there is used.

    `network` may lie on any device, with weights of any precision; but for evaluation mode it stays as it is.
    """
    import torch
    from safetensors.numpy import save

    network = copy.deepcopy(network.eval()).cpu().float()
    state = {name: value.detach().float().numpy() for name, value in sorted(network.state_dict().items())}
    # `ascontiguousarray` alone would turn a single number into a list of one, which fits no network.
    weights = save({name: np.ascontiguousarray(value).reshape(value.shape) for name, value in state.items()})
    weights_hash = sha256(weights).hex()
    folder = engine_folder(architecture, weights_hash, mean, std)
    found = open_backbone(folder)
    if found is not None:
        return found
    wrapped = _normalised(network, mean, std)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (BATCH, architecture.size, architecture.size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = wrapped(torch.from_numpy(pictures)).numpy()
    temporary = make_folder(folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp"))
    try:
        write_atomic(temporary / "backbone.safetensors", weights)
        converted = _convert(wrapped, pictures, expected, temporary)
        parameters = sum(value.numel() for value in network.parameters())
        backbone = Backbone(
            architecture,
            _triple(mean),
            _triple(std),
            int(expected.shape[1]),
            parameters,
            weights_hash,
            converted,
            folder,
        )
        write_json(temporary / "engine.json", "engine", FORMAT_VERSION, backbone.to_dict())
        write_manifest(temporary)
        if open_backbone(folder) is not None:
            return backbone  # another process was faster, and what it wrote may be in use already
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(temporary, folder)
        except OSError:
            if open_backbone(folder) is None:
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return backbone


def _normalised(network: "torch.nn.Module", mean: tuple[float, ...], std: tuple[float, ...]) -> "torch.nn.Module":
    """uint8 NHWC in; normalised as one multiplication and one addition, which the engine folds into the first layer."""
    import torch

    class Normalised(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            scale = 1 / (255 * np.array(std, np.float64))
            shift = -np.array(mean, np.float64) / np.array(std, np.float64)
            self.scale = torch.tensor(scale, dtype=torch.float32).reshape(1, 3, 1, 1)
            self.shift = torch.tensor(shift, dtype=torch.float32).reshape(1, 3, 1, 1)

        def forward(self, pictures: torch.Tensor) -> Any:
            return self.network(pictures.permute(0, 3, 1, 2).float() * self.scale + self.shift)

    return Normalised().eval()


def _convert(wrapped: "torch.nn.Module", pictures: Any, expected: Any, folder: Path) -> bool:
    """Write `network.xml` and `network.bin`; False where that fails or gives other features than torch."""
    import torch

    try:
        import openvino

        _silence_telemetry()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example = torch.from_numpy(pictures)
            traced = torch.jit.trace(wrapped, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            model = openvino.convert_model(traced, example_input=example, input=list(pictures.shape))
        openvino.save_model(model, folder / "network.xml", compress_to_fp16=False)
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        got = openvino.Core().compile_model(folder / "network.xml", "CPU", settings)([pictures])[0]
        if got.shape == expected.shape and np.abs(got - expected).max() <= TOLERANCE * expected.std() + 1e-6:
            return True
    except Exception as error:  # the tracer and the converter raise many kinds for networks that they cannot take
        print(f"not converted: {error}", file=sys.stderr)
    for name in ("network.xml", "network.bin"):
        (folder / name).unlink(missing_ok=True)
    return False


def _silence_telemetry() -> None:
    """Nothing about this machine is sent anywhere.

    The converter reports each call to Google Analytics, from a process that it forks beside running threads: that one
    can wait for a lock for ever, and this one then waits for it at its end (openvino-telemetry 2025.2). Without that
    package the converter uses a stub of its own; so it does here.
    """
    with contextlib.suppress(ImportError):
        from openvino.tools.ovc import convert_impl, telemetry_stub, telemetry_utils, utils

        convert_impl.tm = telemetry_utils.tm = utils.tm = telemetry_stub


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def main() -> None:
    """Answer one request: a JSON line with the folder, or with the three parts of an error."""
    import torch

    from telltale.model.zoo import load_pretrained

    # The other cores are looking at pictures meanwhile; several threads would wait for each other.
    torch.set_num_threads(1)
    request = Request.from_dict(json.load(sys.stdin))
    try:
        answer: dict[str, Any] = {"folder": str(write_backbone(*load_pretrained(request)).folder)}
    except UserError as error:
        parts = {"given": error.given, "expected": error.expected, "do": error.do}
        answer = {"error": {"kind": type(error).__name__, **parts}}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
