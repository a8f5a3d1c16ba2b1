"""`telltale runs`."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Argument, Option

from telltale.cli.console import explained, say

if TYPE_CHECKING:
    from telltale.delivery.run_list import RunSummary

WIDEST: Final = 28
"""Columns of the terminal that a name or a network takes at most."""


def runs(
    folder: Annotated[Path, Argument(metavar="FOLDER", help="Folder with run folders, or one of them.")] = Path("runs"),
    sort: Annotated[str, Option(help="time (newest first), accuracy, loss, epochs or name.")] = "time",
    json_: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List trainings: when, what, how far, how good, and whether their mirrors have everything.

    Also those that were stopped, that still run, or whose files are damaged.
    """
    with explained():
        from telltale.delivery.run_list import list_runs

        found = list_runs(folder, sort=sort)
        if json_:
            typer.echo(json.dumps([_to_dict(run) for run in found], indent=2, ensure_ascii=False))
            return
        _print(found)
        say(f"{len(found)} run{'s' * (len(found) != 1)} in {str(folder)!r}.")
        if sort == "accuracy" and sum(run.test_accuracy is not None for run in found) > 1:
            say(
                "warning: the test accuracy of a run that was chosen by it is too good. `telltale compare RUN RUN` says"
            )
            say("  whether a difference may be chance; score the chosen one on pictures that no run has seen.")
        stopped = next((run.folder for run in found if run.state == "stopped"), None)
        if stopped:
            say(f"next: telltale train --resume {shlex.quote(str(stopped))}   (goes on with one that was stopped)")


def _to_dict(run: "RunSummary") -> dict[str, Any]:
    return {"name": run.name, **asdict(run), "folder": str(run.folder)}


def _print(found: list["RunSummary"]) -> None:
    """Columns as wide as what is in them; the last two are not filled up."""
    from telltale.delivery.run_list import tabulate_runs
    from telltale.words import columns, fit, shorten

    if not found:
        return
    lines = [[shorten(cell, WIDEST) for cell in line[:8]] + line[8:] for line in tabulate_runs(found)]
    widths = [max(columns(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        filled = [fit(cell, width) for cell, width in zip(line, widths, strict=True)]
        typer.echo("  ".join(filled).rstrip())
