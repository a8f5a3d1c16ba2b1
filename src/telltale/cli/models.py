"""`telltale models`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from telltale.cli.console import explained, say

if TYPE_CHECKING:
    from telltale.training.recipes import NamedRecipe


def models(
    pattern: Annotated[str, Argument(metavar="PATTERN", help="Part of a name, or a pattern with * and ?.")] = "*",
    pretrained: Annotated[bool, Option("--pretrained", help="Only networks with pretrained weights.")] = False,
    recipes: Annotated[bool, Option("--recipes", help="The named recipes that --recipe takes, not networks.")] = False,
    json_: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the networks that --model takes, or the recipes that --recipe takes."""
    with explained():
        if recipes:
            if pretrained:
                say("warning: --pretrained has no effect on recipes: it is for networks.")
            return _print_recipes(pattern, json_)
        from telltale.model.zoo import list_models

        names = list_models(pattern, pretrained=pretrained)
        if json_:
            return typer.echo(json.dumps(names))
        for name in names:
            typer.echo(name)
        say(f"{len(names):,} networks match {pattern!r}.{'' if names else ' telltale models lists them all.'}")


def _print_recipes(pattern: str, json_: bool) -> None:
    from telltale.training.recipes import list_recipes

    found = list_recipes(pattern)
    if json_:
        typer.echo(json.dumps([recipe.to_dict() for recipe in found], ensure_ascii=False))
        return
    if found:
        typer.echo("\n\n".join(map(_describe, found)))
    following = "next: telltale train DATA --recipe NAME" if found else "telltale models --recipes lists them all."
    say(f"{len(found)} recipes match {pattern!r}. {following}")


def _describe(recipe: "NamedRecipe") -> str:
    """A few lines about one recipe."""
    lines = [f"{recipe.name}: {recipe.title}", f"  data    {recipe.data}", f"  expect  {recipe.expect}"]
    lines += [f"  source  {recipe.source}", f"  there   {recipe.expect.reported}"]
    return "\n".join([*lines, *(f"  also    {one}" for one in recipe.also)])
