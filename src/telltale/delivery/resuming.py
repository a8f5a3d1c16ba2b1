"""What a training needs to go on in its run folder: where its pictures came from, and that they are still the same."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from telltale.data.archive import local_path
from telltale.data.download import is_url
from telltale.data.hub import is_hub
from telltale.data.index import Index
from telltale.data.source import Columns
from telltale.data.splits import Splits
from telltale.errors import BundleError, ChangedDataError, RecipeError, SourceError
from telltale.files import read_json, write_json
from telltale.training.recipe import Recipe
from telltale.training.run import Run

ORIGIN: Final = "source.json"
_VERSION: Final = 1

ELSEWHERE: Final = ("keep", "mirrors", "mirror_wait", "trackers")
"""Settings about where a training is written down, which change nothing about its result."""

CHANGEABLE: Final = ("epochs", "patience", "time", *ELSEWHERE)
"""Settings that a training may go on with another value of: how long and where it is written down, not what."""

PATHS: Final = ("weights", "labels_fix", "start_from")
"""Settings that name a file or folder."""

LATER: Final = "from these weights, once this one is finished: --from RUN"

_COMPARED: Final = {
    "digest": "other bytes",
    "label": "another label",
    "group": "another group",
    "split": "another part",
}
_NAMED: Final = 3


@dataclass(frozen=True)
class Origin:
    """Where the pictures of a run come from, and the folder that relative paths in its recipe start from."""

    source: str
    columns: Columns
    folder: str


def note_origin(run: Run, source: str | Path, columns: Columns, recipe: Recipe) -> None:
    """Write down where the pictures of `run` come from and with which settings it begins."""
    write_json(run.folder / ORIGIN, "source", _VERSION, asdict(describe_origin(source, columns)))
    recipe.save(run.folder / "recipe.toml")


def describe_origin(source: str | Path, columns: Columns) -> Origin:
    """The place of the pictures as it is said from any folder of this machine."""
    elsewhere = is_url(str(source)) or is_hub(str(source))
    return Origin(str(source) if elsewhere else os.path.abspath(local_path(source)), columns, str(Path.cwd()))


def read_origin(run: Run) -> Origin:
    """What `note_origin` wrote; `BundleError` where `train` did not make this folder by itself."""
    if not (run.folder / ORIGIN).is_file():
        fold = (run.folder.parent / ORIGIN).is_file()
        raise BundleError(
            f"{str(run)!r} does not say where its pictures came from.",
            expected="The folder of a whole run." if fold else "A run that telltale train began.",
            do=f"This is one fold of a run: telltale train --resume {run.folder.parent}"
            if fold
            else "A training from Python goes on there: tt.fit(splits, recipe, run=run).",
        )
    content = read_json(run.folder / ORIGIN, "source", _VERSION)
    return Origin(content["source"], Columns(**content["columns"]), content["folder"])


def resolve_paths(recipe: Recipe, folder: str) -> Recipe:
    """`recipe` with the paths of the files that it names as seen from here; it was written in the folder `folder`."""
    if Path.cwd() == Path(folder):
        return recipe
    found: dict[str, Any] = {name: str(Path(folder, getattr(recipe, name))) for name in PATHS if getattr(recipe, name)}
    return replace(recipe, **found)


def resolve_mirrors(recipe: Recipe, folder: str) -> Recipe:
    """`recipe` with its mirrors as seen from here: relative paths of folders were written in the folder `folder`."""
    return replace(recipe, mirrors=tuple(one if is_url(one) else str(Path(folder, one)) for one in recipe.mirrors))


def change_recipe(recipe: Recipe, wanted: Recipe) -> Recipe:
    """`wanted`, where it differs from the `recipe` of the run in length only; else `RecipeError`.

    What `wanted` leaves to be found (precision, batch size) is what was found when the training began.
    """
    if wanted.arithmetic == "auto":
        wanted = replace(wanted, arithmetic=recipe.arithmetic)
    if not wanted.batch_size:
        wanted = replace(wanted, batch_size=recipe.batch_size)
    names = [field.name for field in fields(Recipe) if getattr(recipe, field.name) != getattr(wanted, field.name)]
    for name in names:
        if name not in CHANGEABLE:
            raise RecipeError(
                f"{name} is {getattr(wanted, name)!r}, and this training began with {getattr(recipe, name)!r}.",
                expected=f"The settings of the run; only {', '.join(CHANGEABLE)} may change.",
                do=f"Leave it out, or start a new training; {LATER}.",
            )
    return wanted


FINISHED: Final = "finished.json"
"""Written last of all: the settings of the training whose results lie in the run folder."""


def note_finished(run: Run, recipe: Recipe) -> None:
    """Say that everything in the run folder is what a training by `recipe` leaves."""
    write_json(run.folder / FINISHED, "finished", _VERSION, {"settings": lasting(recipe)})


def is_finished(run: Run, recipe: Recipe) -> bool:
    """Does the run folder hold, whole, what a training by `recipe` leaves?"""
    path = run.folder / FINISHED
    try:
        return path.is_file() and read_json(path, "finished", _VERSION).get("settings") == lasting(recipe)
    except BundleError:  # damaged; it is finished anew
        return False


def lasting(recipe: Recipe) -> dict[str, Any]:
    """The settings that make a difference to the result, as JSON gives them back."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return {name: value for name, value in settings.items() if name not in ELSEWHERE}


