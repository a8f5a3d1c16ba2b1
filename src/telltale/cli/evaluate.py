"""`telltale evaluate`."""

from pathlib import Path
from typing import Annotated

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
        Path | None, Option("-o", "--output", help="Folder for evaluation.json and confusion_matrix.png.")
    ] = None,
    image_col: Annotated[str, Option(help="Table: column of the picture's path or id.")] = "",
    label_col: Annotated[str, Option(help="Table: column of the label.")] = "",
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Score a classifier on labelled pictures, with a 95 % interval beside every number."""
    with explained():
        from telltale.cli.results import print_evaluation
        from telltale.data.index import scan
        from telltale.data.source import Columns
        from telltale.data.splits import given_part
        from telltale.evaluation.picture import draw_confusion
        from telltale.evaluation.scoring import evaluate as score
        from telltale.files import make_folder, write_atomic
        from telltale.model.bundle import load

        with progress() as tell:
            classifier = load(model, device=device)
            index = scan(data, Columns(image=image_col, label=label_col), tell=tell)
            evaluation = score(classifier, given_part(index, part), seen=seen, tell=tell)
        if output is not None:
            make_folder(output)
            evaluation.save(output / "evaluation.json")
            write_atomic(output / "confusion_matrix.png", draw_confusion(evaluation))
            say(f"written: {output / 'evaluation.json'}, {output / 'confusion_matrix.png'}")
        print_evaluation(evaluation, json_)
