"""What is found out about each picture, once: its size and format, what its pixels tell, why it cannot be used.

Facts are kept by the SHA-256 of the file's bytes, so that a picture is decoded once, whatever its name.
"""

from dataclasses import fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
import xxhash

from telltale.cache import DigestCache
from telltale.data.decoding import VERSION as DECODER, Picture, decode
from telltale.data.fingerprint import BYTES
from telltale.data.measures import THUMBNAIL, VERSION as MEASURES, Measures, measure
from telltale.errors import ImageError
from telltale.files import cache_folder, sha256

FACTS: Final = pa.schema(
    [
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("orientation", pa.int8()),
        ("frames", pa.int32()),
        ("quality", pa.int16()),
        ("exif", pa.bool_()),
        ("pixels", pa.binary(16)),
        ("brightness", pa.float32()),
        ("contrast", pa.float32()),
        ("low", pa.float32()),
        ("high", pa.float32()),
        ("sharpness", pa.float32()),
        ("colour", pa.float32()),
        ("fingerprint", pa.binary(BYTES)),
        ("error", pa.string()),
        ("detail", pa.string()),
    ]
)
"""Columns that an `Index` has of every picture; all but the last two are null where it cannot be used."""

KEPT: Final = FACTS.append(pa.field("thumbnail", pa.binary(3 * THUMBNAIL * THUMBNAIL)))
"""What the cache keeps: the facts, and a thumbnail that would make an `Index` too large."""


def open_facts() -> DigestCache:
    """The facts kept so far by this version of the decoder."""
    return DigestCache(cache_folder(f"facts/{sha256(f'{DECODER} {MEASURES}'.encode()).hex()[:16]}"), KEPT)


def examine(data: bytes) -> tuple[Picture | None, dict[str, Any]]:
    """The picture in `data` and its row of `KEPT`; no picture, and the reason in the row, where it cannot be used."""
    try:
        picture = decode(data)
    except ImageError as error:
        return None, {"error": error.reason, "detail": error.detail}
    measured = measure(picture.pixels)
    row = {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "mode": picture.mode,
        "orientation": picture.orientation,
        "frames": picture.frames,
        "quality": picture.quality or None,
        "exif": picture.exif,
        "pixels": _hash(picture),
    }
    return picture, row | {field.name: getattr(measured, field.name) for field in fields(Measures)}


def tabulate(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as `examine` gives them as a table of `KEPT`."""
    return pa.Table.from_pylist(rows, schema=KEPT)


def _hash(picture: Picture) -> bytes:
    """XXH3-128 of height, width and pixels."""
    state = xxhash.xxh3_128(np.array(picture.pixels.shape, np.int64).tobytes())
    state.update(picture.pixels.data)
    return bytes(state.digest())
