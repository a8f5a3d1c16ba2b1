"""`search_rate`: from a source to a folder that says which learning rate to train with."""

import csv
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from telltale.data.source import Columns, open_source
from telltale.delivery.first_look import adopt_start, prepare_network, scan_with
from telltale.delivery.partition import divide, find_copies, tell_data
from telltale.delivery.rate_picture import draw_rates
from telltale.device import choose_device
from telltale.errors import RecipeError
from telltale.files import fresh_folder, write_atomic
from telltale.progress import Note, Tell, silent
from telltale.training.fitting import check_learns, check_recipe
from telltale.training.network import prepare
from telltale.training.recipe import Recipe

if TYPE_CHECKING:
    from telltale.training.rate_finder import RateCurve

LITTLE: Final = 0.05
"""A loss below this, 0.95 for the right class on average, hardly falls further."""


@dataclass(frozen=True)
class RateSearch:
    """The loss at each rate that was tried and the rate to use; `folder` holds lr_finder.csv and lr_finder.png."""

    curve: "RateCurve"
    folder: Path
    seconds: float


def search_rate(
    source: str | Path,
    recipe: Recipe | None = None,
    *,
    columns: Columns | None = None,
    output: str | Path | None = None,
    device: str = "auto",
    tell: Tell = silent,
) -> RateSearch:
    """Find a learning rate for the training that `train` would do with the same arguments, in 100 of its steps.

    Network, pictures and loss are those of that training; only pictures to learn from are shown, and the weights are
    thrown away. `output` is the new folder (default `rates/NAME`). Raises `RecipeError` for a probe, which has no rate.
    """
    start = time.perf_counter()
    recipe = adopt_start((recipe or Recipe()).resolved, tell)
    check_learns(recipe, "has no learning rate to find")
    device = choose_device(device)
    with prepare_network(recipe) as pending:
        opened = open_source(source, columns or Columns(), tell=tell)
        check_recipe(recipe, len(opened.classes))
        with fresh_folder("rates", opened.name, output) as folder:
            from telltale.training.listener import explain_memory
            from telltale.training.rate_finder import find_rate

            index, extractor = scan_with(opened, recipe, pending, device=device, tell=tell)
            duplicates = find_copies(index, recipe, extractor, tell)
            tell_data(index, duplicates, tell)
            splits = divide(index, recipe, duplicates, tell)
            _, state, lesson = prepare(splits, recipe, device=device, extractor=extractor, tell=tell)
            with explain_memory():
                curve = find_rate(state, lesson, tell=tell)
            _check_curve(curve, tell)
            write_atomic(folder / "lr_finder.csv", _to_csv(curve))
            write_atomic(folder / "lr_finder.png", draw_rates(curve.rates, curve.losses, curve.best, curve.why))
    return RateSearch(curve, folder, time.perf_counter() - start)


def _check_curve(curve: "RateCurve", tell: Tell) -> None:
    if not curve.rates:
        raise RecipeError(
            "The loss is no finite number before anything was learned.",
            expected="Weights and pictures that give finite numbers.",
            do="Check the file after --weights, or use --fit scratch.",
        )
    if curve.losses[0] < LITTLE:
        words = f"The loss is {curve.losses[0]:.2g} from the start"
        tell(Note(f"{words}: hardly anything is left to learn, and the curve says little.", warning=True))


def _to_csv(curve: "RateCurve") -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["lr", "loss"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve.rows)
    return file.getvalue()
