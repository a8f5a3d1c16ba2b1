"""`show`: what is there, what was found, how good it is: as a matplotlib figure, for notebooks."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from telltale.data.findings import Findings
from telltale.data.index import Index
from telltale.delivery.album import draw_album
from telltale.delivery.figures import draw_evaluation, draw_run, draw_runs, draw_search, make_writable, open_matplotlib
from telltale.delivery.run_comparison import RunComparison
from telltale.delivery.search_outcome import Search
from telltale.delivery.selection import Shown, pick_findings, pick_samples
from telltale.errors import DataError, RecipeError
from telltale.evaluation.evaluation import Evaluation
from telltale.training.run import Run
from telltale.words import printable, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES: Final = 1.5
"""Height and width of one picture in the figure; its name below and the title of a row take 0.5 more."""

LETTERS: Final = 20
"""Of the name below a picture, which must not run into the next."""

Lines = Sequence[tuple[str, Sequence[Shown]]]


def show(
    what: Index | Findings | Evaluation | Run | RunComparison | Search,
    *,
    columns: int = 8,
    rows: int = 12,
    seed: int = 0,
    normalised: bool = False,
) -> "Figure":
    """A matplotlib figure: of an `Index` one row of samples per class, of `Findings` one row per check, worst first.

    At most `columns` pictures in each of at most `rows` rows; `seed` draws the samples. Of an `Evaluation` the
    confusion matrix (with `normalised` shares of each row instead of counts) and, where they are known, the reliability
    diagram and accuracy over coverage; of a `Run` loss and accuracy over its epochs; of a comparison of runs or a
    search the figures with their intervals. A notebook displays the figure; elsewhere `figure.savefig(path)` writes it.
    Needs matplotlib: `pip install 'telltale[notebook]'`.
    """
    if isinstance(what, Evaluation):
        return draw_evaluation(what, normalised=normalised)
    if isinstance(what, Run):
        return draw_run(what)
    if isinstance(what, RunComparison):
        return draw_runs(what)
    if isinstance(what, Search):
        return draw_search(what)
    if min(columns, rows) < 1:
        raise RecipeError(
            f"{rows} rows of {columns} pictures were asked for.",
            expected="At least one row of one picture.",
            do="Give other numbers for rows and columns.",
        )
    plot = open_matplotlib()
    if isinstance(what, Findings):
        index, named = what.index, True
        walls = pick_findings(what, columns, without=("unreadable",))[:rows]
        lines: Lines = [(f"{wall.name}: {wall.count:,}", wall.pictures) for wall in walls]
    else:
        index, named = what, False
        lines = list(pick_samples(index, classes=rows, each=columns, seed=seed).items())
    if not lines:
        raise DataError(
            f"There is nothing to show of {index.location!r}.",
            expected="Readable pictures with a label, or findings that have pictures.",
            do="Print it: that says what is there.",
        )
    return _draw(plot, index, lines, named=named)


def _draw(plot: Any, index: Index, lines: Lines, *, named: bool) -> "Figure":
    album = draw_album(index, (one.path for _, pictures in lines for one in pictures))
    columns = max(len(pictures) for _, pictures in lines)
    size = (columns * INCHES, len(lines) * (INCHES + 0.5))
    figure: Figure = plot.figure(figsize=size, layout="constrained")
    clean = make_writable()
    axes = figure.subplots(len(lines), columns, squeeze=False)
    for row, (title, pictures) in zip(axes, lines, strict=True):
        # Names come from outside: a dollar sign is no formula.
        row[0].set_title(clean(printable(title, 60)), loc="left", fontsize=10, parse_math=False)
        for at, axis in enumerate(row):
            axis.set_axis_off()
            if at < len(pictures) and pictures[at].path in album:
                _place(axis, album[pictures[at].path], clean(shorten(pictures[at].path, LETTERS)) if named else "")
    plot.close(figure)  # else a notebook would display it twice, and a loop would keep all figures
    return figure


def _place(axis: "Axes", picture: bytes, name: str) -> None:
    axis.imshow(np.asarray(Image.open(io.BytesIO(picture))))
    axis.text(0.5, -0.04, name, transform=axis.transAxes, ha="center", va="top", fontsize=7, parse_math=False)
