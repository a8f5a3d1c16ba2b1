"""`fit` learns a `Classifier` from `Splits` by a `Recipe`, and leaves everything in a run folder."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from telltale.batches.augmentation import parse_augmentation
from telltale.batches.preprocess import Preprocess
from telltale.data.decoding import decode
from telltale.data.manifest import ALIKE, TRAINED, Manifest
from telltale.data.splits import Splits
from telltale.device import choose_device
from telltale.errors import RecipeError
from telltale.files import timestamp, write_atomic, write_json
from telltale.model.backbone import PendingBackbone, request_backbone
from telltale.model.bundle import Golden, read_start, save
from telltale.model.classifier import Classifier
from telltale.model.features import Extractor, features
from telltale.model.rejection import always
from telltale.model.zoo import check_network, describe_network
from telltale.progress import Note, Tell, silent
from telltale.training.about import About, read_commit
from telltale.training.calibrating import Aims, calibrate
from telltale.training.network import fit_network
from telltale.training.preview import MOST, draw_preview
from telltale.training.probe import fit_probe
from telltale.training.recipe import Recipe
from telltale.training.recording import open_mirrors, recorded, tell_lacking
from telltale.training.run import Run, create_run
from telltale.training.start import check_output
from telltale.training.trackers import check_trackers
from telltale.training.views import Views

PREVIEW: Final = "augmentation.png"
"""What the network sees, in the run folder."""

GOLDEN: Final = 4
"""Validation pictures that travel in the bundle with their probabilities."""


def fit(
    splits: Splits,
    recipe: Recipe | None = None,
    *,
    run: Run | None = None,
    device: str = "auto",
    extractor: Extractor | None = None,
    tell: Tell = silent,
) -> tuple[Classifier, Run]:
    """A classifier learned from `splits.train`, chosen with `splits.validation`; `splits.test` is not looked at.

    `run` is where it is written (default: a new folder below `runs/`); a training that it holds already goes on from
    its last checkpoint. `extractor` is a backbone that is loaded already. Raises `ModelError` where the network or its
    weights cannot be had, and `Interrupted` after Ctrl-C or SIGTERM, with everything saved.
    """
    run = run or create_run(splits.index.name)
    recipe = _keep_batch_size((recipe or Recipe()).resolved, run)
    if run.listeners:
        return _fit(splits, recipe, run, device=device, extractor=extractor, tell=tell)
    check_trackers(recipe.trackers, tell)
    with recorded(run, recipe, open_mirrors(recipe.mirrors, tell), tell) as recording:
        found = _fit(splits, recipe, recording.run, device=device, extractor=extractor, tell=tell)
        recording.settle()
        tell_lacking(recording.finish(), tell)
        return found


def _fit(
    splits: Splits, recipe: Recipe, run: Run, *, device: str, extractor: Extractor | None, tell: Tell
) -> tuple[Classifier, Run]:
    recipe.save(run.folder / "recipe.toml")
    splits.index.save(run.folder / "index.arrow")
    splits.save(run.folder / "splits.arrow")
    facts = _facts(splits, recipe)
    introduce(run, recipe, facts, splits.index.classes)
    if recipe.how != "scratch" and extractor is None:
        extractor = open_extractor(recipe, device=device)
    _write_preview(splits, recipe, run, extractor)
    earlier = read_start(recipe.start_from).manifest if recipe.start_from else None
    if earlier is not None:
        _tell_known(splits, earlier, recipe.start_from, tell)
    if recipe.how == "probe" and extractor is not None:
        views = Views(recipe.augment, recipe.views, recipe.seed)
        probe = fit_probe(splits, extractor, views=views, tell=tell)
        used, head, found = probe.extractor, probe.head, probe.facts
        run.rewrite([{"epoch": 1, **probe.losses, "lr": 0.0}])
        for one in run.listeners:
            one.begin(run.history, 1)
    else:
        used, head, found = fit_network(splits, recipe, run, device=device, extractor=extractor, tell=tell)
    manifest = Manifest.of(splits.index.table, splits.parts, splits.radius)
    if earlier is not None:
        manifest = manifest.join(earlier)
    aims = Aims(recipe.precision or Aims.precision, recipe.coverage, recipe.seed)
    calibrated = calibrate(splits, used, head, penalty=found.get("penalty"), aims=aims, tell=tell)
    facts |= {"fit": found, "calibration": calibrated.facts}
    rule = calibrated.rule if recipe.precision else always(calibrated.rule)
    classifier = Classifier(
        used, calibrated.head, splits.index.classes, facts, manifest, calibrated.familiarity, rule
    )
    save(classifier, run.bundle, golden=_golden(splits, used), card=_card(classifier, splits))
    write_json(run.folder / "fit.json", "fit", 1, facts)
    return classifier, run


def _tell_known(splits: Splits, earlier: Manifest, start: str, tell: Tell) -> None:
    """Warn where the weights that are started from have learned from pictures of the validation or the test part."""
    for name, part in {"test": splits.test, "validation": splits.validation}.items():
        known = int(np.isin(earlier.look_up(part.table), (TRAINED, ALIKE)).sum())
        if known:
            what = f"{known:,} of {len(part):,} {name} pictures were learned from in {start}, or look like one that was"
            why = "what is right of them says little about new pictures"
            tell(Note(f"{what}: {why}. The same data, seed and shares as there keep the parts apart.", warning=True))


def _write_preview(splits: Splits, recipe: Recipe, run: Run, extractor: Extractor | None) -> None:
    """Some training pictures as the network will see them, evenly from all classes, as augmentation.png."""
    size = extractor.preprocess.size if extractor else describe_network(recipe.model, size=recipe.img_size).size
    prepare, part = Preprocess(size, recipe.resize), splits.train
    by_class = np.argsort(part.codes, kind="stable")
    shown = by_class[np.unique(np.linspace(0, len(part) - 1, MOST).astype(np.int64))]
    squares = np.stack([prepare.apply(decode(part.store.read(part.paths[row])).pixels) for row in shown])
    augmentation = parse_augmentation(recipe.augment if recipe.how != "probe" or recipe.views else ())
    names = [part.classes[code] for code in part.codes[shown]]
    write_atomic(run.folder / PREVIEW, draw_preview(squares, augmentation, seed=recipe.seed, names=names))


def _keep_batch_size(recipe: Recipe, run: Run) -> Recipe:
    """The recipe with the batch size that this run found when it began, where it was to find one."""
    known = (run.folder / "recipe.toml").is_file()
    return replace(recipe, batch_size=run.recipe.batch_size) if known and not recipe.batch_size else recipe


def request_start(recipe: Recipe) -> PendingBackbone:
    """The pretrained backbone that `recipe` names, or that of the run or bundle that it starts from."""
    if recipe.start_from:
        return PendingBackbone(read_start(recipe.start_from, size=recipe.img_size).request)
    return request_backbone(recipe.model, weights=recipe.weights, size=recipe.img_size, pool=recipe.pool)


def check_recipe(recipe: Recipe, classes: int) -> None:
    """Raise now, before any picture is looked at, what training by `recipe` would raise later.

    `classes` is how many the source has; corrected labels may bring others.
    """
    if not recipe.labels_fix:
        check_output(recipe, classes)
    augmentation = parse_augmentation(recipe.augment)
    if recipe.views and augmentation.mixes:
        raise RecipeError(
            "views keeps copies of single pictures, and augment mixes pictures (mixup, cutmix).",
            expected="Copies of a picture by itself, or pictures that are mixed anew in each epoch.",
            do="Leave mixup and cutmix out, or use --set views=0.",
        )
    if recipe.how == "scratch":
        check_network(recipe.model, recipe.img_size, pool=recipe.pool)


def check_learns(recipe: Recipe, lacks: str) -> None:
    """Raise `RecipeError` where the recipe is a probe, which `lacks` what was asked for."""
    if recipe.how == "probe":
        raise RecipeError(
            f"A probe {lacks}: its head is computed, not learned step by step.",
            expected="--fit finetune or --fit scratch.",
            do="Add one of them, or leave the flag out and train.",
        )


def open_extractor(recipe: Recipe, *, device: str = "auto") -> Extractor:
    """The frozen backbone that `recipe` names, converted now where that was never done before."""
    backbone = request_start(recipe).result()
    preprocess = Preprocess(backbone.architecture.size, recipe.resize, backbone.mean, backbone.std)
    return Extractor(backbone, preprocess, recipe.arithmetic, choose_device(device))


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    found = {"python": platform.python_version()}
    for name in ("telltale", "torch", "timm", "openvino", "numpy", "pillow", "simplejpeg", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def manifest_hash(splits: Splits) -> str:
    """SHA-256 over digest, label and part of every sample in order: the same for the same data and split."""
    table = splits.index.table
    state = hashlib.sha256(splits.parts.tobytes())
    for name in ("digest", "label"):
        for value in table.column(name).to_pylist():
            data = value if isinstance(value, bytes) else str(value).encode()
            state.update(len(data).to_bytes(4, "little") + data)
    return state.hexdigest()


def _facts(splits: Splits, recipe: Recipe) -> dict[str, Any]:
    return {
        "trained": timestamp(),
        "source": splits.index.name,
        "layout": splits.index.layout,
        "data_hash": manifest_hash(splits),
        "pictures": {name: len(part) for name, part in splits.named.items()},
        "model": recipe.model,
        "how": recipe.how,
        "seed": recipe.seed,
        "versions": versions(),
    }


def introduce(run: Run, recipe: Recipe, facts: dict[str, Any], classes: Sequence[str]) -> None:
    """Tell the listeners of `run` which training it is; `facts` are those of its classifier."""
    if not recipe.trackers:  # nobody wants to know, and git may take seconds in a large folder
        return
    commit, changed = read_commit(Path.cwd())
    about = About(
        run.id,
        run.label,
        run.folder,
        asdict(recipe),
        facts["versions"],
        commit,
        changed,
        facts["data_hash"],
        facts["source"],
        tuple(classes),
        facts["pictures"],
    )
    for one in run.listeners:
        one.introduce(about)


def _golden(splits: Splits, extractor: Extractor) -> Golden:
    part = splits.validation
    sample = part.take(np.arange(0, len(part), max(1, len(part) // GOLDEN))[:GOLDEN])
    squares = [extractor.preprocess.apply(decode(sample.store.read(path)).pixels) for path in sample.paths]
    return Golden(np.stack(squares), features(sample, extractor))


def _card(classifier: Classifier, splits: Splits) -> str:
    """README.md of the bundle."""
    facts, backbone = classifier.facts, classifier.extractor.backbone
    size = backbone.architecture.size
    parts = ", ".join(f"{count:,} {name}" for name, count in facts["pictures"].items())
    lines = [
        "---\nlibrary_name: telltale\ntags: [image-classification]\n---",
        f"# {_escape(facts['source'])}\n",
        f"An image classifier of {len(classifier.classes)} classes, made with Telltale "
        f"{facts['versions'].get('telltale', '')} on {facts['trained']}.\n",
        f"* Network: {backbone.architecture.name}, {backbone.parameters:,} parameters without the head, "
        f"input {size} x {size}; fit: {facts['how']}",
        f"* Data: {_escape(facts['source'])} ({_escape(facts['layout'])}), manifest `{facts['data_hash'][:16]}…`",
        f"* Pictures: {parts}\n",
        "How good it is on pictures it has never seen: `evaluation.json` and `report.html` in its run folder, or",
        "`telltale evaluate THIS_FOLDER DATA` on pictures of your own.\n",
        "| class | training pictures |\n|---|--:|",
        *(f"| {_escape(name)} | {count:,} |" for name, count in splits.train.counts.items()),
    ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Names come from folders: they must not become markup."""
    return "".join("\\" + sign if sign in "\\`*_{}[]<>|#" else sign for sign in str(text).replace("\n", " "))
