"""A frozen network, ready to run: found in the cache, or converted once in a process of its own.

Conversion needs torch and timm (3 s of imports, 700 MB); what it leaves behind needs neither. It runs beside the
first look at the pictures, and its memory goes when it ends.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from telltale import errors
from telltale.data.store import explain_input
from telltale.errors import BundleError, ModelError, UserError
from telltale.files import cache_folder, read_json, sha256_file, verify_manifest, write_json

FORMAT_VERSION: Final = 1
USUAL_SIZE: Final = 224
"""Input size of most networks: what is assumed until a network says otherwise."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to build a network without its head: name, constructor options, input size.

    The name is timm's, or that of a plain network; the option `hidden` is the width of a dense layer behind it.
    """

    name: str
    options: tuple[tuple[str, Scalar], ...]
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "options": dict(self.options), "size": self.size}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Architecture":
        """What `to_dict` gave."""
        return cls(values["name"], tuple(sorted(values["options"].items())), values["size"])


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network without its head, on disk: `backbone.safetensors`, and `network.xml` where it was converted.

    uint8 `[n, size, size, 3]` goes in, float32 `[n, dimension]` comes out; normalisation (`mean`, `std` on a scale of
    0 to 1) lies inside. `weights_hash` is the SHA-256 of `backbone.safetensors`.
    """

    architecture: Architecture
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dimension: int
    parameters: int
    weights_hash: str
    converted: bool
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the folder."""
        return {
            "architecture": self.architecture.to_dict(),
            "mean": self.mean,
            "std": self.std,
            "dimension": self.dimension,
            "parameters": self.parameters,
            "weights_hash": self.weights_hash,
            "converted": self.converted,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], folder: Path) -> "Backbone":
        """What `to_dict` gave, in `folder`."""
        facts = {name: values[name] for name in ("dimension", "parameters", "weights_hash", "converted")}
        mean, std = tuple(values["mean"]), tuple(values["std"])
        return cls(
            architecture=Architecture.from_dict(values["architecture"]), mean=mean, std=std, folder=folder, **facts
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be converted: a network by name, with the weights of a file or (empty) of the hub.

    `prefix` is stripped from the names in the file (a bundle keeps its backbone under `backbone.`). `architecture`,
    `mean` and `std` are given where they are known already; else the network and its weights say them. `pool` is
    another global pooling than the network's own: `avg` or `max`.
    """

    model: str
    weights: str = ""
    size: int = 0
    prefix: str = ""
    architecture: Architecture | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    pool: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "weights": self.weights,
            "size": self.size,
            "prefix": self.prefix,
            "architecture": self.architecture.to_dict() if self.architecture else None,
            "mean": self.mean,
            "std": self.std,
            "pool": self.pool,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Request":
        """What `to_dict` gave."""
        built = Architecture.from_dict(values["architecture"]) if values["architecture"] else None
        mean, std = (tuple(values[name]) if values[name] else None for name in ("mean", "std"))
        texts = {name: values[name] for name in ("model", "weights", "size", "prefix", "pool")}
        return cls(architecture=built, mean=mean, std=std, **texts)


def find_weights(model: str, weights: str = "") -> str:
    """The file with the weights of `model`: `weights`, else one in the folder `TELLTALE_WEIGHTS`; empty: the hub."""
    if weights:
        if not Path(weights).is_file():
            raise ModelError(
                f"There is no weights file {weights!r}.",
                expected="A .safetensors or .pth file, or an .h5 file of Keras' MobileNetV2.",
                do="Check the path after --weights.",
            )
        return str(Path(weights).resolve())
    folder = os.environ.get("TELLTALE_WEIGHTS", "")
    for name in dict.fromkeys((model, model.split(".")[0])):
        for ending in (".safetensors", ".pth", ".pt"):
            path = Path(folder) / f"{name}{ending}"
            if folder and path.is_file():
                return str(path.resolve())
    return ""


def engine_folder(architecture: Architecture, weights_hash: str, mean: object, std: object) -> Path:
    """Where a network with these weights lies in the cache, whether or not it is there."""
    facts = json.dumps([FORMAT_VERSION, architecture.to_dict(), weights_hash, mean, std], sort_keys=True)
    name = architecture.name.replace("/", "_").replace(":", "_")
    return cache_folder("engines") / f"{name}-{architecture.size}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def open_backbone(folder: Path) -> Backbone | None:
    """The converted network in `folder`, checked; None where there is none, or a damaged one."""
    if not folder.is_dir():
        return None
    try:
        verify_manifest(folder)
        return Backbone.from_dict(read_json(folder / "engine.json", "engine", FORMAT_VERSION), folder)
    except BundleError:
        return None


