"""Why a file could not be decoded, in words for the person who has it: `explain` makes the `ImageError`."""

import io
import struct
from typing import Final

from PIL import Image, UnidentifiedImageError

from telltale.errors import ImageError

_OWN: Final = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
"""How files begin that are opened."""

_FOREIGN: Final = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"\xc5\xd0\xd3\xc6": "a PostScript document",
    b"PK\3\4": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"8BPS": "a Photoshop document",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\1\0": "a Windows icon",
    b"RIFF": "a sound or a film",
    b"\x1aE\xdf\xa3": "a film",
    b"\0\5\x16\7": "what macOS keeps beside a file, not the file",
    b"SIMPLE  =": "a FITS table",
    b"\x93NUMPY": "a numpy array",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
_WEB: Final = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<svg", b"<!--")
_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")
_UNNAMED: Final = "not identified by this driver"
_CODES: Final = {
    "decoder error -2": "its compressed data cannot be unpacked",
    "decoder error -8": "its way of storing pixels is not supported",
    "decoder error -9": "unpacking it needs too much memory",
    "could not create decoder object": "its list of chunks is damaged",
    "cannot load this image": "it has no pixels",
    _UNNAMED: "it names no size and no colours that exist",
}


def explain(data: bytes, error: Exception) -> ImageError:
    """Name the kind of a file that Pillow could not read."""
    if isinstance(error, UnidentifiedImageError):
        return _explain_unknown(data)
    if isinstance(error, Image.DecompressionBombError):
        return ImageError("too large", f"The picture declares more pixels than are decoded ({error}).")
    words = _words(error)
    if (
        isinstance(error, EOFError | IndexError | struct.error)
        or "truncated" in words.lower()
        or "not enough" in words.lower()
        or (data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data))
    ):
        return ImageError("truncated", f"The file ends too early ({words}).")
    return ImageError("broken", f"The picture's data are damaged ({words}).")


def _words(error: Exception) -> str:
    """What the exception says, where that says anything; Pillow raises `KeyError: 7` too."""
    words = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, KeyError):
        return "its header asks for something that is not supported" + (f": {words}" if words.isdigit() else "")
    words = _CODES.get(words, words)
    if len(words) < 8:
        return f"{type(error).__name__} {words}".rstrip()
    return words if len(words) <= 200 else words[:200] + " …"


def _explain_unknown(data: bytes) -> ImageError:
    """Of a file that no decoder took for its own."""
    head = _text_start(data)
    if not data:
        return ImageError("empty", "The file has no bytes.")
    if head.startswith(_WEB):
        return ImageError("html", "The file is a web page or XML, not a picture.")
    if head.startswith(b"version https://git-lfs"):
        return ImageError("pointer", "The file is a Git LFS pointer: run `git lfs pull` to get the picture.")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        return ImageError("heic", "HEIC pictures are not opened: convert them to JPEG.")
    for start, name in _OWN.items():
        if data.startswith(start):
            return _explain_header(data, name)
    if data[4:12] in (b"ftypavif", b"ftypavis") or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        name = "WEBP" if data[:4] == b"RIFF" else "AVIF"
        return ImageError("broken", f"It begins as a picture, and the header of its {name} is damaged.")
    return ImageError("not an image", f"Not a picture in a known format ({_describe(data)}).")


def _text_start(data: bytes) -> bytes:
    """The first characters in small letters, without marks of their encoding."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data[:1024].decode("utf-16", "replace").strip().lower().encode()
    return data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()


def _explain_header(data: bytes, name: str) -> ImageError:
    """Of a file that begins as a JPEG, PNG, … and goes on otherwise: Pillow's reason, which `Image.open` keeps."""
    Image.init()
    try:
        Image.OPEN[name][0](io.BytesIO(data), "")
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        ended = isinstance(cause, EOFError | IndexError | struct.error) or "truncated" in str(cause).lower()
        if ended or (name == "JPEG" and str(cause) == _UNNAMED):  # Pillow reads a JPEG to its end in search of them
            return ImageError("truncated", f"The file ends within the header of its {name}.")
        return ImageError("broken", f"The header of its {name} is damaged ({_words(cause)}).")
    return ImageError("broken", f"The header of its {name} is damaged.")


def _describe(data: bytes) -> str:
    for start, name in _FOREIGN.items():
        if data.startswith(start):
            return f"it is {name}"
    if data[4:8] == b"ftyp":
        return "it is a film, or a picture in a film's container"
    if not any(data[:4096]):
        return "it begins with nothing but zeros"
    text = data[:200].decode("utf-8", "replace")
    if "\ufffd" not in text[:-1] and all(letter.isprintable() or letter.isspace() for letter in text):
        return f"it is a text: {' '.join(text.split())[:40]!r}"
    return f"first bytes {data[:8].hex(' ')}"
