"""How results look in a terminal and as JSON."""

import json
from typing import TYPE_CHECKING

import typer

from telltale.cli.console import say

if TYPE_CHECKING:
    from telltale.delivery.outcome import Training
    from telltale.evaluation.evaluation import Evaluation


def print_training(training: "Training", as_json: bool) -> None:
    """The outcome of a training: JSON on standard output, or words and a table."""
    run, validation = training.run, training.validation
    if as_json:
        content = {
            "run": str(run),
            "bundle": str(run.bundle),
            "seconds": round(training.seconds, 3),
            "test": training.test.to_dict(),
            "validation": training.validation.to_dict(),
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    from telltale.evaluation.evaluation import tabulate

    say()
    typer.echo(tabulate(training.test, "test pictures"))
    say()
    accuracy = validation.metrics["accuracy"]
    say(f"validation accuracy {accuracy} on {validation.images:,} pictures, which chose the settings")
    say(f"done in {training.seconds:.1f} s: {run}  (report: {run.folder / 'report.html'})")


def print_evaluation(evaluation: "Evaluation", as_json: bool) -> None:
    """An evaluation: JSON on standard output, or a table."""
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(str(evaluation))
