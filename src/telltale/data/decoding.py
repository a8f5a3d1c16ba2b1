"""Bytes of a picture to RGB pixels: one function for training, prediction, export and server.

What comes out is always `uint8 [height, width, 3]`, upright, RGB:

* EXIF orientation is applied (of TIFF by Pillow itself, while it loads the pixels);
* transparency lies over white; palettes are expanded; CMYK and YCCK are converted;
* 16-bit, 32-bit and float pictures are scaled to 8 bits, not clipped (`_to_8_bits` says how);
* of an animation the first frame counts.

A picture that fails is never half-used: `ImageError` with a reason (`REASONS`), and no pixels. The `Image` object is
dropped after its first exception, because a second `load()` of it would return partial pixels without an error.
"""

import io
import struct
import threading
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from telltale.errors import ImageError

FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")
"""Formats that are opened, by content and not by extension. Formats that run other programs (EPS) or have had memory
errors in rare decoders (PSD, FITS, …) are left out. MPO, two JPEGs in one file, is opened as JPEG."""

EXTENSIONS: Final = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .gif .bmp .webp .tif .tiff .avif .ppm .pgm .pbm .mpo .heic .heif".split()
)
"""Endings that make a file a picture when a folder is listed. What the file really is, its content says."""

VERSION: Final = f"1 simplejpeg {simplejpeg.__version__} pillow {PIL.__version__}"
"""Of the pixels that `decode` gives: what was computed from them is kept under it. A change of the code that changes a
pixel raises the first number (a test holds the pixels of drawn pictures)."""

MAX_PIXELS: Final = 100_000_000
"""Largest width x height that is decoded: 100 megapixels, 300 MB of RGB."""

MAX_BYTES: Final = 512 * 1024 * 1024
"""Largest file that is read."""

REASONS: Final = {
    "empty": "the file has no bytes",
    "html": "a web page saved under a picture's name",
    "pointer": "a Git LFS pointer instead of the picture",
    "heic": "a HEIC picture, which is not opened yet",
    "not an image": "not a picture in a format that is opened",
    "truncated": "the file ends too early",
    "broken": "the picture's data are damaged",
    "too large": f"more than {MAX_PIXELS // 10**6} megapixels, or more than {MAX_BYTES // 2**20} MB",
    "missing": "the file is not there",
    "unreadable": "the file could not be read",
}
"""Why a picture can be quarantined."""

