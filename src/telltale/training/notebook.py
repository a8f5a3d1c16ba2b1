"""A `Run` for notebooks: HTML that loads nothing and is legible on light and dark pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from telltale.data.markup import Markup, lay_out, lay_table, paragraph
from telltale.errors import UserError
from telltale.evaluation.evaluation import NAMES, Evaluation
from telltale.training.recipe import Recipe

RESULTS: Final = {"test": "evaluation.json", "validation": "validation.json"}
"""Parts of the data and the files of a run folder that hold their evaluations."""

MOST_EPOCHS: Final = 12
"""Rows of the history that are shown, the last ones."""


def lay_run(folder: Path, history: Sequence[dict[str, float]]) -> str:
    """Where the run lies, what it was told, how good it is and how its epochs went; what is not there is left out."""
    return lay_out(
        f"Run {folder.name}", paragraph(str(folder)), *_settings(folder), *_results(folder), *_history(history)
    )


def _settings(folder: Path) -> list[Markup]:
    try:
        recipe = Recipe.load(folder / "recipe.toml")
    except (UserError, OSError):  # nothing was written yet, or it is damaged: what is whole is shown
        return [paragraph("It has no settings yet.")]
    return [paragraph(f"{recipe.model}, {recipe.how}, seed {recipe.seed}")]


def _results(folder: Path) -> list[Markup]:
    found = {}
    for part, name in RESULTS.items():
        try:
            found[part] = Evaluation.load(folder / name)
        except UserError:
            continue
    if not found:
        return [paragraph("It is not evaluated yet.")]
    head = ["", *(f"{part}, {one.images:,} pictures" for part, one in found.items())]
    names = [name for name in NAMES if any(name in one.metrics for one in found.values())]
    return [lay_table([[NAMES[name], *(_cell(one, name) for one in found.values())] for name in names], head)]


def _cell(evaluation: Evaluation, name: str) -> str:
    one = evaluation.metrics.get(name)
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" if one else ""


def _history(rows: Sequence[dict[str, float]]) -> list[Markup]:
    if not rows:
        return []
    shown = rows[-MOST_EPOCHS:]
    cells = [[f"{value:g}" if name == "epoch" else f"{value:.4g}" for name, value in row.items()] for row in shown]
    before = f"{len(rows) - len(shown):,} epochs before." if len(rows) > len(shown) else ""
    return [lay_table(cells, list(shown[0])), paragraph(before)]
