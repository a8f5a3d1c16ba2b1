"""What a file says about itself before its pixels, and the refusal of files that would cost hours.

The decoders behind `decoding` trust the lists in a file: a JPEG of 40 KB may hold a thousand passes over all of its
pixels, a GIF millions of empty blocks, a TIFF a million strips of one and the same place. Such lists are walked here
first, with a limit on the steps, so that the work per file is bounded by its size and its pixels.
Nothing here reads pixels.
"""

import re
import struct
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from telltale.errors import ImageError

MAX_FRAMES: Final = 1000
"""Frames of an animation or pages of a TIFF are counted up to here: 1000 means that many or more."""

MAX_SCANS: Final = 500
"""Passes over the pixels of one JPEG; encoders make 1 to 20. libjpeg-turbo fuzzes itself with the same limit."""

MAX_SCANNED: Final = 2_000_000_000
"""Passes x pixels of one JPEG: 20 passes over 100 megapixels, about 3 s."""

_MAX_SEGMENTS: Final = 10_000
_MAX_EXIFS: Final = 64  # Pillow joins them one by one: the time grows with their square
_MAX_JUNK: Final = 1_000_000  # Pillow reads it byte by byte, 0.7 s per megabyte
_MAX_CHUNKS: Final = 200_000  # 100 megapixels in the usual pieces of 8 KB are 50,000; 3 microseconds each in Pillow
_MAX_BLOCKS: Final = 1_000_000  # 255 MB of a GIF
_MAX_TAGS: Final = 4096
_MAX_SAMPLES: Final = 6  # Pillow's limit, which it reports to a logger too
_MAX_VALUES: Final = 1_000_000
_MAX_TEXT: Final = 16_000_000
_MAX_TILE: Final = 16_000_000
_NUMBERS: Final = {3: "H", 4: "I", 5: "I", 8: "h", 9: "i", 10: "I", 11: "I", 12: "I", 13: "I", 16: "Q"}
"""How the first value of a TIFF tag is read that is no text; of fractions and floats only their count matters."""

_INNER_PAGES: Final = {34665, 34853, 40965}  # EXIF, GPS, Interoperability: read with the first page
_TURNING_TEXTS: Final = (b"Raw profile type exif", b"XML:com.adobe.xmp", b"exif\0")
"""Keywords of PNG texts in which Pillow looks for an orientation."""

_LUMINANCE: Final = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
"""Annex K of the JPEG standard, which libjpeg scales by the quality."""


