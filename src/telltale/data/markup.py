"""Small pieces of HTML for notebooks: everything is escaped, nothing is loaded, light and dark themes are legible."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from telltale.words import printable

SIDE: Final = 96
"""Pixels of the longer side of a picture."""

_CELL: Final = "text-align:left;padding:2px 12px 2px 0;border-bottom:1px solid rgba(128,128,128,.35);background:none"


class Markup(str):
    """Text that is HTML already."""


def lay_out(title: str, *blocks: Markup) -> str:
    """A title and blocks below it, as one HTML element."""
    head = f'<div style="font-weight:600;margin-bottom:4px">{escape(title)}</div>'
    return f'<div style="color:inherit;max-width:60em">{head}{"".join(blocks)}</div>'


def paragraph(text: str) -> Markup:
    """One paragraph; nothing where the text is empty.

    >>> paragraph("<script>")
    '<p style="margin:4px 0">&lt;script&gt;</p>'
    """
    return Markup(f'<p style="margin:4px 0">{escape(text)}</p>' if text else "")


def lay_table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> Markup:
    """A table; cells that are no `Markup` are escaped."""
    named = "".join(f'<th style="{_CELL}">{escape(cell)}</th>' for cell in head)
    lines = ["".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) for row in rows]
    body = "".join(f'<tr style="background:none">{line}</tr>' for line in ([named] if head else []) + lines)
    return Markup(
        f'<table style="border-collapse:collapse;margin:4px 0;color:inherit;font-size:inherit">{body}</table>'
    )


def embed(pixels: NDArray[np.uint8]) -> Markup:
    """A picture uint8 `[height, width, 3]`, its longer side at most 96 pixels: about 3 kB of text."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return Markup(f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">')


def escape(text: str) -> str:
    """`text` without control characters and with nothing that HTML would understand; `Markup` as it is."""
    return text if isinstance(text, Markup) else html.escape(printable(text))
