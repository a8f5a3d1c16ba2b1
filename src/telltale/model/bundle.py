"""A `Classifier` as a folder that can be copied anywhere: safetensors and JSON, no code, checked when it is read.

model.safetensors   `backbone.*`, `head.weight`, `head.bias`, `familiarity.*`
classifier.json     architecture, classes, preprocess, temperature, reject rule, where it comes from
golden/             a few inputs with the probabilities that they must give
training.arrow      hashes of the pictures that were learned from
README.md           model card
manifest.json       sizes and SHA-256, written last
"""

import io
import os
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from telltale.batches.preprocess import Preprocess
from telltale.data.manifest import FILE as TRAINING, Manifest
from telltale.device import choose_device
from telltale.errors import BundleError, OutputError
from telltale.files import (
    explain_output,
    make_folder,
    read_json,
    sync_folder,
    verify_manifest,
    write_atomic,
    write_json,
    write_manifest,
)
from telltale.model.backbone import Backbone, Request, with_weights
from telltale.model.classifier import Classifier
from telltale.model.familiarity import Familiarity
from telltale.model.features import Extractor
from telltale.model.head import Head
from telltale.model.rejection import RejectRule
from telltale.values import from_plain, to_plain

FORMAT_VERSION: Final = 2
"""Version 1 had no reject rule; a version of Telltale that knows none must not answer where it should refuse."""

SUFFIX: Final = ".telltale"
_FAMILIARITY: Final = "familiarity."
IN_RUN: Final = f"model{SUFFIX}"
"""Name of the bundle in a run folder."""

TOLERANCE: Final = 0.25
"""Largest difference of a golden probability on another machine: more than between bf16 and f32 (0.155 at
most over 500 photos, benchmarks/RESULTS.md#precision), less than what a wrong network does."""


@dataclass(frozen=True)
class Golden:
    """Inputs of a network, uint8 `[n, size, size, 3]`, with the features float32 `[n, dimension]` that it gives."""

    pictures: NDArray[np.uint8]
    features: NDArray[np.float32]


