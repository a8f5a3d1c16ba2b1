"""`telltale evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from telltale.cli.console import explained, progress, say


def evaluate(
    model: Annotated[Path, Argument(metavar="MODEL", help="Run folder (runs/NAME) or bundle (NAME.telltale).")],
    data: Annotated[str, Argument(metavar="DATA", help="Labelled pictures: folder, table, archive, or URL of one.")],
    part: Annotated[str, Option(help="Only this part of the data: train, validation or test. [default: all]")] = "",
    seen: Annotated[
        str, Option(help="Pictures it has learned from: refuse, mark (score, and say so) or skip.")
    ] = "refuse",
    output: Annotated[
        Path | None,
        Option("-o", "--output", help="Folder for evaluation.json, confusion_matrix.png, and the comparison."),
    ] = None,
    image_col: Annotated[str, Option(help="Table: column of the picture's path or id.")] = "",
    label_col: Annotated[str, Option(help="Table: column of the label.")] = "",
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Score a classifier on labelled pictures, and compare them with the test part of its run."""
    with explained():
        from telltale.cli.results import print_examination
        from telltale.data.index import scan
        from telltale.data.source import Columns
        from telltale.data.splits import given_part
        from telltale.delivery.examination import examine, find_run
        from telltale.delivery.shift_page import save_examination
        from telltale.model.bundle import load

        with progress() as tell:
            classifier = load(model, device=device)
            index = given_part(scan(data, Columns(image=image_col, label=label_col), tell=tell), part)
            examination = examine(classifier, index, run=find_run(model), seen=seen, tell=tell)
            written = save_examination(examination, output, tell=tell) if output is not None else []
        if json_:
            typer.echo(json.dumps(examination.to_dict(), indent=2, ensure_ascii=False))
        else:
            print_examination(examination)
        if written:
            say(f"written: {', '.join(map(str, written))}")
