"""What the tests of training need: striped pictures in memory, a small network, and trainings that end up in files."""

import contextlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import nn

from telltale.batches.augmentation import parse_augmentation
from telltale.batches.feed import PictureFeed
from telltale.batches.preprocess import Preprocess
from telltale.data.index import scan
from telltale.data.splits import Splits, split
from telltale.files import sha256
from telltale.model.cutting import cut_network, depth_groups, freeze
from telltale.model.features import Extractor
from telltale.model.network import Network
from telltale.model.seeding import seeded
from telltale.progress import silent
from telltale.training.average import Average
from telltale.training.checkpoint import Checkpoint, read_checkpoint
from telltale.training.events import Event
from telltale.training.frozen import _keep_activations
from telltale.training.loop import Lesson, Stopped, train_epochs
from telltale.training.loss import Loss, class_weights
from telltale.training.optimizer import build_optimizer
from telltale.training.recipe import Recipe
from telltale.training.state import State
from telltale.training.store import POINTERS, STATE, Store, find_pointed

SIDE = 16
RUN = "00c0ffee"
"""Id of the trainings here."""
PREPROCESS = Preprocess(SIDE, "squash", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Stripes:
    """Noisy pictures with a stripe that lies (class 0: two thirds of them) or stands (class 1), as in an `Index`."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.paths = [f"{number}.png" for number in range(count)]
        self.codes = (np.arange(count) % 3 == 2).astype(np.int32)
        self.store = self
        self.files = {}
        for path, code in zip(self.paths, self.codes, strict=True):
            pixels = rng.integers(0, 120, (SIDE, SIDE, 3), np.uint8)
            at = int(rng.integers(2, SIDE - 5))
            pixels[at : at + 4] += 130
            file = io.BytesIO()
            Image.fromarray(pixels if code == 0 else pixels.transpose(1, 0, 2)).save(file, "PNG")
            self.files[path] = file.getvalue()

    @cached_property
    def table(self) -> pa.Table:
        return pa.table({"digest": pa.array([sha256(self.files[path]) for path in self.paths], pa.binary(32))})

    def read(self, path: str) -> bytes:
        return self.files[path]


TRAINING, VALIDATION = Stripes(24, seed=0), Stripes(12, seed=1)


class Small(nn.Sequential):
    """Two convolutions with norms and dropout: `[n, 3, s, s]` to `[n, 12]`."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
            nn.Conv2d(8, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.num_features = 12


@dataclass
class Training:
    """One training of `Small` on stripes: every object of it is new."""

    state: State
    lesson: Lesson
    store: Store | None = None

    def run(self, **changes: Any) -> list[Event]:
        """Its events, to the end; `changes` are fields of the lesson."""
        return list(train_epochs(self.state, replace(self.lesson, **changes), self.store))


@pytest.fixture(scope="session")
def read_pointed() -> Callable[[Path, str], Checkpoint]:
    """`read_pointed(folder, "last")`: the checkpoint in a folder that a pointer points to."""
    return _read_pointed


def _read_pointed(folder: Path, pointer: str) -> Checkpoint:
    found = find_pointed(folder, pointer)
    assert found, f"no {pointer} in {folder}"
    return read_checkpoint(found / STATE)


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, object]]:
    """`contents(folder)`: everything in the newest and the best checkpoint but the time that it took."""
    return _contents


def _contents(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for pointer in POINTERS:
        if find_pointed(folder, pointer) is None:
            continue
        checkpoint = _read_pointed(folder, pointer)
        found[pointer] = {name: value for name, value in checkpoint.facts.items() if name != "seconds"}
        found |= {f"{pointer}/{name}": value.numpy().tobytes() for name, value in checkpoint.tensors.items()}
    return found


@pytest.fixture(scope="session")
def begin() -> Callable[..., Training]:
    """`begin(recipe, folder)`: a training by `recipe`, from where `folder` was left where there is one."""
    return _begin


def _begin(
    recipe: Recipe,
    folder: Path | None = None,
    *,
    features: Callable[[], nn.Module] = Small,
    pictures: Stripes = TRAINING,
    validation: Stripes = VALIDATION,
) -> Training:
    recipe = replace(recipe, lr=recipe.lr or 0.01).resolved
    with seeded(recipe.seed):
        outputs = 1 if recipe.output == "sigmoid" else 2
        network = Network(features(), outputs, dropout=recipe.dropout).to(memory_format=torch.channels_last)
    frozen = freeze(network, recipe.freeze)
    groups = [*depth_groups(network.features), list(network.head.named_parameters())]
    augmentation = parse_augmentation(recipe.augment)
    feeds = [
        PictureFeed(
            pictures,
            PREPROCESS,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            augmentation=augmentation if augmentation.terms else None,
            balanced=recipe.balance == "sampling",
        ),
        PictureFeed(validation, PREPROCESS, batch_size=recipe.batch_size),
    ]
    forward: nn.Module = network
    if recipe.freeze:
        forward, feeds = _keep(network, recipe, feeds)
    state = State(
        network, build_optimizer(groups, recipe), Average(network, recipe.ema) if recipe.ema else None, frozen
    )
    weights = torch.from_numpy(class_weights(pictures.codes, 2)) if recipe.balance == "weights" else None
    precision = "bf16" if recipe.arithmetic == "bf16" else "f32"
    lesson = Lesson(forward, *feeds, Loss(smoothing=recipe.label_smoothing, weights=weights), recipe, precision)
    store = Store(folder, RUN) if folder else None
    mark = store.newest(print) if store else None
    if store and mark:
        state.load(read_checkpoint(store.path(mark) / STATE))
    return Training(state, lesson, store)


def _keep(network: Network, recipe: Recipe, feeds: list[PictureFeed]) -> tuple[nn.Module, list[Any]]:
    """The network above its frozen layers, and feeds of what those give."""
    found = cut_network(network, recipe.freeze, torch.rand(2, 3, SIDE, SIDE))
    forward, *kept = _keep_activations(found, *feeds, copies=recipe.views or 1, tell=silent)
    return forward, kept


@pytest.fixture(scope="session")
def stop_and_go() -> Callable[..., Training]:
    """`stop_and_go(recipe, folder, stops)`: a training that is stopped so often, and gone on with from its files.

    A stop is `("stop", n)`, where it is asked for the n-th time whether to stop (after each change of the weights and
    after each epoch), or `("kill", n)`: behind its n-th event nothing more happens, as after `kill -9`.
    """

    def run(recipe: Recipe, folder: Path, stops: Iterable[tuple[str, int]] = (), **options: Any) -> Training:
        for kind, count in [*stops, ("", 0)]:
            training = _begin(recipe, folder, **options)
            asked = itertools.count(1)
            lesson = replace(training.lesson, wants_stop=partial(_is_time, asked, count if kind == "stop" else 0))
            events = train_epochs(training.state, lesson, training.store)
            with contextlib.suppress(Stopped):
                for _ in itertools.islice(events, count) if kind == "kill" else events:
                    pass
            events.close()
        return training

    return run


def _is_time(asked: Iterator[int], count: int) -> bool:
    return next(asked) == count


@pytest.fixture
def splits(pictures: Path) -> Splits:
    """What `draw_pictures` draws, split."""
    return split(scan(pictures))


@pytest.fixture
def extractor(backbone: Any) -> Extractor:
    """The smallest network of timm in f32."""
    return Extractor(backbone, Preprocess(backbone.architecture.size, "crop", backbone.mean, backbone.std), "f32")


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers as small as these take 20 times as long where two threads wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