def load_splits(run: Run, index: Index) -> Splits | None:
    """The split of `run`; None where it was not made yet."""
    path = run.folder / "splits.arrow"
    return Splits.load(path, index) if path.is_file() else None


@contextlib.contextmanager
def explain_place(run: Run) -> Iterator[None]:
    """Where the pictures of `run` are not where they were, the error says how to name their new place."""
    try:
        yield
    except SourceError as error:
        elsewhere = f"If the pictures lie elsewhere now: telltale train NEW_PLACE --resume {run}"
        raise SourceError(error.given, expected=error.expected, do=f"{error.do} {elsewhere}") from error


def check_length(run: Run, recipe: Recipe) -> None:
    """Raise `RecipeError` where more epochs are done than `recipe` asks for."""
    folds = [Run(path.parent) for path in run.folder.glob("fold-*/results.csv")]
    done = max((int(row["epoch"]) for one in (run, *folds) for row in one.history), default=0)
    if recipe.how != "probe" and done > recipe.epochs:
        raise RecipeError(
            f"epochs is {recipe.epochs}, and {done} are done in {str(run)!r}.",
            expected="At least as many as are done: what was learned is not taken back.",
            do=f"Give more, such as --epochs {done + 10}, or leave it out.",
        )


def check_same(run: Run, index: Index) -> None:
    """Raise `ChangedDataError` where the pictures or labels are not those that `run` began with."""
    path = run.folder / "index.arrow"
    if not path.is_file():
        return
    saved = Index.load(path)
    names = ["path", *_COMPARED]
    if saved.table.select(names).equals(index.table.select(names)):
        return
    raise ChangedDataError(
        f"The pictures are not those that {str(run)!r} began with: {_describe(saved, index)}.",
        expected="The same files with the same labels: then the result is what it would have been without the stop.",
        do=f"Put the data back as they were, or start a new training; {LATER}.",
    )


def _describe(saved: Index, index: Index) -> str:
    """How two indexes differ, in words with examples."""
    names = ["path", *_COMPARED]
    before, now = ({row["path"]: row for row in one.table.select(names).to_pylist()} for one in (saved, index))
    found = [_count("new", sorted(now.keys() - before.keys())), _count("gone", sorted(before.keys() - now.keys()))]
    both = sorted(before.keys() & now.keys())
    for name, words in _COMPARED.items():
        found.append(_count(f"with {words}", [path for path in both if before[path][name] != now[path][name]]))
    return "; ".join(text for text in found if text) or "their order is another"


def _count(what: str, paths: Iterable[str]) -> str:
    """How many pictures, with the names of a few.

    >>> _count("new", ["a.jpg", "b.jpg"])
    '2 new (a.jpg, b.jpg)'
    """
    listed = list(paths)
    more = " …" if len(listed) > _NAMED else ""
    return f"{len(listed):,} {what} ({', '.join(listed[:_NAMED])}{more})" if listed else ""
