"""Runs come back from their mirrors: the one that is named, or the ones that the same command began."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from telltale.data.download import is_url
from telltale.data.source import Columns
from telltale.delivery.resuming import ELSEWHERE, describe_origin, read_origin
from telltale.errors import BundleError, RecipeError
from telltale.files import create_folder, locked
from telltale.progress import Note, Tell
from telltale.storage.place import Place
from telltale.storage.places import open_place
from telltale.training.holding import Holding, fetch_start, list_holdings, restore
from telltale.training.recipe import Recipe
from telltale.training.run import IDENTITY, Run, open_run

_SHOWN: Final = 5


def bring_back(where: str | Path, output: str | Path | None, tell: Tell) -> Run:
    """The run that `where` names: a run folder, or the only run in a mirror, fetched from there as far as needed.

    It lies in `output` where that is given, else where this run lies below `runs/` already, else in a new folder there.
    Raises `BundleError` where there is no run, or more than one to choose from.
    """
    if not is_url(str(where)) and ((Path(where) / "recipe.toml").is_file() or not Path(where).is_dir()):
        if output is not None:
            raise RecipeError(
                f"--output was given together with --resume {where}, which is a run folder itself.",
                expected="--output with --resume MIRROR only: a run folder is gone on with where it is.",
                do="Leave --output out.",
            )
        return open_run(where)
    place = open_place(str(where))
    holdings = list_holdings(place)
    if not holdings:
        raise BundleError(
            f"{place.url} holds no run.",
            expected="A run folder, or a mirror that a training with --mirror wrote to.",
            do="Check the address.",
        )
    if len(holdings) > 1:
        names = ", ".join(map(str, holdings[:_SHOWN])) + (" …" if len(holdings) > _SHOWN else "")
        raise BundleError(
            f"{place.url} holds {len(holdings)} runs: {names}.",
            expected="One run to go on with.",
            do=f"Name it: --resume {place.url.rstrip('/')}/{holdings[0].root}",
        )
    return fetch_run(holdings[0], output, tell)


def fetch_run(holding: Holding, output: str | Path | None, tell: Tell) -> Run:
    """The run of `holding` in a folder on this machine, as new as the newest of both."""
    with _folder_for(holding, output) as folder, locked(folder):
        return restore(holding, folder, tell)


@contextlib.contextmanager
def _folder_for(holding: Holding, output: str | Path | None) -> Iterator[Path]:
    """Where the run lies or is to lie here; a folder that is made for it is gone again if nothing comes."""
    for path in [Path(output)] if output is not None else sorted(Path("runs").glob("*")):
        if (path / IDENTITY).is_file() and Run(path).id == holding.id:
            yield path
            return
    folder = create_folder("runs", holding.name, output)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def find_same(places: Sequence[Place], source: str | Path, columns: Columns, recipe: Recipe) -> list[Holding]:
    """What the mirrors hold of trainings that the same command began, furthest first."""
    wanted = describe_origin(source, columns)
    found = [one for place in places for one in list_holdings(place) if one.starts]
    same = []
    for holding in found:
        with fetch_start(holding) as folder:
            if folder is None:
                continue
            began, origin = Recipe.load(folder / "recipe.toml").resolved, read_origin(Run(folder))
        if (origin.source, origin.columns) == (wanted.source, wanted.columns) and _is_same(began, recipe):
            same.append(holding)
    return sorted(same, key=lambda one: max(one.epochs, one.finished), reverse=True)


def _is_same(began: Recipe, wanted: Recipe) -> bool:
    """Are these the same settings, but for where the training is written down and for what was found by itself?"""
    found = {name: getattr(began, name) for name in ELSEWHERE}
    found |= {"batch_size": began.batch_size} if not wanted.batch_size else {}
    return replace(wanted, **found) == began


def tell_known(holding: Holding, tell: Tell) -> None:
    """Say that the same command began this training before."""
    then = "" if holding.finished >= holding.epochs else " It goes on."
    tell(Note(f"{holding.place.url} holds this training: {holding}.{then} (Another --seed begins a new one.)"))
