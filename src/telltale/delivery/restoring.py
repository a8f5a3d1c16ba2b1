"""Runs come back from their mirrors: the one that is named, or the ones that the same command began."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from telltale.data.download import is_url
from telltale.data.source import Columns
from telltale.delivery.resuming import ELSEWHERE, Origin, describe_origin, read_origin, resolve_mirrors
from telltale.errors import BundleError, ChangedDataError, RecipeError, UserError
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
    run = fetch_run(holdings, output, tell)
    _tell_elsewhere(run, str(where), holdings[0].root, tell)
    return run


def _tell_elsewhere(run: Run, where: str, root: str, tell: Tell) -> None:
    """Warn where what follows is not sent to the mirror that the run came back from: it may have been moved."""
    place = where.rstrip("/") if root else where.rstrip("/").rpartition("/")[0]
    recipe = run.recipe
    with contextlib.suppress(BundleError):  # without an origin, relative paths are seen from here
        recipe = resolve_mirrors(recipe, read_origin(run).folder)
    known = [one if is_url(one) else os.path.abspath(one) for one in recipe.mirrors]
    if (place if is_url(place) else os.path.abspath(place)) not in [one.rstrip("/") for one in known]:
        others = " and ".join(run.recipe.mirrors) or "nowhere"
        tell(Note(f"What follows is sent to {others}, not to {place}: --mirror {place} changes that.", warning=True))


def fetch_run(holdings: Sequence[Holding], output: str | Path | None, tell: Tell) -> Run:
    """The run that these mirrors hold, in a folder on this machine, as new as the newest of all.

    What one mirror cannot give, another may; `BundleError` where none gives anything whole.
    """
    failures = []
    with _folder_for(holdings[0], output) as folder, locked(folder):
        for holding in sorted(holdings, key=lambda one: one.epochs, reverse=True):
            try:
                restore(holding, folder, tell)
            except BundleError as error:
                failures.append(error)
                tell(Note(error.given, warning=True))
        if len(failures) == len(holdings):
            raise failures[0]
        return Run(folder)


@contextlib.contextmanager
def fetched_run(holdings: Sequence[Holding], output: str | Path | None, tell: Tell) -> Iterator[Run]:
    """Inside the block what `fetch_run` gives; a new folder is gone again where its pictures turn out to be others.

    A new training may then have the place that was meant for it.
    """
    here = {path.parent.resolve() for path in _known_runs(output)}
    run = fetch_run(holdings, output, tell)
    try:
        yield run
    except ChangedDataError:
        if run.folder.resolve() not in here:
            shutil.rmtree(run.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                run.folder.parent.rmdir()  # only where it holds nothing else
        raise


def _known_runs(output: str | Path | None) -> list[Path]:
    """The file that says which training it is, of each run that may be the wanted one."""
    folders = [Path(output)] if output is not None else sorted(Path("runs").glob("*"))
    return [folder / IDENTITY for folder in folders if (folder / IDENTITY).is_file()]


@contextlib.contextmanager
def _folder_for(holding: Holding, output: str | Path | None) -> Iterator[Path]:
    """Where the run lies or is to lie here; a folder that is made for it is gone again if nothing comes."""
    for path in _known_runs(output):
        with contextlib.suppress(BundleError):  # a damaged run of others is no reason to stop
            if Run(path.parent).id == holding.id:
                yield path.parent
                return
    folder = create_folder("runs", holding.name, output)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def find_same(places: Sequence[Place], source: str | Path, columns: Columns, recipe: Recipe) -> list[list[Holding]]:
    """What the mirrors hold of trainings that the same command began, furthest first; together what is one training."""
    wanted = describe_origin(source, columns)
    found = [one for place in places for one in list_holdings(place) if one.starts]
    same = dict[str, list[Holding]]()
    for holding in found:
        with contextlib.suppress(UserError, TypeError, KeyError), fetch_start(holding) as folder:  # foreign or newer
            if folder is not None and _is_same(folder, wanted, recipe):
                same.setdefault(holding.id, []).append(holding)
    return sorted(same.values(), key=lambda ones: max(max(one.epochs, one.finished) for one in ones), reverse=True)


def _is_same(folder: Path, wanted: Origin, recipe: Recipe) -> bool:
    """Did a training begin with these pictures and settings, but for where it is written down and what was found?"""
    began, origin = Recipe.load(folder / "recipe.toml").resolved, read_origin(Run(folder))
    found = {name: getattr(began, name) for name in ELSEWHERE}
    found |= {"batch_size": began.batch_size} if not recipe.batch_size else {}
    return (origin.source, origin.columns) == (wanted.source, wanted.columns) and replace(recipe, **found) == began


def tell_known(holdings: Sequence[Holding], tell: Tell) -> None:
    """Say that the same command began this training before."""
    furthest = max(holdings, key=lambda one: max(one.epochs, one.finished))
    then = "" if furthest.finished >= furthest.epochs else " It goes on."
    tell(Note(f"{furthest.place.url} holds this training: {furthest}.{then} (Another --seed begins a new one.)"))
