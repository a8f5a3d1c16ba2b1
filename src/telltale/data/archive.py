"""`open_store`: a folder, a zip or a tar as one kind of thing that lists and reads files.

What a file is, its first bytes say, not its ending.
"""

import zipfile
from pathlib import Path
from typing import Final

from telltale.data.member import Limits
from telltale.data.store import Entry, FolderStore, Store, explain_input, portable_name
from telltale.data.tar_store import TarStore, is_packed, open_packed
from telltale.data.zip_store import ZipStore
from telltale.errors import SourceError
from telltale.progress import Tell, silent

__all__ = ["ENDINGS", "Entry", "FolderStore", "Limits", "Store", "TarStore", "ZipStore", "is_archive", "open_store"]

ENDINGS: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Usual endings of archives that are opened."""

_FOREIGN: Final = {b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
_WEB: Final = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")


def open_store(location: Path, *, limits: Limits | None = None, tell: Tell = silent) -> Store:
    """The files of a folder, a zip, a tar or a packed tar (`.tar.gz`, `.tar.bz2`, `.tar.xz`).

    A zip and a plain tar are read where they lie; a packed tar is unpacked once into the cache. An archive with a
    member that could do harm is refused as a whole (`Inspector`). Raises `SourceError`.
    """
    location = Path(location)
    if portable_name(str(location)) != str(location):
        raise SourceError(
            f"The path {portable_name(str(location))!r} is not UTF-8.",
            expected="A path that can be saved as text.",
            do="Rename the folder or file, or give a link to it.",
        )
    with explain_input(location):
        if location.is_dir():
            return FolderStore(location)
        with open(location, "rb") as file:
            head = file.read(512)
    if _is_zip(location, head):
        return ZipStore(location, limits=limits)
    if is_packed(head):
        return open_packed(location, limits=limits, tell=tell)
    if _is_tar(location, head):
        return TarStore(location, limits=limits)
    raise _explain_foreign(location, head)


def is_archive(path: Path) -> bool:
    """Is this file an archive, by content, or named like one?"""
    with explain_input(path), open(path, "rb") as file:
        head = file.read(512)
    named = path.name.lower().endswith(ENDINGS)
    return named or head.startswith(b"PK\x03\x04") or is_packed(head) or head[257:262] == b"ustar"


def _is_zip(location: Path, head: bytes) -> bool:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return True
    return location.suffix.lower() == ".zip" and zipfile.is_zipfile(location)


def _is_tar(location: Path, head: bytes) -> bool:
    # Tars older than POSIX have no mark: the ending decides, and the checksum of the first header.
    return head[257:262] == b"ustar" or (len(head) == 512 and location.suffix.lower() == ".tar" and not _is_web(head))


def _is_web(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_WEB)


def _explain_foreign(location: Path, head: bytes) -> SourceError:
    """Say what a file is that is no archive."""
    expected = "A folder of pictures, a table, or a zip or tar of them."
    if not head:
        return SourceError(f"{str(location)!r} is empty: it has 0 bytes.", expected=expected, do="Copy it again.")
    if _is_web(head):
        return SourceError(
            f"{str(location)!r} is a web page, not an archive.",
            expected=expected,
            do="Download again: the link probably leads to a page with a button or a login. Use the button's link.",
        )
    for start, name in _FOREIGN.items():
        if head.startswith(start):
            return SourceError(
                f"{str(location)!r} is a {name} archive, which is not opened.",
                expected=expected,
                do="Unpack it yourself and give the folder.",
            )
    return SourceError(
        f"{str(location)!r} is no archive (its first bytes are {head[:8].hex(' ')}).",
        expected=expected,
        do="Check the path, or copy the file again.",
    )