def _scaled_sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((int(value) * scale + 50) // 100, 1), 255) for value in _LUMINANCE.split())


_SUMS: Final = [_scaled_sum(quality) for quality in range(100, 0, -1)]
"""Sum of libjpeg's luminance table at quality 100, 99, …, 1: ascending."""

_MARK: Final = re.compile(rb"\xff[^\x00\xff]")
_MARK_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """`quality` 1..100 as libjpeg scales its tables, estimated by their sum; 0 where there is no table.

    `exif`: there is an EXIF segment. `turned`: EXIF or XMP may name an orientation.
    `layered`: the decoder must hold all coefficients, because the picture comes in several passes.
    """

    quality: int = 0
    exif: bool = False
    turned: bool = False
    layered: bool = False


def read_jpeg_header(data: bytes) -> JpegHeader:
    """What stands before the pixels, in 4 microseconds; `ImageError` where there is too much of it, or too many scans.

    >>> read_jpeg_header(b"\\xff\\xd8\\xff\\xe1\\x00\\x08Exif\\0\\0")
    JpegHeader(quality=0, exif=True, turned=True, layered=False)
    """
    place, junk, exifs, quality, frame, turned, last = 2, 0, 0, 0, 0, False, len(data) - 4
    for _ in range(_MAX_SEGMENTS):
        if place > last:
            break
        mark = data[place + 1]
        if data[place] != 0xFF or mark in (0x00, 0xFF):  # as libjpeg, skip what is no mark
            found = _MARK.search(data, place)
            if found is None or found.start() > last:
                break
            junk += found.start() - place
            place, mark = found.start(), data[found.start() + 1]
        if mark == 0x01 or 0xD0 <= mark <= 0xD9:  # these have no length
            place += 2
            continue
        size = data[place + 2] << 8 | data[place + 3]
        if mark == 0xDA:
            _refuse_junk(junk, exifs)
            return JpegHeader(quality, exifs > 0, turned, _has_layers(data, frame, place))
        if mark == 0xE1:
            exifs += data.startswith(b"Exif\0\0", place + 4)
            turned = turned or exifs > 0 or data.find(b"tiff:Orientation", place, place + size) >= 0
        elif mark == 0xDB and not quality:
            quality = _read_quality(data, place + 4, place + 2 + size)
        elif 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            frame = place
        place += 2 + size
    else:
        raise ImageError("broken", f"More than {_MAX_SEGMENTS:,} segments stand before its pixels.")
    _refuse_junk(junk, exifs)
    return JpegHeader(quality, exifs > 0, turned)


def _refuse_junk(junk: int, exifs: int) -> None:
    if junk > _MAX_JUNK:
        raise ImageError("broken", f"{junk:,} bytes that mean nothing stand before its pixels.")
    if exifs > _MAX_EXIFS:
        raise ImageError("broken", f"It has {exifs:,} EXIF segments; one picture has one.")


def _read_quality(data: bytes, place: int, end: int) -> int:
    """Of the luminance table (number 0) among those of one segment; 0 where it is not there.

    Tables of cameras and of other programs are scaled differently; the nearest sum says how coarse they are.
    """
    end = min(end, len(data))
    while place < end:
        wide, number = data[place] >> 4, data[place] & 15
        size = 128 if wide else 64
        if place + size >= end:
            break
        if number == 0:
            total = sum(struct.unpack_from(">64H", data, place + 1) if wide else data[place + 1 : place + 65])
            above = min(bisect_left(_SUMS, total), 99)
            below = max(above - 1, 0)
            return 100 - (below if total - _SUMS[below] < _SUMS[above] - total else above)
        place += 1 + size
    return 0


def _has_layers(data: bytes, frame: int, scan: int) -> bool:
    """Does the picture come in several passes? `ImageError` where they would take longer than seconds.

    A pass over all pixels may need no more than a few bytes: the flaw of the format that libjpeg-turbo's authors call
    LJT-01-003. Only the number of passes can be limited.
    """
    if not frame or max(scan + 4, frame + 9) >= len(data):
        return False
    one_pass = data[frame + 1] & 3 != 2 and data[scan + 4] == data[frame + 9]
    if one_pass:
        return False
    pixels = int.from_bytes(data[frame + 5 : frame + 7], "big") * int.from_bytes(data[frame + 7 : frame + 9], "big")
    most = min(MAX_SCANS, max(20, MAX_SCANNED // max(pixels, 1)))  # more than 100 megapixels are refused anyway
    scans, place = 0, scan
    while place + 4 <= len(data) and data[place + 1] != 0xD9:
        scans += data[place + 1] == 0xDA
        if scans > most:
            raise ImageError("too large", f"It has more than {most} passes over its pixels; encoders make 1 to 20.")
        found = _MARK_AFTER_SCAN.search(data, place + 2 + (data[place + 2] << 8 | data[place + 3]))
        if found is None:
            break
        place = found.start()
    return True


def strip_png(data: bytes) -> bytes:
    """The same PNG without metadata that could fill the memory and say nothing about its pixels.

    Left out are colour profiles, which are not applied, and texts other than those that may hold an orientation.
    `ImageError` where it has more chunks than can be walked through.
    """
    place, kept = 8, 0
    pieces: list[bytes] = []
    for _ in range(_MAX_CHUNKS):
        if place + 8 > len(data):
            return b"".join([*pieces, data[kept:]]) if pieces else data
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind in (b"iCCP", b"tEXt", b"zTXt", b"iTXt") and not (
            size <= _MAX_TEXT and data.startswith(_TURNING_TEXTS, place + 8)
        ):
            pieces.append(data[kept:place])
            kept = place + 12 + size
        place += 12 + size
    raise ImageError("broken", f"The PNG has more than {_MAX_CHUNKS:,} chunks.")


def count_gif_frames(data: bytes) -> int:
    """Frames of a GIF, at most `MAX_FRAMES`; `ImageError` where the first is behind more blocks than can be walked."""
    place, frames, steps = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 128 else 0), 0, 0
    while place + 10 < len(data) and frames < MAX_FRAMES and steps < _MAX_BLOCKS:
        kind, steps = data[place], steps + 1
        if kind == 0x3B:
            break
        if kind == 0x21:
            place += 2
        elif kind == 0x2C:
            place += 11 + (3 << (data[place + 9] & 7) + 1 if data[place + 9] & 128 else 0)
            frames += 1
        else:
            place += 1
            continue
        while place < len(data) and data[place] and steps < _MAX_BLOCKS:
            place += data[place] + 1
            steps += 1
        place += 1
    if steps >= _MAX_BLOCKS and frames <= 1:
        raise ImageError("broken", f"The GIF has more than {_MAX_BLOCKS:,} blocks up to the end of its first frame.")
    return max(frames, 1)


def count_tiff_pages(data: bytes) -> int:
    """Pages of a TIFF, at most `MAX_FRAMES`; `ImageError` where its first page has lists that would take minutes."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    head, entry, link = (order + form for form in (("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")))
    pages: set[int] = set()
    try:
        (place,) = struct.unpack_from(link, data, 8 if big else 4)
        while place and place not in pages and len(pages) < MAX_FRAMES:
            if not pages:
                _check_tiff_page(data, head, entry, place)
            pages.add(place)
            (tags,) = struct.unpack_from(head, data, place)
            (place,) = struct.unpack_from(link, data, place + struct.calcsize(head) + struct.calcsize(entry) * tags)
    except (struct.error, OverflowError):  # cut off: Pillow says whether the first page can be used
        pass
    return max(len(pages), 1)


def _read_tags(data: bytes, head: str, entry: str, place: int) -> dict[int, tuple[int, int]]:
    """How many values each tag of a TIFF page has, and the first of them where one integer stands there.

    Pillow makes a Python object of each value: of a million fractions in 1 s.
    """
    (tags,) = struct.unpack_from(head, data, place)
    if tags > _MAX_TAGS:
        raise ImageError("broken", f"The TIFF says that it has {tags:,} tags.")
    found: dict[int, tuple[int, int]] = {}
    total = 0
    start, size = place + struct.calcsize(head), struct.calcsize(entry)
    for place in range(start, min(start + size * tags, len(data) - size + 1), size):
        tag, kind, count, value = struct.unpack_from(entry, data, place)
        if kind in _NUMBERS:
            total += count
            found.setdefault(tag, (count, struct.unpack_from(entry[0] + _NUMBERS[kind], value + bytes(4))[0]))
        if total > _MAX_VALUES:
            raise ImageError("broken", f"The TIFF says that the values up to its tag {tag} are {total:,}.")
    return found


def _check_tiff_page(data: bytes, head: str, entry: str, place: int) -> None:
    """Pillow decodes strips that lie over each other one by one, and takes memory for a tile of any size."""
    tags = _read_tags(data, head, entry, place)
    count, samples = tags.get(277, (1, 1))
    if count > 1 or samples > _MAX_SAMPLES:
        words = f"{count:,} x {samples:,} samples per pixel; at most {_MAX_SAMPLES} are decoded"
        raise ImageError("broken", f"The TIFF says that it has {words}.")
    columns, rows = tags.get(256, (0, 0))[1], tags.get(257, (0, 0))[1]
    wide, high = tags.get(322, (1, columns))[1], tags.get(323, tags.get(278, (1, rows)))[1]
    if 322 in tags and wide * high > _MAX_TILE:
        raise ImageError("broken", f"The TIFF says that it has tiles of {wide:,} x {high:,} pixels.")
    pieces = max(tags.get(273, (0, 0))[0], tags.get(324, (0, 0))[0])
    planes = samples if tags.get(284, (1, 1))[1] == 2 else 1
    covered = pieces * min(wide, columns) * min(high, rows)
    if (wide, high) != (columns, rows) and covered > 4 * columns * rows * planes + _MAX_TILE:
        raise ImageError("broken", f"The TIFF has {pieces:,} strips of {wide:,} x {high:,} pixels, one over the other.")
    for inner in _INNER_PAGES & tags.keys():
        _read_tags(data, head, entry, tags[inner][1])


def read_webp_size(data: bytes) -> tuple[int, int]:
    """Width and height that a WEBP declares; its decoder takes memory for them at once. (0, 0) where there is none."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return 0, 0
