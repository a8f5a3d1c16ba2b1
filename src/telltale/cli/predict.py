"""`telltale predict`."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from telltale.cli.console import explained, progress, say


def predict(
    model: Annotated[Path, Argument(metavar="MODEL", help="Run folder (runs/NAME) or bundle (NAME.telltale).")],
    images: Annotated[list[str], Argument(metavar="IMAGES", help="Pictures, folders of pictures, or archives.")],
    output: Annotated[
        Path | None,
        Option("-o", "--output", help="File to write: .csv, .jsonl or .parquet. [default: CSV on standard output]"),
    ] = None,
    accept_all: Annotated[
        bool, Option("--accept-all", help="Answer, too, where the classifier would say that it does not know.")
    ] = False,
    sets: Annotated[
        bool,
        Option("--sets", help="A further column: the classes that the true one is among, as often as is promised."),
    ] = False,
    heatmaps: Annotated[
        Path | None,
        Option(help="Folder for a picture of each, coloured where it speaks for its class (Grad-CAM)."),
    ] = None,
    json_: Annotated[bool, Option("--json", help="JSON lines on standard output.")] = False,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Name the class of each picture, in the order given.

    Columns: filename, label, prob, status, reason. Where the answer would probably not be right, or the picture is
    unlike those that were learned from, status is unknown and label is empty. A picture that cannot be read has status
    error. The reason stands beside both.
    """
    with explained(), progress(beside_output=output is None) as tell:
        from telltale.delivery.predictor import COLUMNS, FORMATS, SETS, predict as answer, write_predictions
        from telltale.model.bundle import load

        classifier = load(model, device=device)
        onlooker = None
        if heatmaps is not None:
            from telltale.delivery.explaining import HeatmapFolder

            onlooker = HeatmapFolder(classifier, heatmaps)
        predictions = answer(classifier, images, accept_all=accept_all, onlooker=onlooker, tell=tell)
        columns = SETS if sets else COLUMNS
        if output is not None:
            write_predictions(predictions, output, columns=columns)
            say(f"predictions: {output}")
        else:
            FORMATS["jsonl" if json_ else "csv"](predictions, sys.stdout.buffer, columns)
            sys.stdout.buffer.flush()
        if heatmaps is not None:
            say(f"heat maps: {heatmaps}")