def save(classifier: Classifier, path: str | Path, *, golden: Golden | None = None, card: str = "") -> Path:
    """Write `classifier` to the folder `path`, whole or not at all; a bundle that is there is replaced, nothing else.

    `golden` are a few inputs to keep with their probabilities; `card` is the text of README.md.
    """
    from safetensors.numpy import load_file, save as to_bytes

    path = Path(path)
    if path.exists() and not (path / "classifier.json").is_file():
        raise OutputError(
            f"{str(path)!r} exists and is not a bundle.",
            expected="A free name.",
            do="Give another place for the bundle.",
        )
    backbone, head = classifier.extractor.backbone, classifier.head
    make_folder(path.parent)
    temporary = make_folder(path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp"))
    try:
        tensors = load_file(backbone.folder / "backbone.safetensors")
        weights = {f"backbone.{name}": value for name, value in tensors.items()}
        weights |= {"head.weight": head.weight, "head.bias": head.bias}
        if classifier.familiarity is not None:
            known = classifier.familiarity.to_tensors()
            weights |= {f"{_FAMILIARITY}{name}": np.ascontiguousarray(value) for name, value in known.items()}
        write_atomic(temporary / "model.safetensors", to_bytes(weights))
        write_json(temporary / "classifier.json", "classifier", FORMAT_VERSION, _describe(classifier))
        _write_golden(temporary / "golden", classifier, golden)
        if classifier.manifest is not None:
            classifier.manifest.save(temporary / TRAINING)
        write_atomic(temporary / "README.md", card or f"# {path.stem}\n\n{classifier}\n")
        write_manifest(temporary)
        _replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def load(path: str | Path, *, device: str = "auto") -> Classifier:
    """The classifier in a bundle, or in the run folder that holds one; `BundleError` where a byte of it has changed.

    Needs no torch where this network was run on this machine before; else it is converted once.
    """
    from safetensors import SafetensorError, safe_open

    folder = find_bundle(path)
    content = _read_description(folder)
    try:
        with safe_open(folder / "model.safetensors", framework="numpy") as file:
            weight, bias = file.get_tensor("head.weight"), file.get_tensor("head.bias")
            names = [name for name in file.keys() if name.startswith(_FAMILIARITY)]
            known = {name.removeprefix(_FAMILIARITY): file.get_tensor(name) for name in names}
        described = Backbone.from_dict(content["backbone"], folder)
        preprocess = Preprocess.from_dict(content["preprocess"])
        precision = "auto" if content["precision"] == "bf16" else "f32"
        head = Head(weight, bias, float(content["temperature"]))
        classes, facts = tuple(content["classes"]), content["facts"]
        familiarity = Familiarity.from_tensors(known) if known else None
        rule = from_plain(RejectRule | None, content.get("rule"))
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise _incomplete(folder, error) from error
    backbone, is_new = with_weights(described, folder / "model.safetensors", "backbone.")
    extractor = Extractor(backbone, preprocess, precision, choose_device(device))
    classifier = Classifier(extractor, head, classes, facts, _read_manifest(folder), familiarity, rule)
    if is_new:
        _check_golden(classifier, folder)
    return classifier


@dataclass(frozen=True)
class BundleStart:
    """What a new training takes from a bundle: the network's name, how pictures come in, and how to get its weights.

    `manifest` tells what they have learned from already; None where the bundle does not say.
    """

    model: str
    preprocess: Preprocess
    request: Request
    manifest: Manifest | None = None


def read_start(path: str | Path, *, size: int = 0) -> BundleStart:
    """The backbone in a bundle or run folder as something to learn from further; `size`: another input size."""
    folder = find_bundle(path)
    content = _read_description(folder)
    try:
        described = Backbone.from_dict(content["backbone"], folder)
        preprocess = Preprocess.from_dict(content["preprocess"])
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(folder, error) from error
    architecture = replace(described.architecture, size=size or described.architecture.size)
    request = Request(
        architecture.name,
        str(folder / "model.safetensors"),
        architecture.size,
        "backbone.",
        architecture,
        mean=described.mean,
        std=described.std,
    )
    return BundleStart(architecture.name, preprocess, request, _read_manifest(folder))


def _read_description(folder: Path) -> dict[str, Any]:
    verify_manifest(folder)
    return read_json(folder / "classifier.json", "classifier", FORMAT_VERSION)


def _read_manifest(folder: Path) -> Manifest | None:
    return Manifest.load(folder / TRAINING) if (folder / TRAINING).is_file() else None


def _incomplete(folder: Path, error: Exception) -> BundleError:
    return BundleError(
        f"{str(folder / 'classifier.json')!r} lacks something or says what cannot be ({error}).",
        expected="A bundle as Telltale wrote it.",
        do="Copy it again from where it is whole, or train again.",
    )


def find_bundle(path: str | Path) -> Path:
    """The bundle at `path`: itself, or `model.telltale` in a run folder."""
    path = Path(path)
    for folder in (path, path / IN_RUN):
        if (folder / "classifier.json").is_file():
            return folder
    if (path / "weights").is_dir():
        raise BundleError(
            f"The training in {str(path)!r} is not finished.",
            expected="A run that was trained to its end.",
            do=f"Finish it first: telltale train --resume {path}",
        )
    what = "does not exist" if not path.exists() else "holds no trained classifier"
    raise BundleError(
        f"{str(path)!r} {what}.",
        expected=f"A run folder such as runs/NAME, or a bundle NAME{SUFFIX}.",
        do="Check the path, or train one: telltale train DATA.",
    )


def golden_difference(classifier: Classifier, path: str | Path) -> float:
    """Largest difference between the probabilities kept in the bundle's `golden/` and those computed here and now."""
    folder = find_bundle(path) / "golden"
    expected = read_json(folder / "golden.json", "golden samples", FORMAT_VERSION)["probabilities"]
    if not expected:
        return 0.0
    pictures = np.stack([np.asarray(Image.open(folder / name).convert("RGB")) for name in expected])
    computed = classifier.head.probabilities(classifier.extractor.engine.run(pictures))
    return float(np.abs(computed - np.array(list(expected.values()), np.float32)).max())


def _check_golden(classifier: Classifier, folder: Path) -> None:
    difference = golden_difference(classifier, folder)
    if difference > TOLERANCE:
        raise BundleError(
            f"{str(folder)!r} gives other answers on this machine than where it was made (off by {difference:.3f}).",
            expected=f"Its golden pictures' probabilities to within {TOLERANCE}.",
            do="Install the versions named in its classifier.json, or train again here.",
        )


def _describe(classifier: Classifier) -> dict[str, Any]:
    extractor = classifier.extractor
    return {
        "classes": list(classifier.classes),
        "preprocess": extractor.preprocess.to_dict(),
        "precision": extractor.arithmetic,
        "temperature": classifier.head.temperature,
        "backbone": extractor.backbone.to_dict(),
        "facts": classifier.facts,
        "rule": to_plain(classifier.rule),
    }


def _write_golden(folder: Path, classifier: Classifier, golden: Golden | None) -> None:
    make_folder(folder)
    expected: dict[str, list[float]] = {}
    if golden is not None:
        probabilities = classifier.head.probabilities(golden.features)
        for number, (picture, row) in enumerate(zip(golden.pictures, probabilities, strict=True)):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG")
            write_atomic(folder / f"{number}.png", file.getvalue())
            expected[f"{number}.png"] = [float(value) for value in row]
    write_json(folder / "golden.json", "golden samples", FORMAT_VERSION, {"probabilities": expected})


def copy_bundle(source: Path, path: Path) -> None:
    """Copy the bundle `source` to `path`, whole or not at all; a bundle that is there is replaced."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        shutil.copytree(source, temporary)
        _replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def change_card(path: str | Path, text: str) -> None:
    """Give the bundle at `path` another README.md: it and the manifest change in one step, or neither does.

    Everything else stays byte for byte what it was, and is checked first: a bundle that is damaged is not sealed anew
    but raises `BundleError`. Where the disk allows, its files are linked and not copied, so that this takes no room.
    """
    folder = find_bundle(path)
    verify_manifest(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        with explain_output(folder):
            shutil.copytree(folder, temporary, copy_function=_link)
        write_atomic(temporary / "README.md", text)  # a new file under that name; the linked one is not written to
        write_manifest(temporary)
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copy2(source, target)


def _replace(temporary: Path, path: Path) -> None:
    """Put the finished folder in its place; an older bundle stays until the new one is whole."""
    with explain_output(path):
        if not path.exists():
            os.replace(temporary, path)
            sync_folder(path.parent)
            return
        old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
        os.replace(path, old)
        os.replace(temporary, path)
        sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
