"""HTML pages that hold all they show: no network, no script, every text escaped by jinja2."""

import base64
import io
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from telltale.files import write_atomic
from telltale.words import printable

MOST_THUMBNAIL_BYTES: Final = 40_000
"""A larger thumbnail is not embedded."""

MOST_LETTERS: Final = 120
"""Of a path or a name below a picture."""

_TRIES: Final = ((1.0, 80), (1.0, 60), (1.0, 40), (0.7, 40), (0.5, 30))
"""Share of the side and JPEG quality: the next is taken where the thumbnail is still too large."""


def render_page(template: str, values: dict[str, Any]) -> str:
    """The page of a template beside this file, as HTML text; every value is escaped."""
    return _environment().get_template(template).render(values)


def write_page(path: Path, page: str) -> Path:
    """Write HTML text; names of files may hold bytes that are no UTF-8, and they must not stop a report."""
    return write_atomic(Path(path), page.encode("utf-8", "replace"))


def thumbnail(pixels: NDArray[np.uint8], side: int = 160, *, most: int = MOST_THUMBNAIL_BYTES) -> bytes:
    """RGB pixels as a JPEG of at most `side` pixels on the longer side and of `most` bytes.

    A photo at 160 pixels has about 6,000 bytes at quality 80. Noise needs five times as much: its quality, then its
    size is reduced.
    """
    for share, quality in _TRIES:
        image = Image.fromarray(pixels)
        image.thumbnail((max(1, round(side * share)), max(1, round(side * share))))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= most:
            break
    return buffer.getvalue()


def embed_thumbnail(data: bytes | None) -> str:
    """A thumbnail as an address that holds its content; empty where it is none, or something else than a small JPEG."""
    if not data or len(data) > MOST_THUMBNAIL_BYTES or not data.startswith(b"\xff\xd8\xff"):
        return ""
    return data_uri(data, "image/jpeg")


def turn_to_jpeg(picture: bytes, *, quality: int = 85) -> bytes:
    """A picture file as JPEG: a page of photos takes a fifth of what it takes as PNG."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """`data` as an address that holds its own content."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["short"] = lambda name: printable(name, 32)
    environment.filters["long"] = lambda name: printable(name, MOST_LETTERS)
    environment.filters["unbroken"] = lambda words: words.replace(" %", "\N{NO-BREAK SPACE}%")
    return environment


def _read_template(name: str) -> str:
    return resources.files("telltale.delivery").joinpath(name).read_text(encoding="utf-8")
