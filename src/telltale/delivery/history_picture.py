"""Loss and accuracy over the epochs of a training as a PNG, drawn with Pillow like the confusion matrix."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from telltale.delivery.chart import ticks
from telltale.delivery.fine_canvas import FineCanvas
from telltale.evaluation.picture import FAINT, INK, LINE, RAMP, Colour

SIZE: Final = (980, 460)
_TOP, _BOTTOM = 132, 56
_PANELS: Final = ((72, 472), (556, 956))

_Row: TypeAlias = Mapping[str, float]

# Dark orange and dark blue: told apart by colour-blind eyes, and on grey paper by the dashes.
_STYLES: Final[dict[str, tuple[str, Colour, bool]]] = {
    "train": ("training", (191, 91, 23), True),
    "val": ("validation", RAMP[4], False),
}


def draw_history(history: Sequence[_Row]) -> bytes:
    """PNG of `history` (`Run.history`): the loss at the left, the accuracy at the right, the epoch with the least
    validation loss marked.

    Empty where fewer than two epochs have numbers, as after a probe.
    """
    rows = [row for row in history if math.isfinite(row.get("val_loss", math.nan))]
    if len(rows) < 2:
        return b""
    canvas = FineCanvas(SIZE)
    best = min(rows, key=lambda row: row["val_loss"])
    left = _PANELS[0][0] - 40
    canvas.write((left, 26), f"Least validation loss in epoch {best['epoch']:.0f} of {rows[-1]['epoch']:.0f}", 24)
    canvas.write((left, 64), f"{best['val_loss']:.3f}, with {100 * best['val_accuracy']:.1f} % right.", 15, FAINT)
    _draw_panel(canvas, _PANELS[0], "loss", rows, best)
    _draw_panel(canvas, _PANELS[1], "accuracy", rows, best)
    return canvas.to_png()


def _draw_panel(canvas: FineCanvas, sides: tuple[int, int], figure: str, rows: Sequence[_Row], best: _Row) -> None:
    lines = {f"{part}_{figure}": style for part, style in _STYLES.items() if f"{part}_{figure}" in rows[0]}
    known = [row[name] for row in rows for name in lines if math.isfinite(row[name])]
    heights, epochs = ticks(min(known), max(known)), [row["epoch"] for row in rows]
    if figure == "accuracy":  # all the same: the room around it must not pass what there is
        heights = [height for height in heights if 0 <= height <= 1]

    def place(epoch: float, value: float) -> tuple[float, float]:
        across = (epoch - epochs[0]) / max(epochs[-1] - epochs[0], 1e-9)
        up = (value - heights[0]) / max(heights[-1] - heights[0], 1e-9)
        return sides[0] + across * (sides[1] - sides[0]), SIZE[1] - _BOTTOM - up * (SIZE[1] - _TOP - _BOTTOM)

    canvas.write((sides[0] - 40, _TOP - 14), figure, 15, INK, anchor="ls")
    for height in heights:
        y = place(epochs[0], height)[1]
        canvas.line([(sides[0], y), (sides[1], y)], LINE, 1)
        canvas.write(
            (sides[0] - 10, y), f"{100 * height:g} %" if figure == "accuracy" else f"{height:g}", 13, FAINT, "rm"
        )
    for epoch in ticks(epochs[0], epochs[-1], whole=True):
        x, foot = place(epoch, heights[0])
        canvas.line([(x, foot), (x, foot + 5)], FAINT, 1)
        canvas.write((x, foot + 9), f"{epoch:g}", 13, FAINT, "ma")
    canvas.write((sides[1], SIZE[1] - 24), "epoch", 13, FAINT, "rm")
    canvas.line([place(best["epoch"], heights[0]), place(best["epoch"], heights[-1])], FAINT, 1)
    for number, (name, (words, ink, dashed)) in enumerate(lines.items()):
        places = [place(row["epoch"], row[name]) for row in rows if math.isfinite(row[name])]
        canvas.line(places, ink, 2, dashed=dashed)
        left = sides[1] - 96 * (len(lines) - number)
        canvas.line([(left, _TOP - 20), (left + 22, _TOP - 20)], ink, 2, dashed=dashed)
        canvas.write((left + 28, _TOP - 20), words, 13, INK, "lm")
