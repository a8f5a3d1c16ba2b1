"""Imports point one way: a module may import only from its own layer and from those below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "telltale"

LAYERS = [
    "errors registry progress words values threads files device arrow cache",
    "storage",
    "data",
    "batches",
    "model",
    "evaluation",
    "training",
    "delivery",
    "cli",
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer.split()}

FORBIDDEN = [  # the right direction, still not allowed: what we deliver carries no training code
    ("delivery.predictor", "training"),
    ("delivery.predictor", "evaluation"),
    ("delivery.exporters", "training"),
    ("delivery.server", "training"),
    # A saved classifier must be readable without the data that it came from.
    ("model.bundle", "data.index"),
    ("model.bundle", "data.source"),
]

ONLY = {  # a library that one or two files know
    "timm": {"model.depthwise", "model.mobilenetv2", "model.zoo"},
    "torchvision": {"batches.tones"},
    "openvino": {"model.class_maps", "model.conversion", "model.engine"},
    "cv2": {"batches.preprocess", "data.fingerprint", "data.measures"},
    "datasets": {"data.hub"},
    "fsspec": {"data.remote_store", "storage.bucket", "storage.connection"},
    "google": {"storage.credentials"},
    "h5py": {"model.keras_weights"},
    "matplotlib": {"delivery.figures", "delivery.gallery"},
    "mlflow": {"training.trackers.mlflow"},
    "requests": {"storage.credentials", "storage.deadline", "storage.drive_calls"},
    "tensorboard": {"training.trackers.tensorboard"},
    "threadpoolctl": {"threads"},
    "typer": {"cli"},
    "rich": {"cli"},
    "wandb": {"training.trackers.offline", "training.trackers.wandb"},
}

TORCH_AT_TOP = {  # loaded only where a network is trained, or in a process of their own
    "batches.alteration",
    "batches.colours",
    "batches.feed",
    "batches.mixing",
    "batches.resident",
    "batches.steps",
    "batches.textures",
    "batches.tones",
    "batches.turns",
    "batches.warps",
    "model.cnn",
    "model.cutting",
    "model.depthwise",
    "model.network",
    "model.seeding",
    "training.average",
    "training.capacity",
    "training.checkpoint",
    "training.frozen",
    "training.guard",
    "training.listener",
    "training.loop",
    "training.loss",
    "training.optimizer",
    "training.rate_finder",
    "training.state",
}
"""Everything else starts without torch, for the command line and for predictions with a converted network."""

HEAVY = {"torch", "torchvision", "timm", "openvino", "sklearn", "scipy", "matplotlib", "safetensors.torch"}


def module(path: Path) -> str:
    """`data.index` for src/telltale/data/index.py, `data` for its package."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(nodes: list[ast.stmt] | Iterator[ast.AST]) -> set[str]:
    """Names of the modules that these statements import; `from a import b` gives `a` and `a.b`."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def ours(path: Path) -> set[str]:
    """What a file imports of the package, anywhere in it: `data.index`, `data.index.scan`, ..."""
    names = imports(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return {name.removeprefix("telltale.") for name in names if name.startswith("telltale.")}


def inside(name: str, package: str) -> bool:
    """Whether module `name` is `package` or in it."""
    return name == package or name.startswith(f"{package}.")


FILES = [path for path in sorted(SRC.rglob("*.py")) if module(path) not in ("", "__main__")]


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_point_down(path):
    here = module(path)
    for there in sorted(ours(path) - {"__version__"}):
        assert there.split(".")[0] in RANK, f"{here} imports {there}, which no layer has"
        assert RANK[there.split(".")[0]] <= RANK[here.split(".")[0]], f"{here} may not import {there}: a higher layer"
        for user, used in FORBIDDEN:
            assert not (inside(here, user) and inside(there, used)), f"{here} may not import {there}"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_library_is_known_where_it_belongs(path):
    here = module(path)
    for name in sorted(imports(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))):
        homes = ONLY.get(name.split(".")[0])
        assert homes is None or any(inside(here, home) for home in homes), f"{name} is for {homes}, not for {here}"


@pytest.mark.parametrize("path", [path for path in FILES if module(path) not in TORCH_AT_TOP], ids=module)
def test_light_modules_start_without_torch(path):
    at_top = imports(ast.parse(path.read_text(encoding="utf-8")).body)
    heavy = {name for name in at_top if name in HEAVY or name.split(".")[0] in HEAVY}
    assert not heavy, f"{module(path)} must start fast: import {sorted(heavy)} in the function that needs it"
    loads_torch = {name for name in at_top if name.removeprefix("telltale.") in TORCH_AT_TOP}
    assert not loads_torch, f"{module(path)} must start fast, but {sorted(loads_torch)} import torch"


def test_data_and_preprocess_never_import_torch():
    for path in FILES:
        if inside(module(path), "data") or module(path) == "batches.preprocess":
            names = imports(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            assert not {name.split(".")[0] for name in names} & {"torch", "torchvision"}, module(path)


def test_imports_make_no_circle():
    files = {module(path): path for path in FILES}
    uses = {here: {there for there in ours(path) if there in files and there != here} for here, path in files.items()}
    while True:
        used = set().union(*uses.values())
        loose = {here for here, others in uses.items() if not others & uses.keys() or here not in used}
        if not loose:
            break
        uses = {here: others for here, others in uses.items() if here not in loose}
    assert not uses, f"a circle among {sorted(uses)}"
