"""The fastest way to run a frozen network here: OpenVINO on a CPU, torch on a GPU or where nothing else can.

Every engine takes uint8 `[n, size, size, 3]` from several threads at once and gives float32 `[n, dimension]`. What
it gives for a picture depends neither on its place in the batch nor on its neighbours (tested), so features can be
kept by picture and results do not depend on the number of threads.
"""

import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telltale.device import cores
from telltale.model.backbone import Backbone

Squares: TypeAlias = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""Pictures of one size, uint8 `[size, size, 3]` each: several arrays, or one `[n, size, size, 3]`."""

TORCH_BATCH: Final = {"cpu": 16, "cuda": 256}


FIRST_USE: Final = threading.Lock()
"""OpenVINO's Python layer sets itself up on the first tensor, and two threads that come first at the same time wait for
each other for ever (2026.4.1: one holds Python's lock, the other the guard of a C++ static)."""


class Engine(Protocol):
    """A network that is loaded and ready."""

    kind: str
    precision: str
    batch: int

    def run(self, pictures: Squares) -> NDArray[np.float32]:
        """Features float32 `[n, dimension]` of any n pictures, uint8 `[size, size, 3]`; safe from several threads."""


def best_precision(backbone: Backbone, device: str) -> str:
    """`bf16` where this machine computes with it in hardware, else `f32`."""
    if device == "cuda":
        return "bf16"
    return "bf16" if backbone.converted and has_bf16() else "f32"


@cache
def has_bf16() -> bool:
    """Does the processor multiply bfloat16 in hardware (AVX-512 BF16, AMX, or Arm's BF16)?

    Linux says so in /proc/cpuinfo; elsewhere OpenVINO is asked, whose import takes 0.2 s.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        import openvino

        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    lines = (line.partition(":") for line in text.splitlines())
    flags = next((words.split() for name, _, words in lines if name.strip() in ("flags", "Features")), [])
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))


def open_engine(backbone: Backbone, *, device: str = "cpu", precision: str = "f32", threads: int = 0) -> Engine:
    """Load `backbone` for `device` (`cpu` or `cuda`) with `precision` (`f32` or `bf16`)."""
    if device == "cpu" and backbone.converted:
        return _OpenVinoEngine(backbone, precision, threads or cores())
    return _TorchEngine(backbone, precision, device)


class _OpenVinoEngine:
    """One single-thread stream per core: each thread of ours reads, decodes, resizes and infers its own pictures."""

    kind = "openvino"

    def __init__(self, backbone: Backbone, precision: str, threads: int) -> None:
        import openvino

        self.precision = precision
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        }
        self._model = openvino.Core().compile_model(backbone.folder / "network.xml", "CPU", settings)
        shape = self._model.input(0).shape
        self.batch = int(shape[0])
        self._dimension = backbone.dimension
        self._mine = threading.local()
        with FIRST_USE:
            self.run(np.zeros(tuple(shape), np.uint8))

    def run(self, pictures: Squares) -> NDArray[np.float32]:
        if not hasattr(self._mine, "request"):
            self._mine.request = self._model.create_infer_request()
            # Views of the request's own memory: pictures are copied once, from where they were resized.
            self._mine.inputs = self._mine.request.get_input_tensor().data
            self._mine.outputs = self._mine.request.get_output_tensor().data
        inputs, outputs = self._mine.inputs, self._mine.outputs
        features = np.empty((len(pictures), self._dimension), np.float32)
        for start in range(0, len(pictures), self.batch):
            part = pictures[start : start + self.batch]
            for place, picture in enumerate(part):
                inputs[place] = picture
            # What is left of the batch before stays behind a shorter last one: it changes nothing (tested).
            self._mine.request.infer(share_outputs=True)
            features[start : start + len(part)] = outputs[: len(part)]
        return features


class _TorchEngine:
    """torch, one batch at a time; on a GPU uint8 goes over the bus and everything else happens there."""

    kind = "torch"

    def __init__(self, backbone: Backbone, precision: str, device: str) -> None:
        import torch

        network = load_network(backbone).to(device).to(memory_format=torch.channels_last)
        self.precision, self.batch = precision, TORCH_BATCH[device]
        self._dimension = backbone.dimension
        self._network, self._device, self._torch = network, device, torch
        mean, std = np.array(backbone.mean, np.float32), np.array(backbone.std, np.float32)
        self._scale = torch.from_numpy(1 / (255 * std)).to(device).reshape(1, 3, 1, 1)
        self._shift = torch.from_numpy(-mean / std).to(device).reshape(1, 3, 1, 1)
        self._turn = threading.Lock()

    def run(self, pictures: Squares) -> NDArray[np.float32]:
        parts = [self._infer(pictures[at : at + self.batch]) for at in range(0, len(pictures), self.batch)]
        return np.concatenate(parts) if parts else np.zeros((0, self._dimension), np.float32)

    def _infer(self, part: Squares) -> Any:
        torch = self._torch
        # One shape only: other kernels for a last, smaller batch would give other last digits.
        batch = np.zeros((self.batch, *part[0].shape), np.uint8)
        batch[: len(part)] = part
        with self._turn, torch.inference_mode():
            inputs = torch.from_numpy(batch).to(self._device)
            inputs = inputs.permute(0, 3, 1, 2).float() * self._scale + self._shift
            with torch.autocast(self._device, torch.bfloat16, enabled=self.precision == "bf16"):
                features = self._network(inputs.contiguous(memory_format=torch.channels_last))
            return features.float().cpu().numpy()[: len(part)]


def load_network(backbone: Backbone) -> Any:
    """The network of `backbone` as a torch module in evaluation mode, on the CPU."""
    from safetensors.torch import load_file

    from telltale.model.zoo import create_backbone

    network = create_backbone(backbone.architecture)
    network.load_state_dict(load_file(backbone.folder / "backbone.safetensors"))
    return network.eval()
