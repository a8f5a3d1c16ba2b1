"""`Run`: the folder of one training, readable by people.

runs/NAME/  recipe.toml  index.arrow  splits.arrow  results.csv  weights/  model.telltale/  evaluation.json  …
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from telltale.errors import BundleError
from telltale.files import create_folder, write_atomic
from telltale.model.bundle import IN_RUN
from telltale.training.recipe import Recipe

COLUMNS: Final = ("epoch", "train_loss", "val_loss", "val_accuracy", "lr")


@dataclass(frozen=True)
class Run:
    """The folder of one training, and where things lie in it."""

    folder: Path
    started: float = field(default_factory=time.perf_counter, compare=False, repr=False)
    """`time.perf_counter()` when the work on it began: a limit of time counts from here."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    @property
    def bundle(self) -> Path:
        """The trained classifier."""
        return self.folder / IN_RUN

    @property
    def weights(self) -> Path:
        """Checkpoints: `last` and `best`."""
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


def create_run(name: str, output: str | Path | None = None) -> Run:
    """A new run folder: `output` where given (it must not hold anything), else `runs/NAME`, `runs/NAME-2`, …"""
    return Run(create_folder("runs", name, output))


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