class PendingBackbone:
    """A backbone that is there, or is being converted by another process.

    `ready()` says whether `result()` will return at once; `result()` waits, and raises what went wrong over there.
    `stop()` ends the other process.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._alias = _alias(request)
        self._backbone = self._find()
        self._failure: UserError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._heard: tuple[str, str] | None = None
        self.converting = self._backbone is None
        if self.converting:
            self._start()

    def ready(self) -> bool:
        """Is the conversion over?"""
        return self._process is None or self._process.poll() is not None

    def result(self) -> Backbone:
        """The backbone; `ModelError` where the name is unknown or the weights are missing or do not fit."""
        if self._failure is not None:
            raise self._failure
        if self._backbone is None:
            try:
                self._backbone = self._finish()
            except UserError as error:
                self._failure = error  # several threads may ask
                raise
        return self._backbone

    def stop(self) -> None:
        """End the conversion; without effect where there is none."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._listen(self._process)

    def _find(self) -> Backbone | None:
        if not self._alias.is_file():
            return None
        try:
            folder = read_json(self._alias, "engine alias", FORMAT_VERSION)["folder"]
        except BundleError:
            return None
        return open_backbone(cache_folder("engines") / folder)

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()
        request = tempfile.TemporaryFile()
        request.write(json.dumps(self.request.to_dict()).encode())
        request.seek(0)
        command = [sys.executable, "-m", "telltale.model.conversion"]
        self._process = subprocess.Popen(command, stdin=request, stdout=subprocess.PIPE, stderr=self._errors)
        request.close()

    def _listen(self, process: "subprocess.Popen[bytes]") -> tuple[str, str]:
        """The last lines of the answer and of the errors of the other process; waits for its end."""
        if self._heard is None:
            output, _ = process.communicate()
            with self._errors:
                self._errors.seek(0)
                self._heard = _last_line(output), _last_line(self._errors.read())
        return self._heard

    def _finish(self) -> Backbone:
        said, complaint, code = "", "", None
        if self._process is not None:
            said, complaint = self._listen(self._process)
            code = self._process.returncode
        answer = json.loads(said) if said.startswith("{") else {}
        if "error" in answer:
            parts = answer["error"]
            kind: type[UserError] = getattr(errors, parts["kind"])
            raise kind(parts["given"], expected=parts["expected"], do=parts["do"])
        backbone = open_backbone(Path(answer["folder"])) if "folder" in answer else None
        if backbone is None:
            why = f"exit code {code}: {complaint or 'no message'}"
            raise ModelError(
                f"The network {self.request.model!r} could not be prepared ({why}).",
                expected="A working installation of torch and timm.",
                do="Try `python -c 'import torch, timm'`, and check the free memory and disk.",
            )
        write_json(self._alias, "engine alias", FORMAT_VERSION, {"folder": backbone.folder.name})
        return backbone


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def request_backbone(model: str, *, weights: str = "", size: int = 0, pool: str = "") -> PendingBackbone:
    """The backbone `model` with pretrained weights and that global pooling, at once where it was converted before."""
    return PendingBackbone(Request(model, find_weights(model, weights), size, pool=pool))


def with_weights(backbone: Backbone, weights: Path, prefix: str) -> tuple[Backbone, bool]:
    """`backbone` in this machine's cache, converted from a file of weights where it is not there yet; and was it so?"""
    folder = engine_folder(backbone.architecture, backbone.weights_hash, backbone.mean, backbone.std)
    found = open_backbone(folder)
    if found is not None:
        return found, False
    architecture = backbone.architecture
    request = Request(architecture.name, str(weights), architecture.size, prefix, architecture)
    return PendingBackbone(replace(request, mean=backbone.mean, std=backbone.std)).result(), True


def _alias(request: Request) -> Path:
    """Where the cache notes which folder answers a request; a file of weights counts by its content."""
    facts = request.to_dict()
    if request.weights:
        with explain_input(request.weights):
            facts["weights"] = sha256_file(Path(request.weights))
    key = hashlib.sha256(json.dumps([FORMAT_VERSION, facts], sort_keys=True).encode()).hexdigest()[:24]
    return cache_folder("engines") / f"{key}.json"
