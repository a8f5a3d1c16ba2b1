"""Pictures from a tar: a plain one is read where it lies, a packed one is unpacked once into the cache."""

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import secrets
import shutil
import tarfile
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from telltale.data.member import Inspector, Limits, damaged_archive, refuse
from telltale.data.names import Names
from telltale.data.store import Entries, Entry, FolderStore, damaged, explain_input, missing, most_bytes
from telltale.data.zip_store import Reader
from telltale.errors import BundleError, SourceError
from telltale.files import cache_folder, explain_output, make_folder, read_json, sha256_file, sync_folder, write_json
from telltale.progress import Advance, Tell, silent

MARKER: Final = "unpacked.json"
"""Written last: a folder without it is not complete."""

_OPENERS: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_BROKEN: Final = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError, OverflowError)
_ABANDONED: Final = 24 * 3600.0


class Members:
    """The plain files of a tar that is not packed: their paths, and where their bytes lie in it."""

    def __init__(self, path: Path, *, limits: Limits | None = None) -> None:
        names: list[str] = []
        offsets, sizes = array("q"), array("q")
        inspector = Inspector(str(path), limits or Limits())
        with explain_input(path), explain_archive(str(path)):
            with tarfile.open(path, "r:", encoding="utf-8", tarinfo=_StrictInfo) as archive:
                for name, member in _accept_members(archive, inspector):
                    names.append(name)
                    offsets.append(member.offset_data)
                    sizes.append(member.size)
        self._names, self._offsets, self._sizes = Names(names), offsets, sizes

    def list(self) -> Entries:
        """All files sorted by path."""
        places = zip(self._names.sorted(), self._names.order.tolist(), strict=True)
        return [Entry(path, self._sizes[place]) for path, place in places]

    def read(self, reader: Reader, path: str) -> bytes:
        """The bytes of one file, through a reader of the tar."""
        place = self._names.find(path)
        if place < 0:
            raise missing(path)
        size = self._sizes[place]
        if size > most_bytes(path):
            raise damaged(path, f"it has {size:,} bytes, more than {most_bytes(path):,}")
        data = reader.read(size, self._offsets[place])
        if len(data) != size:
            raise damaged(path, "the archive ends within it")
        return data


class TarStore:
    """The files of a tar that is not packed, read where they lie."""

    readers = 0

    def __init__(self, path: Path, *, limits: Limits | None = None, location: str = "") -> None:
        self.location = location or str(path)
        self._members = Members(path, limits=limits)
        with explain_input(path):
            self._reader = Reader(path)

    def list(self) -> Entries:
        """All files sorted by path."""
        return self._members.list()

    def read(self, path: str) -> bytes:
        """The bytes of one file."""
        return self._members.read(self._reader, path)


def is_packed(head: bytes) -> bool:
    """Do these first bytes belong to a gzip, bzip2 or xz file?"""
    return head.startswith(tuple(_OPENERS))


def open_packed(path: Path, *, limits: Limits | None = None, location: str = "", tell: Tell = silent) -> FolderStore:
    """The files of a packed tar, unpacked on first use below the cache folder under the archive's SHA-256."""
    with explain_input(path):
        target = cache_folder("archives") / sha256_file(path)[:16]
    if not _is_complete(target):
        _unpack(path, target, limits or Limits(), tell)
    return FolderStore(target / "files", location=location or str(path))


@contextlib.contextmanager
def explain_archive(location: str) -> Iterator[None]:
    """Turn what the standard library raises on a damaged archive into one `SourceError`."""
    try:
        yield
    except _BROKEN as error:
        raise damaged_archive(location, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise damaged_archive(location, str(error)) from error  # bzip2 says it so


class _StrictInfo(tarfile.TarInfo):
    """A tar header. `tarfile` takes a damaged one for the end of the archive, and all that follows would be lost."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictInfo":
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a damaged header: {error}") from error


class _Guard:
    """Unpacked bytes as a file to read from, up to a limit: a bomb is stopped while it goes off."""

    def __init__(self, file: BinaryIO, location: str, most: int) -> None:
        self._file = file
        self._location = location
        self._left = most

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise SourceError(
                f"The archive {self._location!r} is refused: it grows far beyond its packed size.",
                expected="Pictures, which hardly shrink when packed.",
                do="Take the archive from a source that you trust, or unpack it yourself and give the folder.",
            )
        return data


def _accept_members(archive: tarfile.TarFile, inspector: Inspector) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Path and facts of every plain file that is not hidden; raises at the first member that may not be."""
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # else it keeps every one of them
        if member.isdir():
            inspector.accept_folder(member.name)
        elif member.isreg() and not member.issparse():
            if name := inspector.accept(member.name, member.size):
                yield name, member
        else:
            raise refuse(inspector.location, member.name, "is a link or a device")


def _is_complete(target: Path) -> bool:
    try:
        facts = read_json(target / MARKER, "unpacked archive", 1)
    except BundleError:
        return False
    # Somebody may have tidied up the cache by hand: the number of files is checked, their content is not.
    return bool(len(FolderStore(target / "files").list()) == facts.get("files"))


def _unpack(path: Path, target: Path, limits: Limits, tell: Tell) -> None:
    """Unpack beside `target`, then rename: another process sees nothing or everything."""
    _remove_abandoned(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    old = temporary.with_name(f"{temporary.name}.old.tmp")
    files = make_folder(temporary / "files")
    try:
        count = _unpack_files(path, files, limits, tell)
        if hasattr(os, "sync"):
            os.sync()  # one call for all files, before the marker says that they are there
        write_json(temporary / MARKER, "unpacked archive", 1, {"archive": path.name, "files": count})
        if not _is_complete(target):
            with contextlib.suppress(FileNotFoundError):
                target.rename(old)
        with explain_output(target):
            try:
                temporary.rename(target)
            except OSError:
                if not _is_complete(target):  # else another process was first, with the same content
                    raise
        sync_folder(target.parent)
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)


def _unpack_files(path: Path, files: Path, limits: Limits, tell: Tell) -> int:
    location, packed, count = str(path), path.stat().st_size, 0
    inspector = Inspector(location, limits)
    with explain_input(path), explain_archive(location), open(path, "rb") as raw:
        with _open_stream(raw) as stream:
            guard: Any = _Guard(stream, location, limits.free + limits.ratio * packed)
            with tarfile.open(fileobj=guard, mode="r|", encoding="utf-8", tarinfo=_StrictInfo) as archive:
                for name, member in _accept_members(archive, inspector):
                    content = archive.extractfile(member)
                    if content is not None:
                        _write_file(location, files, name, content)
                    count += 1
                    tell(Advance("unpack", raw.tell(), packed, "bytes"))
            while guard.read(1 << 20):
                pass  # the checksum of the packed file comes after the tar's end
    return count


def _open_stream(raw: io.BufferedReader) -> BinaryIO:
    head = raw.peek(8)
    stream: Any = next(opener for start, opener in _OPENERS.items() if head.startswith(start))(raw)
    return cast(BinaryIO, stream)


def _write_file(location: str, files: Path, name: str, content: IO[bytes]) -> None:
    """Write one new file; a name that the file system has no place for refuses the archive."""
    target = files / name
    with explain_output(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise refuse(location, name, "stands where another member stands") from error
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise
            raise refuse(location, name, "has a name that cannot be written here") from error


def _remove_abandoned(folder: Path) -> None:
    """Delete what a killed process left half unpacked, a day later."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
