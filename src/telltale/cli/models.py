"""`telltale models`."""

import json
from typing import Annotated

import typer
from typer import Argument, Option

from telltale.cli.console import explained, say


def models(
    pattern: Annotated[str, Argument(metavar="PATTERN", help="Part of a name, or a pattern with * and ?.")] = "*",
    pretrained: Annotated[bool, Option("--pretrained", help="Only networks with pretrained weights.")] = False,
    json_: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the networks that --model takes."""
    with explained():
        from telltale.model.zoo import list_models

        names = list_models(pattern, pretrained=pretrained)
        typer.echo(json.dumps(names) if json_ else "\n".join(names))
        if not json_:
            say(f"{len(names):,} networks match {pattern!r}.")
