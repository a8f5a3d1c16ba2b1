"""How results look in a terminal and as JSON."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer

from telltale.cli.console import say
from telltale.words import enumerate_words

if TYPE_CHECKING:
    from telltale.delivery.examination import Examination
    from telltale.delivery.outcome import Training
    from telltale.delivery.rate_search import RateSearch
    from telltale.delivery.resume_proof import ResumeProof

FEW_ANSWERS: Final = 0.5
"""Share of the test pictures that is answered, below which it is said how to have more answers."""


def print_training(training: "Training", as_json: bool, *, following: str) -> None:
    """The outcome of a training: JSON on standard output, or words, a table and the command that comes next."""
    run, validation = training.run, training.validation
    if as_json:
        content = {
            "run": str(run),
            "bundle": str(run.bundle),
            "seconds": round(training.seconds, 3),
            "test": training.test.to_dict(),
            "validation": training.validation.to_dict(),
            "mirrors": [asdict(one) for one in training.mirrors],
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return _check_mirrors(training)
    from telltale.evaluation.wording import tabulate

    say()
    typer.echo(tabulate(training.test, "test pictures"))
    say()
    accuracy = validation.metrics["accuracy"]
    say(f"validation accuracy {accuracy} on {validation.images:,} pictures, which chose the settings")
    for hint in _hint(training):
        say(hint)
    say(f"done in {training.seconds:.1f} s: {run}  (report: {run.folder / 'report.html'})")
    for one in training.mirrors:
        say(f"mirror {one}")
    say(f"next: {following}")
    _check_mirrors(training)


def _hint(training: "Training") -> Iterator[str]:
    """What to know about the refusals: on which pictures they were set, and how to have fewer."""
    rule, found = training.classifier.rule, training.test.selective
    source = training.classifier.facts.get("calibration", {}).get("source", "")
    if "which chose" in source:
        yield f"probabilities and refusals were set on {source}: more pictures would keep a part for that"
    if rule is not None and rule.precision and not rule.assured:
        yield f"that {rule.precision:.1%} of the answers are right could not be shown on {rule.pictures:,} pictures"
    if found is not None and rule is not None and rule.precision and found.coverage.value < FEW_ANSWERS:
        yield "more answers: --precision 0.9 when training, or telltale predict --accept-all"


def _check_mirrors(training: "Training") -> None:
    """Exit code 1 where a mirror does not have everything: the training is done, and not everywhere it was to be."""
    if training.lacking:
        places = " and ".join(one.url for one in training.lacking)
        say(f"error: not everything is in {places}; the run folder has it all.")
        say(f"  do: telltale train --resume {shlex.quote(str(training.run))}   (sends what is missing)")
        raise typer.Exit(1)


def print_rate(search: "RateSearch", following: str, as_json: bool) -> None:
    """The rate that a search found: JSON on standard output, or words; `following` is the command to train with it."""
    curve, picture = search.curve, search.folder / "lr_finder.png"
    if as_json:
        content = {"lr": curve.best, "folder": str(search.folder), "seconds": round(search.seconds, 3)}
        typer.echo(json.dumps(content | {"curve": curve.rows}, indent=2, ensure_ascii=False))
        return
    say()
    typer.echo(f"Train with a learning rate of {curve.best:g}: {curve.why}.")
    say(f"done in {search.seconds:.1f} s: {search.folder}  (curve: {picture})")
    say(f"next: {following}")


def print_proof(proof: "ResumeProof", as_json: bool) -> None:
    """What came of a proof: JSON on standard output, or words; exit code 1 where the two trainings differ."""
    if as_json:
        typer.echo(json.dumps({"equal": proof.equal, **asdict(proof)}, indent=2, ensure_ascii=False))
    else:
        say()
        killed = (
            f"killed after {enumerate_words([str(step) for step in proof.kills])} of {proof.steps} steps and resumed"
        )
        verdict = "Equal, bit for bit" if proof.equal else "Not equal"
        typer.echo(f"{verdict}: a training left alone and one {killed}.")
        if proof.compared:
            typer.echo(f"The same in both: {enumerate_words(proof.compared)}.")
        if not proof.equal:
            typer.echo(f"The first difference: {proof.difference}.")
        say(f"done in {proof.seconds:.1f} s; nothing was left behind")
    if not proof.equal:
        raise typer.Exit(1)


def print_examination(examination: "Examination") -> None:
    """How good a classifier is on further pictures, and beside it what its run scored on the test part."""
    from telltale.evaluation.shift_table import tabulate_shift
    from telltale.evaluation.wording import tabulate

    typer.echo(tabulate(examination.evaluation))
    if examination.shift and examination.reference and examination.fresh:
        typer.echo(f"\nBeside the test part of {examination.run}:\n")
        typer.echo(tabulate_shift(examination.shift, (examination.reference, examination.fresh)))
    if examination.notes:
        say()
    for note in examination.notes:
        say(note)
