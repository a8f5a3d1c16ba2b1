"""`list_runs`: the trainings below a folder, each as a few figures, also those that were stopped or are damaged.

Files are read as they are, without a recipe or a network: a list must be there at once, and must not end at the first
folder that some other version wrote.
"""

import csv
import json
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from telltale.errors import BundleError
from telltale.evaluation.metrics import Interval
from telltale.registry import Registry

SORTS: Final = Registry[tuple[str, bool]](
    "column to sort by",
    {
        "accuracy": ("accuracy", True),
        "epochs": ("epochs", True),
        "loss": ("val_loss", False),
        "name": ("name", False),
        "time": ("begun", True),
    },
)
"""Name to the figure of a `RunSummary`, and whether the largest comes first."""

SIGNS: Final = ("run.json", "recipe.toml", "results.csv")
"""A folder with one of these is a run."""


@dataclass(frozen=True)
class RunSummary:
    """One training: which, how far, how good."""

    folder: Path
    state: str = "begun"
    """`finished`, `running` in another process, `trained` (a classifier, not evaluated here), `stopped`, `begun` (no
    epoch is done), or `damaged`."""
    begun: str = ""
    """When, in UTC; empty where nothing says so."""
    model: str = ""
    fit: str = ""
    epochs: int = 0
    """Epochs that are done, in all folds together where there are some."""
    epochs_asked: int = 0
    val_accuracy: float | None = None
    """Of the epoch with the least validation loss."""
    val_loss: float | None = None
    test_accuracy: Interval | None = None
    mirrors: str = ""
    """`whole` where all have everything, `behind` where something is missing, `away` where one failed; empty: none."""
    error: str = ""
    """What is wrong with its files, as a sentence."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.absolute().name

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the test part where it was scored, else on the validation part."""
        return self.test_accuracy.value if self.test_accuracy else self.val_accuracy


def list_runs(folder: str | Path = "runs", *, sort: str = "time") -> list[RunSummary]:
    """The runs right below `folder`, newest first, or by another column of `SORTS`; `folder` may be a run itself.

    Folders that are no runs are left out. Raises `BundleError` where there is no such folder.
    """
    column, largest = SORTS[sort]
    place = Path(folder)
    if not place.is_dir():
        raise BundleError(
            f"There is no folder {str(place)!r}.",
            expected="A folder with runs, as `telltale train` makes it.",
            do="Check the path, or train: telltale train DATA.",
        )
    folders = [place] if _is_run(place) else [one for one in _children(place) if _is_run(one)]
    runs = sorted(map(read_summary, folders), key=lambda run: run.name)
    known = [run for run in runs if getattr(run, column) not in (None, "")]
    known.sort(key=lambda run: getattr(run, column), reverse=largest)
    return known + [run for run in runs if getattr(run, column) in (None, "")]


def read_summary(folder: Path) -> RunSummary:
    """What the files of one run say; what is wrong with them stands in `error`."""
    errors = list[str]()
    settings = _read(folder / "recipe.toml", errors)
    facts = {name: _read(folder / f"{name}.json", errors) for name in ("run", "fit", "evaluation", "finished")}
    tables = [one for one in (folder, *sorted(folder.glob("fold-*"))) if (one / "results.csv").is_file()]
    histories = [_read_history(one / "results.csv", errors) for one in tables]
    best = min((row for rows in histories for row in rows), key=lambda row: row["val_loss"], default=None)
    folds = settings.get("folds")
    summary = RunSummary(
        folder,
        begun=str(facts["run"].get("begun") or facts["fit"].get("trained") or ""),
        model=str(settings.get("model", "")),
        fit=str(settings.get("fit", "")),
        epochs=sum(int(max((row["epoch"] for row in rows), default=0)) for rows in histories),
        epochs_asked=_count(settings.get("epochs")) * max(1, _count(folds)),
        val_accuracy=best["val_accuracy"] if best else None,
        val_loss=best["val_loss"] if best else None,
        test_accuracy=_read_accuracy(facts["evaluation"], errors),
        mirrors=_judge_mirrors(_read(folder / "mirrors.json", errors)),
        error=" ".join(errors),
    )
    return replace(summary, state=_find_state(summary, settings, facts["finished"], facts["fit"]))


