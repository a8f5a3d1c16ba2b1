"""`examine`: what of Telltale would work on this machine, and what to do about the rest."""

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal, TypeAlias

from telltale.device import choose_device, cores
from telltale.errors import OutputError, UserError
from telltale.files import cache_folder, measure_folder
from telltale.storage.places import check_round_trip, open_place

State: TypeAlias = Literal["ok", "note", "problem"]

EXTRAS: Final = {
    "s3": ("s3fs", "mirrors and data in s3://"),
    "gcs": ("gcsfs", "mirrors and data in gs://"),
    "drive": ("google.auth", "mirrors in gdrive://"),
    "tensorboard": ("tensorboard", "--tracker tensorboard"),
    "wandb": ("wandb", "--tracker wandb"),
    "mlflow": ("mlflow", "--tracker mlflow"),
    "hf": ("datasets", "Hugging Face data sets"),
    "keras": ("h5py", "Keras' weights"),
    "notebook": ("matplotlib", "pictures in notebooks"),
}
"""Extra to the module that it brings, and what it is for."""

LEAST_FREE: Final = 2 << 30
"""Bytes of free disk below which a training of a usual network may not end: checkpoints, caches, the classifier."""

LEAST_MEMORY: Final = 4 << 30
_GB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it is, in words, and what to do where it is not well."""

    name: str
    state: State
    text: str
    do: str = ""


def examine(mirrors: Sequence[str] = ()) -> Iterator[Check]:
    """Look at versions, devices, disk, cache, extras and credentials; write, read and delete a file in each mirror.

    Nothing is left behind.
    """
    yield from _versions()
    yield from _devices()
    yield from _disk()
    yield from _extras()
    yield from _credentials()
    for url in mirrors:
        yield _mirror(url)


def _versions() -> Iterator[Check]:
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    for name in ("telltale", "torch", "torchvision", "timm", "openvino", "numpy", "pillow", "fsspec"):
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "problem", "not installed", "pip install telltale")


def _devices() -> Iterator[Check]:
    from telltale.model.engine import has_bf16

    fast = ", bf16" if has_bf16() else ""
    yield Check("processor", "ok", f"{cores()} cores{fast} ({platform.machine()})")
    memory = _memory()
    if memory:
        short = memory < LEAST_MEMORY
        do = "Use a small network and small batches, such as -b 8." if short else ""
        yield Check("memory", "note" if short else "ok", f"{memory / _GB:.1f} GB", do)
    with _reported("GPU") as found:
        if choose_device("auto") == "cuda":
            import torch

            facts = torch.cuda.get_device_properties(0)
            found.append(
                Check("GPU", "ok", f"{facts.name}, {facts.total_memory / _GB:.1f} GB, CUDA {torch.version.cuda}")
            )
        else:
            found.append(Check("GPU", "note", "none that torch can use: trainings run on the processor"))
    yield from found


def _memory() -> int:
    """Bytes of memory; 0 where the system does not say."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0


def _disk() -> Iterator[Check]:
    yield _writable("this folder", Path.cwd(), "Give another place with --output, or change the permissions.")
    with _reported("cache") as found:
        folder = cache_folder("features").parent
        size = measure_folder(folder)
        check = _writable("cache", folder, "Set TELLTALE_CACHE to a folder that you may write to.")
        found.append(
            Check(check.name, check.state, f"{check.text}; holds {size / _GB:.2f} GB, safe to delete", check.do)
        )
    yield from found
    weights = os.environ.get("TELLTALE_WEIGHTS", "")
    if weights:
        names = sorted(path.stem for path in Path(weights).glob("*.safetensors")) if Path(weights).is_dir() else []
        text = f"TELLTALE_WEIGHTS: {', '.join(names[:5]) or 'no .safetensors'} in {weights}"
        yield Check("weights", "ok" if names else "problem", text, "" if names else "Put NAME.safetensors there.")


def _writable(name: str, folder: Path, do: str) -> Check:
    """Can a file be written there, and how much room is there?"""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".telltale-") as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, "problem", f"{folder}: {error.strerror or error}", do)
    if free < LEAST_FREE:
        return Check(name, "problem", f"{folder}: {free / _GB:.1f} GB free", "Free some space.")
    return Check(name, "ok", f"{folder}: {free / _GB:.1f} GB free")


def _extras() -> Iterator[Check]:
    for name, (module, use) in EXTRAS.items():
        there = _is_there(module)
        text = f"{use}: {'installed' if there else 'not installed'}"
        yield Check(f"[{name}]", "ok" if there else "note", text, "" if there else f"pip install 'telltale[{name}]'")


def _is_there(module: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


def _credentials() -> Iterator[Check]:
    """Whether there are credentials to find, never what they are; only a mirror shows whether they are right."""
    home = Path.home()
    aws = "AWS_ACCESS_KEY_ID" in os.environ or any(
        (home / ".aws" / name).is_file() for name in ("credentials", "config")
    )
    yield _found("S3 credentials", aws, "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    if named and not Path(named).is_file():
        what = f"GOOGLE_APPLICATION_CREDENTIALS names {named}, which is not there"
        yield Check("Google credentials", "problem", what, "Correct the path, or unset it.")
    else:
        usual = home / ".config" / "gcloud" / "application_default_credentials.json"
        google = bool(named) or usual.is_file() or "google.colab" in sys.modules
        yield _found("Google credentials", google, "gcloud auth application-default login")
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        mounted = os.path.ismount("/content/drive")
        do = "" if mounted else "from google.colab import drive; drive.mount('/content/drive')"
        yield Check("Colab's Drive", "ok" if mounted else "note", "mounted" if mounted else "not mounted", do)
    drive = os.environ.get("TELLTALE_DRIVE_CREDENTIALS", "")
    if drive and not Path(drive).is_file():
        what = f"TELLTALE_DRIVE_CREDENTIALS names {drive}, which is not there"
        yield Check("Drive credentials", "problem", what, "Correct the path, or unset it.")
    wandb = "WANDB_API_KEY" in os.environ or (home / ".netrc").is_file() or "WANDB_MODE" in os.environ
    yield _found("W&B login", wandb, "wandb login; without it runs are written offline")
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    yield _found("MLflow server", bool(uri), "MLFLOW_TRACKING_URI; without it runs are written to this folder")


def _found(name: str, there: bool, do: str) -> Check:
    return Check(name, "ok" if there else "note", "found" if there else "none found", "" if there else do)


def _mirror(url: str) -> Check:
    try:
        seconds = check_round_trip(open_place(url))
    except UserError as error:
        return Check(f"mirror {url}", "problem", f"{error.given} Expected: {error.expected}", error.do)
    return Check(f"mirror {url}", "ok", f"written, read back and deleted a small file in {seconds:.2f} s")


@contextlib.contextmanager
def _reported(name: str) -> Iterator[list[Check]]:
    """Inside the block an error becomes a check that says so."""
    found: list[Check] = []
    try:
        yield found
    except (UserError, OutputError, OSError, RuntimeError, ImportError) as error:
        text, do = (error.given, error.do) if isinstance(error, UserError) else (f"{type(error).__name__}: {error}", "")
        found.append(Check(name, "problem", text, do))
