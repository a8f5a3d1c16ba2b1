"""`FolderPlace`: a folder of this machine as a place: a mounted Google Drive, a USB disk, NFS, another disk."""

import contextlib
import errno
import glob
import io
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from telltale.errors import PlaceError
from telltale.files import sync_folder
from telltale.storage.place import PIECE, Away, Stored

MOUNTS: Final = ("/content/drive",)
"""Where Colab mounts Google Drive. Where it is not mounted, this is a folder of the machine and vanishes with it."""

_GONE: Final = {
    errno.ENOTCONN,  # Colab's Drive after some hours: "Transport endpoint is not connected"
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.ENODEV,
    errno.ENXIO,
    errno.EBUSY,
}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY: Final = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP}

_FORGOTTEN: Final = 3600.0
"""Seconds after which a temporary file is what a killed process left."""


class FolderPlace:
    """The files below a folder; `mounts` are folders below which nothing is written unless something is mounted there.

    A folder that may be read only can be opened, so that a run can be fetched from it; `write` then says it.
    """

    def __init__(self, path: str, *, mounts: Sequence[str] = MOUNTS) -> None:
        self.url = path
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        self._mounts = mounts
        self._device = 0
        self._mount = ""

    def open(self) -> None:
        """Make the folder and its parents where they are missing, and remember on which disk it lies."""
        for mount in self._mounts:
            if self.path.is_relative_to(mount) and not os.path.ismount(mount):
                raise PlaceError(
                    f"Google Drive is not mounted at {mount}: what is written to {self.url} would be lost.",
                    expected="A mounted Drive.",
                    do=f"Run in a cell: from google.colab import drive; drive.mount({mount!r}) "
                    "(after a lost connection with force_remount=True).",
                )
        with self._explained():
            self.path.mkdir(parents=True, exist_ok=True)
            self._device = os.stat(self.path).st_dev
            self._mount = _find_mount(self.path)

    def list(self, folder: str = "") -> dict[str, Stored]:
        """Every file below `folder` by name, without those whose names begin with a dot."""
        self._look()
        with self._explained():
            return {path.relative_to(self.path).as_posix(): Stored(size) for path, size in _walk(self.path / folder)}

    def folders(self) -> tuple[str, ...]:
        """Names of the folders right below it."""
        self._look()
        with self._explained(), os.scandir(self.path) as found:
            return tuple(sorted(one.name for one in found if one.is_dir() and not one.name.startswith(".")))

    def stat(self, name: str) -> Stored:
        """The size of a file: a folder knows no hash."""
        self._look()
        with self._explained(), _missing_as_such():
            found = os.stat(self.path / name)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "there is no such file", name)
        return Stored(found.st_size)

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file."""
        self._look()
        with self._explained(), _missing_as_such(), open(self.path / name, "rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))

    def write(self, name: str, source: Path | bytes) -> None:
        """Copy to a temporary file beside it, which then takes the name."""
        self._look()
        # Opened before the errors of the place are explained: a source that is missing is no fault of the place.
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as content:
            try:
                with self._explained():
                    self._write(name, content)
            except FileNotFoundError as error:
                raise Away(f"{self.url}: the folder of {name} has vanished") from error
        self._look()

    def delete(self, name: str) -> None:
        """Remove a file, what killed processes left of it, and the folders that this leaves empty."""
        self._look()
        path = self.path / name
        with self._explained(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink(missing_ok=True)
            for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
                if time.time() - left.stat().st_mtime > _FORGOTTEN:
                    left.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds other files
            for parent in path.relative_to(self.path).parents[:-1]:
                os.rmdir(self.path / parent)

    def _write(self, name: str, content: BinaryIO) -> None:
        target = self.path / name
        # Each by itself, and never the root: below a mount that is gone it would be made on the local disk.
        for parent in reversed(target.relative_to(self.path).parents[:-1]):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path / parent)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            with open(temporary, "wb") as file:
                while piece := content.read(PIECE):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)

    def _look(self) -> None:
        """`Away` unless the root is there, on the disk where it was when it was opened."""
        try:
            device = os.stat(self.path).st_dev
        except OSError as error:
            raise Away(f"{self.url} is gone ({error.strerror}): is it still mounted?") from error
        if device == self._device:
            return
        # What is mounted again may have another number. It must be at the same point: a lost mount uncovers a folder.
        if _find_mount(self.path) != self._mount:
            raise Away(f"{self.url} is on another disk than at the beginning: is it still mounted?")
        self._device = device

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the system's errors into `Away` or `PlaceError`; a missing file stays one where the root is there."""
        try:
            yield
        except FileNotFoundError:
            self._look()
            raise
        except OSError as error:
            why = error.strerror or str(error)
            if error.errno in _FULL:
                raise PlaceError(
                    f"There is no room left in {self.url} ({why}).",
                    expected="Room for a few checkpoints.",
                    do="Free some room there; nothing of what is there was changed.",
                ) from error
            if error.errno in _FORBIDDEN:
                raise PlaceError(
                    f"{self.url} may not be read or written ({why}).",
                    expected="A folder with your files, mounted for writing.",
                    do="Change its permissions, or give another mirror.",
                ) from error
            if error.errno in _IN_THE_WAY:
                raise PlaceError(
                    f"{self.url} cannot hold files ({why}).",
                    expected="A path on which there are only folders, and that is not too long.",
                    do="Move the file that is in the way, or give another mirror.",
                ) from error
            if error.errno in _GONE:
                raise Away(f"{self.url} does not answer ({why})") from error
            raise Away(f"{self.url}: {why}") from error


@contextlib.contextmanager
def _missing_as_such() -> Iterator[None]:
    """Where a folder is a file, or a file a folder, the file is missing."""
    try:
        yield
    except (NotADirectoryError, IsADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such file", error.filename) from error


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Path and size of every file below `folder`, sorted; what vanishes meanwhile is left out."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
            continue
        with contextlib.suppress(FileNotFoundError):
            found = entry.stat()
            if stat.S_ISREG(found.st_mode):
                yield Path(entry.path), found.st_size


def _find_mount(path: Path) -> str:
    """The mount point that `path` lies below."""
    place = os.path.realpath(path)
    while not os.path.ismount(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    return place
