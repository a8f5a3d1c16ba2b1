"""`prove_resume`: a training that is killed and goes on, compared with one that was left alone, on one's own data."""

import itertools
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from telltale.data.source import Columns
from telltale.delivery.answers import ANSWERS
from telltale.delivery.rehearsal import Rehearsal, Task
from telltale.device import choose_device
from telltale.errors import RecipeError
from telltale.progress import Advance, Note, Tell, silent
from telltale.training.fitting import check_learns
from telltale.training.recipe import Recipe
from telltale.training.run import open_run
from telltale.training.store import POINTERS, STATE, find_pointed

if TYPE_CHECKING:
    import torch

LEAST_EPOCHS: Final = 2
"""With one epoch there is no checkpoint to go on from."""

MOST_EPOCHS: Final = 3

WEIGHTS: Final = "model.telltale/model.safetensors"
"""File in a run folder whose tensors are compared, as are those of the checkpoints that `POINTERS` name."""


@dataclass(frozen=True)
class ResumeProof:
    """What came of a proof; `difference` names the first one, and is empty where everything is the same bit for bit."""

    steps: int
    """Batches of the training that was left alone."""
    kills: tuple[int, ...]
    """After which of them the other one was killed."""
    compared: tuple[str, ...]
    difference: str
    seconds: float

    @property
    def equal(self) -> bool:
        """Is everything that was compared the same, bit for bit?"""
        return not self.difference


def prove_resume(
    source: str | Path,
    recipe: Recipe | None = None,
    *,
    columns: Columns | None = None,
    device: str = "auto",
    tell: Tell = silent,
    kills: int = 2,
) -> ResumeProof:
    """Does a training that is killed and goes on give what it gives when it is left alone?

    Trains twice in processes of their own, at most three epochs: once straight on, and once with so many `kills`
    (SIGKILL) after steps that follow from the seed, and `resume` after each. Nothing of it is left behind. Raises
    `RecipeError` for a probe, which has no steps, and what the training raises.
    """
    start = time.perf_counter()
    recipe = (recipe or Recipe()).resolved
    check_learns(recipe, "cannot be killed between two steps")
    device = choose_device(device)
    short = replace(
        recipe, epochs=min(max(recipe.epochs, LEAST_EPOCHS), MOST_EPOCHS), time="", folds=0, mirrors=(), trackers=()
    )
    _announce(recipe, short, device, tell)
    with tempfile.TemporaryDirectory(prefix="telltale-") as place:
        straight, killed = Path(place, "straight"), Path(place, "killed")
        task = Task(str(straight), str(source), asdict(columns or Columns()), asdict(short), device)
        told = [(one.done, time.perf_counter()) for one in _rehearse(task, tell)]
        # With the batch size that was found, where it was to be found: there may be less memory now.
        found = open_run(straight).recipe
        task = replace(task, run=str(killed), settings=asdict(found))
        rng = np.random.default_rng(recipe.seed)
        points = draw_kills(len(told), found.epochs, kills, rng)
        pace = (told[-1][1] - told[0][1]) / len(told)
        fell = list[int]()
        for point, wait in zip(points, rng.random(len(points)) * pace, strict=True):
            fell += _kill(task, [done for done, _ in told], point, wait, tell)
            task = replace(task, resume=True)
        for _ in _rehearse(task, tell):
            pass
        compared, difference = compare_runs(straight, killed)
    return ResumeProof(len(told), tuple(fell), compared, difference, time.perf_counter() - start)


def _announce(recipe: Recipe, short: Recipe, device: str, tell: Tell) -> None:
    longer = f", not the {recipe.epochs} of the recipe" if recipe.epochs != short.epochs else ""
    tell(Note(f"Two trainings of {short.epochs} epochs{longer}: one is left alone, one is killed on the way."))
    if recipe.time:
        tell(Note("The limit of time is left out: it ends a training where the clock says."))
    if device != "cpu":
        tell(Note("On a GPU equality is not promised: it may add numbers in another order each time.", warning=True))


