"""`telltale doctor`."""

import json
from dataclasses import asdict
from typing import Annotated, Final

import typer
from typer import Option

from telltale.cli.console import explained, say

SIGNS: Final = {"ok": "ok", "note": "--", "problem": "!!"}


def doctor(
    mirror: Annotated[
        list[str] | None,
        Option(metavar="PLACE", help="Write, read and delete a small file in this mirror; may be repeated."),
    ] = None,
    json_: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Say what would work on this machine: versions, devices, disk, cache, extras, credentials, mirrors.

    Exit code 1 where there is a problem.
    """
    with explained():
        from telltale.delivery.doctor import examine

        checks = []
        for check in examine(mirror or []):
            checks.append(check)
            if not json_:
                do = f"  ({check.do})" if check.do else ""
                typer.echo(f"{SIGNS[check.state]}  {check.name}: {check.text}{do}")
        if json_:
            typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
        problems = sum(check.state == "problem" for check in checks)
        say()
        say(f"{problems} problem{'s' * (problems != 1)}." if problems else "No problems. (-- : not there, not needed)")
        if problems:
            raise typer.Exit(1)
