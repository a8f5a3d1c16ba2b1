"""Bytes of a picture to RGB pixels: one function for training, prediction, export and server.

What comes out is always `uint8 [height, width, 3]`, upright, RGB:

* EXIF orientation is applied (of TIFF by Pillow itself, while it loads the pixels);
* transparency lies over white; palettes are expanded; CMYK and YCCK are converted;
* 16-bit, 32-bit and float pictures are scaled to 8 bits, not clipped (`upright` says how);
* of an animation the first frame counts.

A picture that fails is never half-used: `ImageError` with a reason (`REASONS`), and no pixels. The `Image` object is
dropped after its first exception, because a second `load()` of it would return partial pixels without an error.

Time and memory per file are bounded by its bytes and pixels: what could take minutes is refused before a decoder sees
it (`headers`), what Pillow does in loops of Python is done with numpy (`netpbm`), and large pictures are decoded one at
a time, strip by strip (`upright`). A decoder in C can be stopped only together with its process, and a process of its
own costs 1.2 ms per picture of 365 x 404 pixels, more than decoding it.
"""

import ctypes
import io
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, _imaging

from telltale.data.headers import (
    MAX_FRAMES,
    JpegHeader,
    count_gif_frames,
    count_tiff_pages,
    read_jpeg_header,
    read_webp_size,
    strip_png,
)
from telltale.data.netpbm import decode_netpbm, is_netpbm, read_netpbm_header
from telltale.data.refusals import explain
from telltale.data.upright import make_upright, turn_pixels
from telltale.errors import ImageError

FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")
"""Formats that are opened, by content and not by extension. Formats that run other programs (EPS) or have had memory
errors in rare decoders (PSD, FITS, …) are left out. MPO, two JPEGs in one file, is opened as JPEG."""

ENDING_FORMATS: Final[dict[str, frozenset[str]]] = {
    ending: frozenset(formats.split())
    for endings, formats in {
        ".jpg .jpeg .jpe .jfif .mpo": "JPEG",
        ".png .apng": "PNG",
        ".gif": "GIF",
        ".bmp": "BMP",
        ".webp": "WEBP",
        ".tif .tiff": "TIFF",
        ".avif": "AVIF",
        ".ppm .pgm .pbm": "PPM",
        ".heic .heif": "HEIC AVIF",
    }.items()
    for ending in endings.split()
}
"""Endings that make a file a picture when a folder is listed, and the formats that such a file may have.

What it really is, its content says. An ending that is not here may hold any format.
"""

EXTENSIONS: Final = frozenset(ENDING_FORMATS)

VERSION: Final = f"2 simplejpeg {simplejpeg.__version__} pillow {PIL.__version__}"
"""Of the pixels that `decode` gives: what was computed from them is kept under it. A change of the code that changes a
pixel, or what is refused, raises the first number (a test holds the pixels of drawn pictures)."""

MAX_PIXELS: Final = 100_000_000
"""Largest width x height that is decoded: 100 megapixels, 300 MB of RGB."""

MAX_SIDE: Final = 100_000
"""Largest width or height. Pillow takes 8 bytes for each row, and fails on rows of 100 million pixels."""

MAX_BYTES: Final = 512 * 1024 * 1024
"""Largest file that is read."""

MAX_RUN_LENGTH_PIXELS: Final = 4_000_000
"""Largest BMP in run-length coding: Pillow unpacks it in a loop of Python, 0.4 s per megapixel."""

REASONS: Final = {
    "empty": "the file has no bytes",
    "html": "a web page saved under a picture's name",
    "pointer": "a Git LFS pointer instead of the picture",
    "heic": "a HEIC picture, which is not opened yet",
    "not an image": "not a picture in a format that is opened",
    "truncated": "the file ends too early",
    "broken": "the picture's data are damaged",
    "too large": f"more than {MAX_PIXELS // 10**6} megapixels, {MAX_SIDE:,} pixels a side or {MAX_BYTES // 2**20} MB, "
    "or a file that would take minutes",
    "missing": "the file is not there",
    "unreadable": "the file could not be read",
}
"""Why a picture can be quarantined."""

