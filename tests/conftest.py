"""What several test files need: small pictures, the command line, and the real photos where they are."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from telltale.model.backbone import Backbone
    from telltale.model.classifier import Classifier

NETWORK = "test_efficientnet"
"""The smallest of timm's networks for tests: 99,196 parameters."""

SIDE = 64
"""Input size of `NETWORK` in the tests."""

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40), "yellow": (210, 190, 40)}


PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def draw_pictures(root: Path, seed: int = 0) -> Path:
    """40 pictures in four class folders, told apart by their colour, all different; drawn in milliseconds."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(10):
            height, width = (int(side) for side in rng.integers(32, 56, 2))
            pixels = np.clip(rng.normal(colour, 25, (height, width, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}-{number}.png")
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with what `draw_pictures` draws."""
    return draw_pictures(tmp_path / "pictures")


@pytest.fixture
def unseen(tmp_path: Path) -> Path:
    """A folder with other pictures of the same kind."""
    return draw_pictures(tmp_path / "unseen", seed=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """`small_disk("disk", "2m")`: a folder of this name in `tmp_path` that is a file system of 2 MB; where one may."""
    mounted = []

    def mount(name: str, size: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only the administrator of a Linux machine may mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def as_an_ordinary_user() -> None:
    """Root may write anywhere: take that right from the child."""
    if os.geteuid() == 0:
        for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, right, 0, 0, 0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for TELLTALE_WEIGHTS with `NETWORK`: random weights, batch norms that have seen pictures."""
    import timm
    import torch
    from safetensors.torch import save_file

    from telltale.model.seeding import seeded

    with seeded(0):
        network = timm.create_model(NETWORK, num_classes=0)
        for _ in range(30):
            network.train()(torch.randn(8, 3, 64, 64) + torch.randn(8, 3, 1, 1))
    folder = tmp_path_factory.mktemp("weights")
    save_file(network.state_dict(), folder / f"{NETWORK}.safetensors")
    return folder


@pytest.fixture(scope="session")
def backbone(weights: Path) -> "Backbone":
    """`NETWORK` for pictures of `SIDE` pixels, converted once for all tests."""
    from telltale.model.backbone import request_backbone

    return request_backbone(NETWORK, weights=str(weights / f"{NETWORK}.safetensors"), size=SIDE).result()


@pytest.fixture(scope="session")
def classifier(backbone: "Backbone") -> "Classifier":
    """A classifier of the pictures that `draw_pictures` draws."""
    from telltale.batches.preprocess import Preprocess
    from telltale.model.classifier import Classifier
    from telltale.model.features import Extractor
    from telltale.model.head import fit_head

    extractor = Extractor(backbone, Preprocess(SIDE, "crop", backbone.mean, backbone.std), "f32")
    rng = np.random.default_rng(1)
    labels = np.arange(80, dtype=np.int32) % len(COLOURS)
    colours = np.array(list(COLOURS.values()))[labels][:, None, None]
    squares = np.clip(rng.normal(colours, 25, (len(labels), SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    seen = extractor.engine.run(squares)
    train, held = slice(0, 60), slice(60, 80)
    head, _ = fit_head(
        seen[train], labels[train], val_features=seen[held], val_labels=labels[held], classes=len(COLOURS)
    )
    return Classifier(extractor, head, tuple(sorted(COLOURS)), {"source": "drawn"})


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos and weights beside the checkout; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the photos and weights in ../shared, which is not here")
    return folder


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Answer]:
    """Run `telltale` with these arguments in a process of its own, in `tmp_path` unless `cwd` names another folder."""

    def run(*arguments: object, cwd: Path = tmp_path, env: dict[str, str] | None = None, **options: Any) -> Answer:
        return run_telltale(*arguments, cwd=cwd, env=env, **options)

    return run


def run_telltale(*arguments: object, cwd: Path, env: dict[str, str] | None = None, **options: Any) -> Answer:
    """What `telltale` answers to these arguments, in a process of its own; `options` are those of `subprocess.run`."""
    done = subprocess.run(
        [sys.executable, "-m", "telltale", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
        **options,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, weights: Path, backbone: "Backbone") -> Path:
    """The run folder of a probe that the command line trained; what it said lies beside `runs`."""
    root = tmp_path_factory.mktemp("trained")
    draw_pictures(root / "pets")
    flags = ("--model", NETWORK, "--img-size", SIDE, "--json")
    answer = run_telltale("train", "pets", *flags, cwd=root, env={"TELLTALE_WEIGHTS": str(weights)})
    assert answer.code == 0, answer
    (root / "stdout.json").write_text(answer.stdout)
    (root / "stderr.txt").write_text(answer.stderr)
    return root / "runs" / "pets"
