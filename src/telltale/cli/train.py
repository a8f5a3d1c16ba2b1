"""`telltale train`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument, Option

from telltale.cli.console import explained, progress, say
from telltale.progress import Note

if TYPE_CHECKING:
    from telltale.training.recipe import Recipe

SCRATCH_ONLY: Final = ("epochs", "batch_size", "lr", "patience")
"""Flags that a probe has no use for."""


def train(
    data: Annotated[
        str,
        Argument(
            metavar="DATA",
            help="Folder, table (.csv .tsv .jsonl .parquet), archive (.zip .tar .tar.gz), or URL of one.",
        ),
    ],
    model: Annotated[
        str | None, Option(help="Network: a name of `telltale models`, or cnn. [default: mobilenetv2_100]")
    ] = None,
    fit: Annotated[
        str | None,
        Option(help="probe: frozen network, new head. scratch: random weights. [default: probe; scratch for cnn]"),
    ] = None,
    weights: Annotated[
        str | None, Option(help="Pretrained weights, .safetensors or .pth. [default: TELLTALE_WEIGHTS, then the hub]")
    ] = None,
    output: Annotated[Path | None, Option(help="Run folder. [default: runs/NAME]")] = None,
    recipe: Annotated[Path | None, Option(help="Settings from a recipe.toml; flags come after it.")] = None,
    epochs: Annotated[int | None, Option(help="Scratch: passes over the training pictures, at most.")] = None,
    batch_size: Annotated[int | None, Option("-b", "--batch-size", help="Scratch: pictures per step.")] = None,
    img_size: Annotated[
        int | None, Option(help="Height and width of the input. [default: what the network was made for]")
    ] = None,
    lr: Annotated[float | None, Option(help="Scratch: largest learning rate.")] = None,
    patience: Annotated[
        int | None, Option(help="Scratch: stop after so many epochs without improvement; 0: never.")
    ] = None,
    seed: Annotated[int | None, Option(help="Seed of split, weights and order. [default: 0]")] = None,
    val_split: Annotated[
        float | None, Option(help="Share for validation where the source names none. [default: 0.15]")
    ] = None,
    test_split: Annotated[
        float | None, Option(help="Share for the test where the source names none. [default: 0.15]")
    ] = None,
    folds: Annotated[
        int | None, Option(help="Cross-validation: train so many times, so that every picture is tested once.")
    ] = None,
    fix_leaks: Annotated[
        bool | None,
        Option("--fix-leaks", help="Move copies of earlier pictures out of the source's validation and test parts."),
    ] = None,
    labels_fix: Annotated[
        str | None, Option(help="Corrected labels: the CSV that `telltale inspect --model` wrote, edited by you.")
    ] = None,
    image_col: Annotated[str, Option(help="Table: column of the picture's path or id.")] = "",
    label_col: Annotated[str, Option(help="Table: column of the label.")] = "",
    split_col: Annotated[str, Option(help="Table: column of train, validation or test.")] = "",
    group_col: Annotated[str, Option(help="Table: column of what must stay together (patient, scene, burst).")] = "",
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    set_: Annotated[
        list[str] | None, Option("--set", metavar="NAME=VALUE", help="Any other setting of the recipe.")
    ] = None,
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train a classifier and say how good it is on pictures it has never seen.

    Looks at the pictures, splits them, trains, evaluates, and leaves everything in a run folder: the classifier
    (model.telltale), the settings, the split, evaluation.json and report.html.
    """
    flags = {
        "model": model, "fit": fit, "weights": weights, "epochs": epochs, "batch_size": batch_size,
        "img_size": img_size, "lr": lr, "patience": patience, "seed": seed, "val_split": val_split,
        "test_split": test_split, "folds": folds, "fix_leaks": fix_leaks, "labels_fix": labels_fix,
    }  # fmt: skip
    with explained():
        from telltale.cli.results import print_training
        from telltale.data.source import Columns
        from telltale.delivery.pipeline import train as train_on

        settings = read_recipe(recipe, flags, set_ or [])
        columns = Columns(image=image_col, label=label_col, split=split_col, group=group_col)
        with progress() as tell:
            for names, why in _without_effect(settings):
                for name in (name for name in names if flags[name] is not None):
                    tell(Note(f"--{name.replace('_', '-')} has no effect {why}.", warning=True))
            training = train_on(data, settings, columns=columns, output=output, device=device, tell=tell)
        print_training(training, json_)
        if not json_:
            say(f"next: telltale predict {training.run} PHOTO.jpg")


def _without_effect(settings: "Recipe") -> Iterator[tuple[tuple[str, ...], str]]:
    """Flags that this recipe has no use for, and why."""
    if settings.how == "probe":
        yield SCRATCH_ONLY, "on a probe: it is for --fit scratch"
    if settings.folds:
        yield ("test_split", "fix_leaks"), "on a cross-validation: the source's own split does not count"


def read_recipe(path: Path | None, flags: Mapping[str, object], settings: list[str]) -> "Recipe":
    """The recipe of a file (or the default one) with flags and `--set` texts put over it."""
    from dataclasses import replace

    from telltale.errors import RecipeError
    from telltale.training.recipe import Recipe

    pairs = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign:
            raise RecipeError(
                f"--set {text!r} has no '='.", expected="--set NAME=VALUE.", do="Write for example --set flip=no."
            )
        pairs[name.strip()] = value.strip()
    base = Recipe.load(path) if path else Recipe()
    given = {name: value for name, value in flags.items() if value is not None}
    return replace(base, **given).with_settings(pairs)  # type: ignore[arg-type]
