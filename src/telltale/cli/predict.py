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
    heatmaps: Annotated[
        Path | None,
        Option(help="Folder for a picture of each, coloured where it speaks for its class (Grad-CAM)."),
    ] = None,
    json_: Annotated[bool, Option("--json", help="JSON lines on standard output.")] = False,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Name the class of each picture, in the order given.

    Columns: filename, label, prob, status, reason. A picture that cannot be read has status error and its reason.
    """
    with explained(), progress(beside_output=output is None) as tell:
        from telltale.delivery.predictor import FORMATS, predict as answer, write_predictions
        from telltale.model.bundle import load

        classifier = load(model, device=device)
        onlooker = None
        if heatmaps is not None:
            from telltale.delivery.explaining import HeatmapFolder

            onlooker = HeatmapFolder(classifier, heatmaps)
        predictions = answer(classifier, images, onlooker=onlooker, tell=tell)
        if output is not None:
            write_predictions(predictions, output)
            say(f"predictions: {output}")
        else:
            FORMATS["jsonl" if json_ else "csv"](predictions, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        if heatmaps is not None:
            say(f"heat maps: {heatmaps}")