def _children(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SIGNS)


def _read(path: Path, errors: list[str]) -> dict[str, Any]:
    """The content of a TOML or JSON file; empty where it is not there, or cannot be read, which `errors` then says."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        errors.append(f"{path.name} cannot be read ({type(error).__name__}).")
        return {}
    if not isinstance(content, dict):
        errors.append(f"{path.name} holds something else.")
        return {}
    return content


def _read_history(path: Path, errors: list[str]) -> list[dict[str, float]]:
    """The rows of results.csv whose figures are numbers."""
    names, rows = ("epoch", "val_loss", "val_accuracy"), list[dict[str, float]]()
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = {name: float(row[name]) for name in names}
                if all(map(math.isfinite, values.values())):
                    rows.append(values)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        errors.append(f"{path.name} is damaged ({type(error).__name__}).")
    return rows


def _read_accuracy(evaluation: Mapping[str, Any], errors: list[str]) -> Interval | None:
    if not evaluation:
        return None
    try:
        found = evaluation["metrics"]["accuracy"]
        return Interval(*(float(found[name]) for name in ("value", "low", "high")))
    except (KeyError, TypeError, ValueError) as error:
        errors.append(f"evaluation.json is damaged ({type(error).__name__}).")
        return None


def _judge_mirrors(content: Mapping[str, Any]) -> str:
    """One word about all mirrors: that of the worst."""
    mirrors = content.get("mirrors")
    known = [one for one in mirrors if isinstance(one, dict)] if isinstance(mirrors, list) else []
    if any(one.get("error") for one in known):
        return "away"
    if any(one.get("missing") for one in known):
        return "behind"
    return "whole" if known else ""


def _find_state(
    run: RunSummary, settings: Mapping[str, Any], finished: Mapping[str, Any], fit: Mapping[str, Any]
) -> str:
    if run.error:
        return "damaged"
    if _is_locked(run.folder):
        return "running"
    # A training that was extended, and stopped then, has the notes and the classifier of its shorter self.
    asked = finished.get("settings")
    if isinstance(asked, dict) and all(settings.get(name) == value for name, value in asked.items()):
        return "finished"
    found = fit.get("fit")
    learned = found.get("epochs", run.epochs) if isinstance(found, dict) else run.epochs
    if (run.folder / "model.telltale" / "manifest.json").is_file() and learned == run.epochs:
        return "trained"
    return "stopped" if run.epochs or any(run.folder.glob("weights/*/manifest.json")) else "begun"


def _is_locked(folder: Path) -> bool:
    """Does a training work in it? False on Windows and on file systems that know no locks."""
    if os.name == "nt":
        return False
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        # Shared, and let go at once: two lists do not see each other.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def describe_state(run: RunSummary) -> str:
    """The state with what it leaves to say.

    >>> describe_state(RunSummary(Path("runs/pets"), "stopped", epochs=3))
    'stopped after epoch 3'
    """
    if run.state == "damaged":
        return f"damaged: {run.error}"
    return f"stopped after epoch {run.epochs}" if run.state == "stopped" and run.epochs else run.state


def tabulate_runs(runs: Sequence[RunSummary]) -> list[list[str]]:
    """A head and a line of texts for each run; the column of mirrors only where one has some."""
    head = ["name", "begun (UTC)", "network", "fit", "epochs", "val acc", "val loss", "test accuracy", "state"]
    mirrored = any(run.mirrors for run in runs)
    lines = [head + ["mirrors"] * mirrored]
    for run in runs:
        figures = [_format(run.val_accuracy), _format(run.val_loss)]
        epochs = f"{run.epochs}/{run.epochs_asked or '?'}"
        line = [run.name, run.begun[:16].replace("T", " "), run.model, run.fit, epochs, *figures]
        line += [str(run.test_accuracy or ""), describe_state(run)]
        lines.append(line + [run.mirrors] * mirrored)
    return lines


def _format(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.3f}"
