"""`telltale demo`."""

import tempfile
from pathlib import Path
from typing import Annotated

from typer import Option

from telltale.cli.console import explained, progress
from telltale.progress import Note


def demo(
    output: Annotated[Path | None, Option(help="Run folder. [default: runs/demo]")] = None,
    seed: Annotated[int, Option(help="Seed of the pictures and of the training.")] = 0,
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Do the main job on built-in pictures, offline: inspect, train a small network, evaluate, report."""
    with explained():
        from telltale.cli.results import print_training
        from telltale.data.samples import draw_samples
        from telltale.delivery.inspection_pipeline import inspect_source
        from telltale.delivery.pipeline import train
        from telltale.training.recipe import Recipe

        with progress() as tell, tempfile.TemporaryDirectory() as folder:
            samples = draw_samples(Path(folder) / "demo", seed=seed)
            tell(Note("Pictures drawn by the program, with faults planted: broken files, copies, wrong labels."))
            inspection = inspect_source(samples.folder, tell=tell)
            tell(Note(f"Looked at first: {inspection.verdict} More in {inspection.report}."))
            training = train(samples.folder, Recipe(model="cnn", img_size=48, seed=seed), output=output, tell=tell)
        print_training(training, json_, following="telltale train YOUR_FOLDER   (one folder of pictures per class)")