def draw_kills(steps: int, epochs: int, kills: int, rng: np.random.Generator) -> list[int]:
    """After which of `steps` to kill a training of so many `epochs`: at random, the last time after the first epoch.

    >>> draw_kills(30, 3, 2, np.random.default_rng(0))
    [17, 27]
    """
    if steps < 2:
        raise RecipeError(
            f"The training ended after {steps} step: there is none to kill it before.",
            expected="At least two batches.",
            do="Use smaller batches, such as -b 8, or more pictures.",
        )
    last = int(rng.integers(min(steps // epochs + 1, steps - 1), steps))
    others = rng.choice(np.arange(1, last), min(kills - 1, last - 1), replace=False)
    return sorted([*others.tolist(), last])


def _rehearse(task: Task, tell: Tell) -> Iterator[Advance]:
    """Train to the end, and tell of it; of a training that goes on only its steps, for the rest was told before."""
    words = "go on to the end" if task.resume else "train straight on"
    with Rehearsal(task, silent if task.resume else tell) as rehearsal:
        for step in rehearsal.steps():
            tell(replace(step, stage=words))
            yield step


def _kill(task: Task, done: list[int], point: int, wait: float, tell: Tell) -> list[int]:
    """Train until step `point` and kill the process `wait` seconds later: after which step that was.

    `done` are the pictures that are behind after each step. Nothing where the training ends before.
    """
    with Rehearsal(task, silent) as rehearsal:
        for step in rehearsal.steps():
            if step.done >= done[point - 1]:
                last = rehearsal.kill(wait) or step
                fell = bisect_left(done, last.done) + 1
                tell(Note(f"Killed after step {fell} of {len(done)}."))
                return [fell]
    return []


def compare_runs(one: Path, other: Path) -> tuple[tuple[str, ...], str]:
    """What was compared of two run folders, in words, and the first difference, empty where there is none."""
    from pyarrow import parquet

    compared = list[str]()
    # There is no best checkpoint where no epoch was better than the start.
    pointed = {f"weights/{name}" for name in POINTERS for run in (one, other) if find_pointed(run / "weights", name)}
    for name in (WEIGHTS, *sorted(pointed)):
        count, difference = _compare_tensors(*(_find_tensors(folder, name) for folder in (one, other)))
        if difference:
            return tuple(compared), f"{name}: {difference}"
        compared.append(f"{count:,} tensors of {name}")
    rows = [(folder / "results.csv").read_text(encoding="utf-8").splitlines() for folder in (one, other)]
    if rows[0] != rows[1]:
        return tuple(compared), f"results.csv: {_first_difference(rows[0], rows[1])}"
    compared.append(f"{len(rows[0]) - 1} rows of results.csv")
    said = [parquet.read_table(folder / ANSWERS) for folder in (one, other)]
    if not said[0].equals(said[1]):
        return tuple(compared), f"{ANSWERS}: other probabilities"
    return (*compared, f"the probabilities of {said[0].num_rows:,} test pictures"), ""


def _find_tensors(folder: Path, name: str) -> Path:
    """The file of a run folder with the tensors of `name`: itself, or what a pointer points to."""
    found = find_pointed((folder / name).parent, (folder / name).name)
    return found / STATE if found else folder / name


def _compare_tensors(one: Path, other: Path) -> tuple[int, str]:
    """How many tensors there are, and the first difference in words."""
    from safetensors.torch import load_file

    if one.is_file() != other.is_file():
        return 0, "it is in one of them only"
    mine, theirs = load_file(one), load_file(other)
    if mine.keys() != theirs.keys():
        return len(mine), f"{sorted(mine.keys() ^ theirs.keys())[0]} is in one of them only"
    for name, value in mine.items():
        # As bytes: -0.0 is not 0.0 here, and what is no number equals itself.
        if value.shape != theirs[name].shape or _bytes(value) != _bytes(theirs[name]):
            return len(mine), f"{name} is another"
    return len(mine), ""


def _bytes(value: "torch.Tensor") -> bytes:
    import torch

    return value.contiguous().flatten().view(dtype=torch.uint8).numpy().tobytes()


def _first_difference(one: list[str], other: list[str]) -> str:
    """The first row that is another, in both forms.

    >>> _first_difference(["epoch", "1"], ["epoch"])
    "row 1 is '1' and nothing"
    """
    pairs = itertools.zip_longest(one, other)
    number, pair = next((number, pair) for number, pair in enumerate(pairs) if pair[0] != pair[1])
    return f"row {number} is " + " and ".join("nothing" if row is None else repr(row) for row in pair)
