"""The command line: one file per command, each parses, calls one verb and prints."""

from typing import Annotated

import typer

from telltale.cli.compare import compare
from telltale.cli.demo import demo
from telltale.cli.doctor import doctor
from telltale.cli.evaluate import evaluate
from telltale.cli.inspect import inspect
from telltale.cli.models import models
from telltale.cli.predict import predict
from telltale.cli.runs import runs
from telltale.cli.train import train

app = typer.Typer(
    name="telltale",
    help="From a folder of pictures to a classifier that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, inspect, train, evaluate, compare, predict, runs, models, doctor):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        from telltale import __version__

        typer.echo(f"telltale {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of pictures to a classifier that can be trusted."""


def main() -> None:
    """The console script."""
    app()
