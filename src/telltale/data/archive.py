"""`open_store`: a folder, an archive, shards, a bucket or a data set as one kind of thing that lists and reads files.

What a file is, its first bytes say, not its ending.
"""

import os
import zipfile
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from telltale.data.download import is_url
from telltale.data.hub import is_hub, is_saved, open_hub, open_saved
from telltale.data.member import Limits
from telltale.data.remote_store import FsspecStore, fetch_file, is_file
from telltale.data.shard_store import ShardStore, is_pattern, name_shards, split_pattern
from telltale.data.store import Entry, FolderStore, Store, explain_input, original_name, portable_name
from telltale.data.tar_store import TarStore, is_packed, open_packed
from telltale.data.zip_store import ZipStore
from telltale.errors import SourceError
from telltale.progress import Tell, silent

__all__ = [
    "ENDINGS",
    "Entry",
    "FolderStore",
    "FsspecStore",
    "Limits",
    "ShardStore",
    "Store",
    "TarStore",
    "ZipStore",
    "is_archive",
    "is_path",
    "is_remote",
    "local_path",
    "open_store",
]

ENDINGS: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Usual endings of archives that are opened."""

_LOCAL: Final = ("file://", "local://")
_FOREIGN: Final = {b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
_WEB: Final = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")


def open_store(location: str | Path, *, limits: Limits | None = None, tell: Tell = silent) -> Store:
    """The files of a folder, an archive, shards or a data set, here or behind a URL.

    A folder or file: zip, tar or packed tar (`.tar.gz`, `.tar.bz2`, `.tar.xz`), the folder of a saved Hugging Face data
    set, or a pattern that names WebDataset shards. A URL that fsspec reads of any of these but the data set, which on
    the hub is `hf://user/name`. A zip and a plain tar are read where they lie; a packed tar is unpacked once into the
    cache, an archive behind a URL copied there. An archive with a member that could do harm is refused as a whole
    (`Inspector`). Raises `SourceError`.
    """
    text = str(location)
    if portable_name(text) != text:
        raise SourceError(
            f"The path {portable_name(text)!r} is not UTF-8.",
            expected="A path that can be saved as text.",
            do="Rename the folder or file, or give a link to it.",
        )
    if is_hub(text):
        return open_hub(text, tell=tell)
    if is_pattern(text) and not os.path.lexists(text):
        return _open_shards(text, tell)
    if is_remote(text):
        if not is_file(text):
            return FsspecStore(text)
        return _open_archive(fetch_file(text, tell=tell), text, limits, tell)
    path = local_path(location)
    with explain_input(path):
        if path.is_dir():
            return open_saved(path) if is_saved(path) else FolderStore(path)
    return _open_archive(path, str(path), limits, tell)


def is_remote(location: str | Path) -> bool:
    """Is this a URL whose files are read where they lie? Not so `http(s)://`, which cannot list what it has.

    >>> is_remote("s3://bucket/photos"), is_remote("https://example.org/a.zip"), is_remote("file:///photos")
    (True, False, False)
    """
    text = str(location)
    return is_url(text) and not is_hub(text) and not text.lower().startswith((*_LOCAL, "http://", "https://"))


def is_path(location: str | Path) -> bool:
    """Does this name one place on this machine, so that a look tells whether it is there?

    >>> is_path("photos"), is_path("s3://bucket/photos"), is_path("hf:user/name"), is_path("train-{00..12}.tar")
    (True, False, False, False)
    """
    text = str(location)
    return os.path.lexists(text) or not (is_url(text) or is_hub(text) or is_pattern(text))


def local_path(location: str | Path) -> Path:
    """The path of a place on this machine, without `file://` and with `~` for the home folder.

    >>> local_path("file:///photos/cats").as_posix()
    '/photos/cats'
    """
    if isinstance(location, str) and _is_file_url(location):
        path = location[location.index("://") + 3 :].removeprefix("localhost")
        location = path if os.path.lexists(path) else unquote(path)  # browsers write %20, fsspec does not
    return Path(os.path.expanduser(location))


def _is_file_url(location: str) -> bool:
    return location.lower().startswith(_LOCAL)


def _open_shards(location: str, tell: Tell) -> ShardStore:
    folder, pattern = split_pattern(location)
    beside = open_store(folder or ".", tell=tell)
    names = name_shards(pattern, beside)
    if isinstance(beside, FolderStore):
        root = beside.folder
        return ShardStore(location, names, beside=beside, fetch=lambda name: root / original_name(name))
    return ShardStore(location, names, beside=beside, fetch=lambda name: fetch_file(f"{beside.location}/{name}"))


def _open_archive(path: Path, location: str, limits: Limits | None, tell: Tell) -> Store:
    with explain_input(path), open(path, "rb") as file:
        head = file.read(512)
    if _is_zip(path, head):
        return ZipStore(path, limits=limits, location=location)
    if is_packed(head):
        return open_packed(path, limits=limits, location=location, tell=tell)
    if _is_tar(path, head):
        return TarStore(path, limits=limits, location=location)
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


def _explain_foreign(location: str, head: bytes) -> SourceError:
    """Say what a file is that is no archive."""
    expected = "A folder of pictures, a table, or a zip or tar of them."
    if not head:
        return SourceError(f"{location!r} is empty: it has 0 bytes.", expected=expected, do="Copy it again.")
    if _is_web(head):
        return SourceError(
            f"{location!r} is a web page, not an archive.",
            expected=expected,
            do="Download again: the link probably leads to a page with a button or a login. Use the button's link.",
        )
    for start, name in _FOREIGN.items():
        if head.startswith(start):
            return SourceError(
                f"{location!r} is a {name} archive, which is not opened.",
                expected=expected,
                do="Unpack it yourself and give the folder.",
            )
    return SourceError(
        f"{location!r} is no archive (its first bytes are {head[:8].hex(' ')}).",
        expected=expected,
        do="Check the path, or copy the file again.",
    )