_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture with this EXIF orientation upright, as `ImageOps.exif_transpose` has it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture: `pixels` uint8 `[height, width, 3]`, RGB, upright.

    `width` and `height` are those of `pixels`; `orientation` is the EXIF value that was applied (1: none);
    `mode` is Pillow's name of the file's own colour mode; `frames` is more than 1 for an animation.
    """

    pixels: NDArray[np.uint8]
    format: str
    mode: str = "RGB"
    orientation: int = 1
    frames: int = 1

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


class _Quiet:
    """No warnings while any thread is in here.

    `warnings.catch_warnings` alone is not made for threads: the first one out would turn warnings on for the others,
    and the last one out would leave them off for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_QUIET: Final = _Quiet()


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in `data`, upright and in RGB; `ImageError` with a reason from `REASONS` where there is none.

    >>> decode(b"")
    Traceback (most recent call last):
    telltale.errors.ImageError: The file has no bytes.
    """
    if len(data) > MAX_BYTES:
        raise ImageError("too large", f"The file has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    if data[:3] == b"\xff\xd8\xff":
        picture = _decode_plain_jpeg(data, max_pixels)
        if picture is not None:
            return picture
    return _decode_any(data, max_pixels)


def _decode_plain_jpeg(data: bytes, max_pixels: int) -> Picture | None:
    """The common case at libjpeg-turbo's full speed; None where Pillow must look.

    1.5 times as fast as Pillow on photos of 365 x 404 (benchmarks/RESULTS.md#decoding) and bit-equal to it (tested);
    strict: it raises where libjpeg would warn and go on with grey, which Pillow lets pass.
    """
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
        if colour not in ("YCbCr", "Gray") or height * width > max_pixels:
            return None
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
        orientation = _read_orientation(data)
    except ValueError as error:
        if "premature end of data" in str(error):
            raise ImageError("truncated", f"A part of the picture is not there ({error}).") from error
        return None
    if orientation != 1:
        pixels = np.ascontiguousarray(Image.fromarray(pixels).transpose(_TURNS[orientation]))
    return Picture(pixels, "JPEG", "L" if colour == "Gray" else "RGB", orientation)


def _read_orientation(data: bytes) -> int:
    """EXIF or XMP orientation of a JPEG; 1 where there is none. `ValueError` where its header cannot be read."""
    header = _header(data)
    if b"Exif\x00\x00" not in header and b"tiff:Orientation" not in header:
        return 1
    try:
        with _QUIET, Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return _orientation(image)
    except Exception as error:
        raise ValueError(str(error)) from error


def _header(data: bytes) -> bytes:
    """What stands before the pixels of a JPEG, or all of it where a segment is odd.

    To search all of it would take a tenth of the time of decoding.
    """
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and 0xC0 <= data[place + 1] <= 0xFE:
        if data[place + 1] == 0xDA:  # start of scan
            return data[:place]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(_ORIENTATION, 1)
    return int(found) if found in _TURNS else 1


def _decode_any(data: bytes, max_pixels: int) -> Picture:
    try:
        # Pillow warns about odd metadata, and about bombs from half of its own limit; ours is checked below.
        with _QUIET, Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(
                    "too large",
                    f"The picture has {image.width} x {image.height} pixels; at most {max_pixels:,} are decoded.",
                )
            return _load(image)
    except (ImageError, MemoryError):
        raise  # too little memory now says nothing about the picture
    except Exception as error:  # of 1,654 broken files 11 % raised something other than OSError in Pillow
        raise _explain(data, error) from error


def _load(image: Image.Image) -> Picture:
    name, mode, frames = image.format or "", image.mode, int(getattr(image, "n_frames", 1))
    if frames > 1 and image.tell() != 0:
        image.seek(0)
    # Pillow applies TIFF's orientation while it loads and drops the tag; PNG's may stand behind the pixels.
    applied = _orientation(image) if name == "TIFF" else 1
    image.load()
    orientation = max(applied, _orientation(image))
    upright = ImageOps.exif_transpose(image)
    pixels = np.asarray(_to_rgb(upright))
    return Picture(np.ascontiguousarray(pixels), "JPEG" if name == "MPO" else name, mode, orientation, frames)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits to 8 bits.

    16-bit integers are divided by 257 (65535 becomes 255). 32-bit integers that fit 16 bits likewise. Floats within
    [0, 1] are multiplied by 255. Everything else is stretched between its own least and largest value.
    """
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and low >= 0 and high <= 65535:
        values = values / 257
    elif image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    else:
        values = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(values).astype(np.uint8), "L")


def _explain(data: bytes, error: Exception) -> ImageError:
    """Name the kind of a file that Pillow could not read."""
    head = data[:512].lstrip().lower()
    if not data:
        return ImageError("empty", "The file has no bytes.")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError("too large", f"The picture declares more pixels than are decoded ({error}).")
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<svg")):
        return ImageError("html", "The file is a web page or XML, not a picture.")
    if head.startswith(b"version https://git-lfs"):
        return ImageError("pointer", "The file is a Git LFS pointer: run `git lfs pull` to get the picture.")
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return ImageError("heic", "HEIC pictures are not opened: convert them to JPEG.")
    if isinstance(error, UnidentifiedImageError):
        return ImageError("not an image", f"Not a picture in a known format (first bytes {data[:8].hex(' ')}).")
    words = str(error) or type(error).__name__
    if (
        isinstance(error, EOFError | IndexError | struct.error)
        or "truncated" in words.lower()
        or "not enough" in words.lower()
    ):
        return ImageError("truncated", f"The file ends too early ({words}).")
    return ImageError("broken", f"The picture's data are damaged ({words}).")
