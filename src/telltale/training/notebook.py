"""A `Run` for notebooks: HTML that loads nothing and is legible on light and dark pages."""

from typing import Final

from telltale.data.markup import Markup, lay_out, lay_table, paragraph
from telltale.errors import UserError
from telltale.evaluation.evaluation import NAMES, Evaluation
from telltale.training.run import Run

RESULTS: Final = {"test": "evaluation.json", "validation": "validation.json"}
"""Parts of the data and the files of a run folder that hold their evaluations."""

MOST_EPOCHS: Final = 12
"""Rows of the history that are shown, the last ones."""


def lay_run(run: Run) -> str:
    """Where the run lies, what it was told, how its epochs went and how good it is; what is not there is left out."""
    return lay_out(f"Run {run.name}", paragraph(str(run.folder)), *_settings(run), *_results(run), *_history(run))


def _settings(run: Run) -> list[Markup]:
    try:
        recipe = run.recipe
    except (UserError, OSError):  # nothing was written yet, or it is damaged: what is whole is shown
        return [paragraph("It has no settings yet.")]
    return [paragraph(f"{recipe.model}, {recipe.how}, seed {recipe.seed}")]


def _results(run: Run) -> list[Markup]:
    found = {}
    for part, name in RESULTS.items():
        try:
            found[part] = Evaluation.load(run.folder / name)
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


def _history(run: Run) -> list[Markup]:
    try:
        rows = run.history
    except (OSError, ValueError):
        return [paragraph("Its results.csv is damaged.")]
    if not rows:
        return []
    shown = rows[-MOST_EPOCHS:]
    cells = [[f"{value:g}" if name == "epoch" else f"{value:.4g}" for name, value in row.items()] for row in shown]
    before = f"{len(rows) - len(shown):,} epochs before." if len(rows) > len(shown) else ""
    return [lay_table(cells, list(shown[0])), paragraph(before)]
