"""Where the bytes of pictures lie: `Store`, and the plain folder as one.

Paths in a store are relative, with `/` between the parts, and valid UTF-8, so that an Arrow table can hold them.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from telltale.data.decoding import EXTENSIONS, MAX_BYTES
from telltale.errors import SourceError
from telltale.registry import suggest

_OPEN_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
"""Not blocking: to open a named pipe must not wait for somebody to write into it."""

_JUNK: Final = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What operating systems leave in folders, besides names that start with a dot."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a store: its path, and its size in bytes (-1 where to know it would cost a system call per file)."""

    path: str
    size: int


Entries: TypeAlias = list[Entry]


class Store(Protocol):
    """Files that can be listed and read: a folder, a zip, a tar, a bucket."""

    @property
    def location(self) -> str:
        """What to show to users, and what `open_store` opens again."""

    @property
    def readers(self) -> int:
        """How many reads at once are sensible, because each waits for a server; 0 where the cores decide."""

    def list(self) -> Entries:
        """All files sorted by path; hidden ones (`.name`, `__MACOSX`, `Thumbs.db`) are left out."""

    def read(self, path: str) -> bytes:
        """The bytes of one file; from any thread. `FileNotFoundError` or another `OSError` where that fails."""


class FolderStore:
    """The files below a folder.

    Links to files and folders are followed; a folder that is reached twice counts once, by its real name where it has
    one below the root. A name that is not UTF-8 is listed in percent form (`portable_name`) and read by it.
    """

    readers = 0

    def __init__(self, folder: Path, *, location: str = "") -> None:
        self.folder = folder
        self.location = location or str(folder)

    def list(self) -> Entries:
        """All files sorted by path."""
        return sorted(_walk(self.folder), key=attrgetter("path"))

    def read(self, path: str) -> bytes:
        """The bytes of one file."""
        if path.startswith("/") or "\0" in path or (".." in path and ".." in path.split("/")):
            raise missing(path)
        try:
            return _read_file(os.path.join(self.folder, path), most_bytes(path))
        except FileNotFoundError:
            if "%" not in path:
                raise
        return _read_file(os.path.join(self.folder, original_name(path)), most_bytes(path))


def missing(path: str) -> FileNotFoundError:
    """The error of every store for a path that it does not hold."""
    return FileNotFoundError(errno.ENOENT, "there is no such file", path)


def damaged(path: str, why: str) -> OSError:
    """The error of every store for a file whose bytes cannot be had."""
    return OSError(errno.EIO, why, path)


def most_bytes(path: str) -> int:
    """Most bytes that are read of one file: a picture's limit is checked before its bytes are in memory."""
    return MAX_BYTES if os.path.splitext(path)[1].lower() in EXTENSIONS else 1 << 40


def is_hidden(path: str) -> bool:
    """Is any part of the path a name that file managers hide?

    >>> is_hidden("a/.git/b.jpg"), is_hidden("__MACOSX/a.jpg"), is_hidden("a/b.jpg")
    (True, True, False)
    """
    if "." not in path and "_" not in path:
        return False
    return any(part.startswith(".") or part in _JUNK for part in path.split("/"))


def portable_name(name: str) -> str:
    """The name as valid UTF-8: itself where it is, else with `%25` for percent signs and `%XX` for odd bytes.

    >>> portable_name("100%.jpg"), portable_name("caf\\udce9 100%.jpg")
    ('100%.jpg', 'caf%E9 100%25.jpg')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return "".join("%25" if char == "%" else _percent(char) for char in name)
    return name


def original_name(name: str) -> str:
    """What `portable_name` made percent form of.

    >>> original_name("caf%E9 100%25.jpg")
    'caf\\udce9 100%.jpg'
    """
    return os.fsdecode(unquote_to_bytes(name))


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(char)) if "\ud800" <= char <= "\udfff" else char


def _walk(root: Path) -> Iterator[Entry]:
    """Files below `root`: real folders first, then linked ones, each folder once."""
    real: list[tuple[str, str]] = [(str(root), "")]
    linked: list[tuple[str, str]] = []
    seen: set[tuple[int, int]] = set()
    while real or linked:
        # Sorted, so that of two links to one folder always the same is followed.
        linked.sort(reverse=True)
        folder, prefix = (real or linked).pop()
        with explain_input(folder):
            facts = os.stat(folder)
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    if _is_folder(entry):
                        (linked if entry.is_symlink() else real).append((entry.path, f"{prefix}{entry.name}/"))
                    elif entry.is_symlink() or entry.is_file():  # a broken link is listed: missing, not forgotten
                        yield Entry(_listed_name(root, prefix + entry.name), -1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False  # a link to itself: listed and missing, like every link that leads nowhere


def _listed_name(root: Path, path: str) -> str:
    if path.isascii():
        return path
    shown = portable_name(path)
    if shown != path and os.path.lexists(os.path.join(root, shown)):
        raise SourceError(
            f"Two files in {str(root)!r} would be called {shown!r}: the name of one of them is not UTF-8.",
            expected="Names that can be told apart.",
            do="Rename one of them.",
        )
    return shown


def _read_file(path: str, most: int) -> bytes:
    handle = os.open(path, _OPEN_FLAGS)
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise damaged(path, "it is not a plain file")
        if facts.st_size > most:
            raise OSError(errno.EFBIG, f"it has {facts.st_size:,} bytes, more than {most:,}", path)
        data = os.read(handle, facts.st_size + 1)
        if len(data) == facts.st_size:
            return data
        pieces = [data]  # more than 2 GB, which no system call reads at once, or a file that is being written
        while piece := os.read(handle, 1 << 24):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(handle)


def _neighbours(path: Path) -> list[str]:
    try:
        return os.listdir(path.parent)
    except OSError:
        return []


@contextmanager
def explain_input(path: str | Path) -> Iterator[None]:
    """Turn an operating-system error on reading `path` into a `SourceError` that says what to do."""
    shown = portable_name(str(path))
    try:
        yield
    except FileNotFoundError as error:
        close = suggest(Path(path).name, _neighbours(Path(path)))
        meant = f"Did you mean {portable_name(close[0])!r}?" if close else ""
        raise SourceError(
            f"There is no {shown!r}.",
            expected=meant or "A folder, an archive, a table or a picture.",
            do="Check the path.",
        ) from error
    except PermissionError as error:
        raise SourceError(
            f"{shown!r} may not be read ({error.strerror}).",
            expected="Files and folders that you may read.",
            do="Change the permissions, or move it out of the way.",
        ) from error
    except OSError as error:
        raise SourceError(
            f"{shown!r} cannot be read ({error.strerror or error}).",
            expected="A place that answers.",
            do="Check the disk or the connection, then run the same command again.",
        ) from error
