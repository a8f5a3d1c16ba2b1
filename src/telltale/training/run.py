"""`Run`: the folder of one training, readable by people.

runs/NAME/  run.json  recipe.toml  index.arrow  splits.arrow  results.csv  weights/  model.telltale/  evaluation.json  …
"""

import csv
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from telltale.errors import BundleError
from telltale.files import create_folder, read_json, timestamp, write_atomic, write_json
from telltale.model.bundle import IN_RUN
from telltale.training.events import Listener
from telltale.training.notebook import lay_run
from telltale.training.recipe import Recipe

IDENTITY: Final = "run.json"
"""File in a run folder that says which training it is."""

_VERSION: Final = 1
COLUMNS: Final = ("epoch", "train_loss", "val_loss", "val_accuracy", "lr")


@dataclass(frozen=True)
class Run:
    """The folder of one training, and where things lie in it."""

    folder: Path
    started: float = field(default_factory=time.perf_counter, compare=False, repr=False)
    """`time.perf_counter()` when the work on it began: a limit of time counts from here."""
    listeners: tuple[Listener, ...] = field(default=(), compare=False, repr=False)
    """Who hears what happens while a network is trained in it."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stay the same when the training goes on, also on another machine."""
        path = self.folder / IDENTITY
        if not path.is_file():
            identify(self, secrets.token_hex(4))
        found = str(read_json(path, "run", _VERSION).get("id"))
        if not re.fullmatch(r"[0-9a-f]{8}", found):
            raise BundleError(
                f"{str(path)!r} says that the run is {found!r}.",
                expected="An id of eight hexadecimal digits.",
                do="Copy the file back from a mirror, or remove it, and the run gets a new id.",
            )
        return found

    @property
    def label(self) -> str:
        """The name that it began with and its id: what it is called in a mirror, wherever it goes on.

        Letters, digits, `.`, `_` and `-` only.
        """
        id_ = self.id
        name = str(read_json(self.folder / IDENTITY, "run", _VERSION).get("name"))
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name).strip('.')[:100] or 'run'}-{id_}"

    @property
    def bundle(self) -> Path:
        """The trained classifier."""
        return self.folder / IN_RUN

    @property
    def weights(self) -> Path:
        """Checkpoints, and which of them is the `last` and which the `best` one."""
        return self.folder / "weights"

    @property
    def recipe(self) -> Recipe:
        """The settings of this training."""
        return Recipe.load(self.folder / "recipe.toml")

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch: epoch, train_loss, val_loss, val_accuracy, lr."""
        path = self.folder / "results.csv"
        if not path.is_file():
            return []
        with open(path, newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

    def rewrite(self, rows: Sequence[dict[str, float]]) -> None:
        """Make these rows, one per epoch, the whole of results.csv, durably."""
        lines = [",".join(COLUMNS), *(",".join(_number(one[name]) for name in COLUMNS) for one in rows)]
        write_atomic(self.folder / "results.csv", "\n".join(lines) + "\n")

    def __str__(self) -> str:
        return str(self.folder)

    def _repr_html_(self) -> str:
        return lay_run(self.folder, self.history)


def create_run(name: str, output: str | Path | None = None) -> Run:
    """A new run folder: `output` where given (it must not hold anything), else `runs/NAME`, `runs/NAME-2`, …"""
    run = Run(create_folder("runs", name, output))
    identify(run, secrets.token_hex(4))
    return run


def identify(run: Run, id_: str, *, name: str = "") -> None:
    """Write down which training this is, and the `name` that it began with (default: that of its folder)."""
    write_json(run.folder / IDENTITY, "run", _VERSION, {"id": id_, "name": name or run.name, "begun": timestamp()})


def open_run(path: str | Path) -> Run:
    """The run in a folder; `BundleError` where there is none."""
    folder = Path(path)
    if not (folder / "recipe.toml").is_file():
        raise BundleError(
            f"{str(folder)!r} is not a run folder.",
            expected="A folder with recipe.toml, as `telltale train` writes it.",
            do="Check the path.",
        )
    return Run(folder)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
