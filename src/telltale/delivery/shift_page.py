"""What `telltale evaluate -o` leaves: the evaluation, and the page that compares it with the test part of the run."""

from pathlib import Path
from typing import Any, Final

from telltale.delivery.album import draw_album
from telltale.delivery.examination import Examination
from telltale.delivery.page import embed_thumbnail, render_page, write_page
from telltale.evaluation.differences import format_value
from telltale.evaluation.evaluation import NAMES, Evaluation
from telltale.evaluation.picture import draw_confusion
from telltale.evaluation.shift import Shift, Telling
from telltale.files import make_folder, timestamp, write_atomic, write_json
from telltale.progress import Tell, silent

TEMPLATE: Final = "shift.html.jinja"

MOST_CLASSES: Final = 50
"""Rows of the table of classes."""

MOST_PICTURES: Final = 12
"""Pictures of each wall."""


def save_examination(examination: Examination, folder: str | Path, *, tell: Tell = silent) -> list[Path]:
    """Write evaluation.json and confusion_matrix.png, and where there is a comparison shift.json and shift.html.

    The paths that were written, in this order.
    """
    folder = make_folder(Path(folder))
    written = [
        examination.evaluation.save(folder / "evaluation.json"),
        write_atomic(folder / "confusion_matrix.png", draw_confusion(examination.evaluation)),
    ]
    if examination.shift is not None:
        content = {name: value for name, value in examination.to_dict().items() if name in _COMPARED}
        written.append(write_json(folder / "shift.json", "shift", 1, content))
        written.append(write_page(folder / "shift.html", render_shift(examination, tell=tell)))
    return written


_COMPARED: Final = ("run", "reference", "fresh", "shift", "notes")


def render_shift(examination: Examination, *, tell: Tell = silent) -> str:
    """The comparison as HTML text that holds all it shows; every name in it is escaped.

    The examination must have a `shift`.
    """
    shift, reference, fresh = examination.shift, examination.reference, examination.fresh
    if shift is None or reference is None or fresh is None:
        raise ValueError("there is no shift to show")
    mistakes, typical = shift.telling[:MOST_PICTURES], shift.typical[:MOST_PICTURES]
    album = draw_album(examination.index, (one.path for one in (*mistakes, *typical)), tell=tell)
    walls: dict[str, list[tuple[Telling, str]]] = {
        name: [(one, embed_thumbnail(album.get(one.path))) for one in ones]
        for name, ones in (("mistakes", mistakes), ("typical", typical))
    }
    values = {
        "title": examination.index.name,
        "run": examination.run.folder.absolute().name if examination.run else "",
        "shift": shift,
        "reference": reference,
        "fresh": fresh,
        "notes": examination.notes,
        "metrics": _metric_rows(shift, reference, fresh),
        "classes": [(one, -one.drop) for one in shift.drops[:MOST_CLASSES]],
        "differences": [
            (one, format_value(one.name, one.reference), format_value(one.name, one.other)) for one in shift.differences
        ],
        "created": timestamp(),
        **walls,
    }
    return render_page(TEMPLATE, values)


def _metric_rows(shift: Shift, reference: Evaluation, fresh: Evaluation) -> list[tuple[Any, ...]]:
    return [
        (NAMES[name], reference.metrics[name], fresh.metrics[name], change) for name, change in shift.changes.items()
    ]