_ORIENTATION: Final = 0x0112
_EXIF: Final = 0x8769
_MAX_EXIF: Final = 4_000_000
_MODES: Final = {"YCbCr": "RGB", "RGB": "RGB", "Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}
_DAMAGE: Final = ("bad Huffman code", "bad arithmetic code", "instead of RST", "Inconsistent progression")
"""What libjpeg says before it goes on with wrong pixels. Bytes too many, its most frequent warning, do no harm."""

_LARGE: Final = 200_000_000
_LARGE_ONE: Final = threading.Lock()
"""Held while a picture is decoded that needs more bytes than that."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture: `pixels` uint8 `[height, width, 3]`, RGB, upright.

    `width` and `height` are those of `pixels`; `orientation` is the EXIF value that was applied (1: none);
    `mode` is Pillow's name of the file's own colour mode; `frames` is more than 1 for an animation, and 1000 where it
    has that many or more; `quality` is 1..100 for a JPEG with tables, else 0; `exif`: the file has EXIF data.
    """

    pixels: NDArray[np.uint8]
    format: str
    mode: str = "RGB"
    orientation: int = 1
    frames: int = 1
    quality: int = 0
    exif: bool = False

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


class _Quiet:
    """No warnings while any thread is in here, neither from Python nor from libtiff.

    `warnings.catch_warnings` alone is not made for threads: the first one out would turn warnings on for the others,
    and the last one out would leave them off for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()
        self._handlers: list[Any] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
                self._handlers = [choose(None) for choose in _libtiff()]

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)
                for choose, handler in zip(_libtiff(), self._handlers, strict=True):
                    choose(handler)


@cache
def _libtiff() -> tuple[Callable[[Any], Any], ...]:
    """The functions that choose where libtiff's messages go; none where it is linked in without names (Windows).

    libtiff prints on stderr from C, for 292 of 7,171 odd files, and Pillow has no setting for it.
    """
    try:
        library = ctypes.CDLL(_imaging.__file__)
        found = (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler)
    except (OSError, AttributeError):
        return ()
    for choose in found:
        choose.restype, choose.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    return found


_QUIET: Final = _Quiet()


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in `data`, upright and in RGB; `ImageError` with a reason from `REASONS` where there is none.

    >>> decode(b"")
    Traceback (most recent call last):
    telltale.errors.ImageError: The file has no bytes.
    """
    if len(data) > MAX_BYTES:
        raise ImageError("too large", f"The file has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    if data[:3] != b"\xff\xd8\xff":
        return _decode_any(data, max_pixels, JpegHeader())
    header = read_jpeg_header(data)
    return _decode_strictly(data, max_pixels, header) or _decode_any(data, max_pixels, header)


def _refuse_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError("too large", f"The picture has {width} x {height} pixels; at most {max_pixels:,} are decoded.")
    if max(width, height) > MAX_SIDE:
        raise ImageError("too large", f"The picture has {width} x {height} pixels; a side has at most {MAX_SIDE:,}.")


def _room(needed: int) -> AbstractContextManager[object]:
    """Memory for that many bytes, however many threads decode."""
    return _LARGE_ONE if needed > _LARGE else nullcontext()


def _decode_strictly(data: bytes, max_pixels: int, header: JpegHeader) -> Picture | None:
    """A JPEG at libjpeg-turbo's full speed; None where Pillow must look.

    1.5 times as fast as Pillow on photos of 365 x 404 (benchmarks/RESULTS.md#decoding) and bit-equal to it (tested);
    strict: it raises where libjpeg would warn and go on with grey, which Pillow lets pass.
    """
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # KeyError: a subsampling that simplejpeg has no name for
        return None
    _refuse_size(width, height, max_pixels)
    mode = _MODES[colour]
    with _room(width * height * (12 if header.layered or mode == "CMYK" else 3)):
        try:
            pixels = simplejpeg.decode_jpeg(data, colorspace="CMYK" if mode == "CMYK" else "RGB")
            orientation = _read_orientation(data) if header.turned else 1
        except ValueError as error:
            _refuse_damage(error)
            return None
        if mode == "CMYK":
            np.invert(pixels, out=pixels)  # all programs write it so, after Adobe
            pixels = make_upright(Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1), orientation)
        elif orientation != 1:
            pixels = turn_pixels(pixels, orientation)
    return Picture(pixels, "JPEG", mode, orientation, 1, header.quality, header.exif)


def _refuse_damage(error: ValueError) -> None:
    """`ImageError` where libjpeg would make up pixels; else Pillow may have the last word."""
    if "premature end of data" in str(error):
        raise ImageError("truncated", f"A part of the picture is not there ({error}).") from error
    if any(damage in str(error) for damage in _DAMAGE):
        raise ImageError("broken", f"A part of the picture cannot be decoded ({error}).") from error


def _read_orientation(data: bytes) -> int:
    """EXIF or XMP orientation of a JPEG; 1 where there is none. `ValueError` where its header cannot be read."""
    try:
        with _QUIET, Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return _orientation(image)
    except Exception as error:
        raise ValueError(str(error)) from error


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(_ORIENTATION, 1)
    return int(found) if found in range(2, 9) else 1


def _decode_any(data: bytes, max_pixels: int, header: JpegHeader) -> Picture:
    try:
        if is_netpbm(data):
            return _decode_netpbm(data, max_pixels)
        frames = _look_ahead(data, max_pixels)
        kept = strip_png(data) if data[:4] == b"\x89PNG" else data
        # Pillow warns about odd metadata, and about bombs from half of its own limit; ours is checked below.
        with _QUIET, Image.open(io.BytesIO(kept), formats=FORMATS) as image:
            _refuse_size(image.width, image.height, max_pixels)
            if image.width * image.height > MAX_RUN_LENGTH_PIXELS and _is_run_length(image):
                raise ImageError(
                    "too large",
                    f"The picture is a BMP in run-length coding with {image.width} x {image.height} pixels; "
                    f"at most {MAX_RUN_LENGTH_PIXELS:,} are decoded.",
                )
            with _room(12 * image.width * image.height):
                return _load(image, frames, header)
    except (ImageError, MemoryError):
        raise  # too little memory now says nothing about the picture
    except Exception as error:  # of 1,654 broken files 11 % raised something other than OSError in Pillow
        with _QUIET:
            raise explain(data, error) from error


def _decode_netpbm(data: bytes, max_pixels: int) -> Picture:
    header = read_netpbm_header(data)
    _refuse_size(header.width, header.height, max_pixels)
    with _room(12 * header.width * header.height):
        return Picture(decode_netpbm(data, header), "PPM", header.mode)


def _look_ahead(data: bytes, max_pixels: int) -> int:
    """Frames of a GIF or TIFF, 0 where Pillow knows; `ImageError` of what must not be opened at all."""
    if data[:4] == b"GIF8":
        return count_gif_frames(data)
    if data[:2] in (b"II", b"MM"):
        return count_tiff_pages(data)
    if data[:4] == b"RIFF":
        _refuse_size(*read_webp_size(data), max_pixels)
    return 0


def _is_run_length(image: Image.Image) -> bool:
    return any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ()))


def _load(image: Image.Image, frames: int, header: JpegHeader) -> Picture:
    name, mode = image.format or "", image.mode
    frames = min(frames or int(getattr(image, "n_frames", 1)), MAX_FRAMES)
    if len(image.info.get("exif", b"")) > _MAX_EXIF:
        del image.info["exif"]
    # Pillow applies TIFF's orientation while it loads and drops the tag; PNG's may stand behind the pixels.
    applied = _orientation(image) if name == "TIFF" else 1
    exif = header.exif or (name == "TIFF" and _EXIF in image.getexif())
    image.load()
    left = _orientation(image)
    exif = exif or bool(image.info.get("exif") or image.info.get("Raw profile type exif"))
    # The decoders of WEBP and AVIF hold copies of the pixels: 1.2 GB for 100 megapixels.
    vars(image).pop("_decoder", None)
    vars(image)["fp"] = None
    pixels = make_upright(image, left)
    name = "JPEG" if name == "MPO" else name
    return Picture(pixels, name, mode, max(applied, left), frames, header.quality, exif)
