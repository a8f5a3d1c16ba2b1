"""PBM, PGM and PPM of every depth, as text or as bytes, to RGB pixels.

Pillow reads those that are text, or whose largest value is not 255, in a loop of Python over the samples: 25 megapixels
of 16 bits took it 40 s, and take 0.5 s here. The pixels are the same (tested).
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.errors import ImageError

MAX_TEXT_PIXELS: Final = 4_000_000
"""Largest picture that is read where its samples are written out as text: 12 million numbers, 1 s."""

_MODES: Final = {b"P1": "1", b"P2": "L", b"P3": "RGB", b"P4": "1", b"P5": "L", b"P6": "RGB"}
_NUMBER: Final = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})")
_LONGEST_HEADER: Final = 65_536
_SAMPLE_TEXT: Final = 16  # bytes of text per sample that are looked at: five digits and a generous gap
_STRIP: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class NetpbmHeader:
    """`kind` is P1 … P6; `mode` is Pillow's name of the colour mode, `I` for grey of more than 8 bits.

    `largest` is the value of white; the samples begin at `place`.
    """

    kind: bytes
    width: int
    height: int
    largest: int
    place: int

    @property
    def bands(self) -> int:
        return 3 if self.kind in (b"P3", b"P6") else 1

    @property
    def mode(self) -> str:
        return "I" if self.bands == 1 and self.largest > 255 else _MODES[self.kind]


def is_netpbm(data: bytes) -> bool:
    """Does the file begin as one of the six kinds?"""
    return data[:2] in _MODES and data[2:3].isspace()


def read_netpbm_header(data: bytes) -> NetpbmHeader:
    """What stands before the samples; `ImageError` where it is damaged.

    >>> read_netpbm_header(b"P5 # from a scanner\\n640 480 255\\n").width
    640
    """
    numbers: list[int] = []
    place = 2
    for _ in range(2 if data[:2] in (b"P1", b"P4") else 3):
        found = _NUMBER.match(data, place, _LONGEST_HEADER)
        if found is None:
            raise ImageError("broken", "The header of this PPM has no width, height and largest value.")
        numbers.append(int(found[1]))
        place = found.end()
    width, height, largest = (*numbers, 1)[:3]
    if not (width and height and 0 < largest < 65536 and data[place : place + 1].isspace()):
        raise ImageError("broken", f"The header of this PPM says {', '.join(map(str, numbers))}.")
    return NetpbmHeader(data[:2], width, height, largest, place + 1)


def decode_netpbm(data: bytes, header: NetpbmHeader) -> NDArray[np.uint8]:
    """`uint8 [height, width, 3]`, scaled so that the largest value that the header allows is 255.

    >>> data = b"P2 2 1 100 0 50"
    >>> decode_netpbm(data, read_netpbm_header(data)).tolist()
    [[[0, 0, 0], [128, 128, 128]]]
    """
    width, height = header.width, header.height
    samples: NDArray[Any]
    if header.kind == b"P4":
        samples = _read_bytes(data, "u1", header.place, height * ((width + 7) // 8)).reshape(height, -1)
    elif header.kind in (b"P5", b"P6"):
        depth = "u1" if header.largest < 256 else ">u2"
        samples = _read_bytes(data, depth, header.place, height * width * header.bands).reshape(height, width, -1)
    else:
        samples = _read_text(data, header).reshape(height, width, -1)
    table = _scale(header)
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = samples[top : top + rows]
        if header.kind == b"P4":
            strip = np.unpackbits(strip, axis=1, count=width)[..., None]
        pixels[top : top + rows] = strip if table is None else table[strip]
    return pixels


def _scale(header: NetpbmHeader) -> NDArray[np.uint8] | None:
    """From each sample to 8 bits, rounded as Pillow rounds; deep grey over 16 bits. None: the samples are right."""
    if header.mode == "1":
        return np.array([255, 0], np.uint8)  # 1 is black
    if header.largest == 255:
        return None
    values = np.arange(256 if header.largest < 256 else 65536) / header.largest
    if header.mode != "I":
        return np.minimum(np.rint(values * 255), 255).astype(np.uint8)
    return np.rint(np.minimum(np.rint(values * 65535), 65535) / 257).astype(np.uint8)


def _read_bytes(data: bytes, depth: str, place: int, count: int) -> NDArray[Any]:
    kind = np.dtype(depth)
    there = (len(data) - place) // kind.itemsize
    if there < count:
        raise ImageError("truncated", f"The file ends too early ({there:,} of {count:,} samples are there).")
    return np.frombuffer(data, kind, count, place)


def _read_text(data: bytes, header: NetpbmHeader) -> NDArray[Any]:
    """`count` samples that are written out: numbers with gaps, of PBM digits that need none."""
    count, place = header.width * header.height * header.bands, header.place
    if count > 3 * MAX_TEXT_PIXELS:
        raise ImageError("too large", f"The picture is a text of {count:,} samples; {3 * MAX_TEXT_PIXELS:,} are read.")
    text = re.sub(rb"#[^\r\n]*", b"", data[place : place + _SAMPLE_TEXT * count + _LONGEST_HEADER])
    foreign = text.translate(None, b"0123456789 \t\n\r\v\f")
    if foreign:
        raise ImageError("broken", f"Among its samples stands {foreign[:10]!r}.")
    samples: NDArray[Any]
    if header.kind == b"P1":
        samples = np.frombuffer(text.translate(None, b" \t\n\r\v\f"), np.uint8)[:count] - np.uint8(48)
    else:
        samples = np.fromstring(text, np.int64, sep=" ")[:count] if text.strip() else np.empty(0, np.int64)
    if len(samples) < count:
        raise ImageError("truncated", f"The file ends too early ({len(samples):,} of {count:,} samples are there).")
    if samples.size and samples.max() > header.largest:
        raise ImageError(
            "broken", f"It has a sample of {samples.max():,}, and says that {header.largest:,} is the largest."
        )
    return samples
