"""Files that are either whole or not there: atomic writes, versioned JSON, manifests with SHA-256, cache folders."""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from telltale.errors import BundleError, OutputError, RecipeError

MANIFEST = "manifest.json"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_NAME = {errno.ENAMETOOLONG, errno.ELOOP}
_NO_DISK = {errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.ENXIO, errno.ENODEV}
"""What a disk that fails says, and a network disk or a mounted Drive that is gone."""


def write_atomic(path: Path, content: bytes | str | Callable[[BinaryIO], object]) -> Path:
    """Write `path` so that a reader sees the old file or the whole new one, also after a power cut.

    Temporary file in the same folder, flush, fsync, rename, fsync the folder.
    `content` is bytes, text (UTF-8), or a function that writes to a binary file.
    Raises `OutputError` where the disk is full or the place may not be written; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with explain_output(path):
        try:
            with open(temporary, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    return path


@contextlib.contextmanager
def explain_output(path: Path) -> Iterator[None]:
    """Turn an operating-system error on writing `path` into an `OutputError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutputError(
                f"No space left to write {str(path)!r}.",
                expected="Room on that disk.",
                do="Free some space or give another place, then run the same command again; nothing there was changed.",
            ) from error
        # Not by number alone: SSL errors of a download have numbers of their own, and theirs for 1 is not EPERM.
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise OutputError(
                f"{str(path)!r} may not be written ({error.strerror}).",
                expected="A folder that you may write to.",
                do="Give another place with --output, or change the permissions.",
            ) from error
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            raise OutputError(
                f"{str(path)!r} cannot be written: a file stands where a folder is needed, or the other way round.",
                expected="A free place.",
                do="Give another place with --output.",
            ) from error
        if isinstance(error, FileNotFoundError) or error.errno in _NO_NAME:
            raise OutputError(
                f"{str(path)!r} cannot be written ({error.strerror}).",
                expected="A folder that is there, and a name that its file system can hold.",
                do="Check the path, or give another place with --output.",
            ) from error
        if error.errno in _NO_DISK:
            raise OutputError(
                f"{str(path)!r} cannot be written: its disk does not answer ({error.strerror}).",
                expected="A disk that works; one that is mounted over the network must be connected.",
                do="Connect it again or give another place with --output, then run the same command again.",
            ) from error
        raise


def is_full(error: OutputError) -> bool:
    """Was it for lack of room that something could not be written?"""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SPACE


def move(path: Path, place: Path) -> None:
    """Give a folder another name on the same disk, durably; nothing may be there already but an empty folder."""
    with explain_output(place):
        sync_folder(path)
        os.replace(path, place)
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable; without effect where the system has no such call (Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network and FUSE file systems refuse to sync a folder; the rename itself has happened.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(handle)


def make_folder(path: Path) -> Path:
    """`path` as a folder, made with its parents where needed; `OutputError` where that cannot be."""
    with explain_output(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def create_folder(root: str, name: str, output: str | Path | None = None) -> Path:
    """A new folder for results: `output` where given (it must not hold anything), else `root/NAME`, `root/NAME-2`, …"""
    if output is not None:
        folder = make_folder(Path(output))
        with explain_output(folder):
            if any(folder.iterdir()):
                raise RecipeError(
                    f"The folder {str(folder)!r} is not empty.",
                    expected="A new or an empty folder, so that nothing there is changed.",
                    do="Give another --output.",
                )
        return folder
    parent = make_folder(Path(root))
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with explain_output(folder), contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("count has no end")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside the block no other process gets past here with the same `folder`; `OutputError` where one is inside.

    The system forgets the lock when the process ends, however it ends. Without effect on Windows and on file systems
    that know no locks.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"Another process works in {str(folder)!r}.",
                expected="One training at a time in a run folder.",
                do="Wait for it or stop it, then run the same command again.",
            ) from error
        except OSError as error:
            if error.errno not in {errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.ENOSYS}:
                raise
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def fresh_folder(root: str, name: str, output: str | Path | None = None) -> Iterator[Path]:
    """What `create_folder` makes, made at once, so that a forbidden place is known early; gone again if the work fails.

    A folder `output` that was there before stays, empty; `root` goes too where this would have been its first folder.
    """
    there = output is not None and Path(output).is_dir()
    folder = create_folder(root, name, output)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            if there:
                folder.mkdir()
            elif output is None:
                folder.parent.rmdir()  # only where it holds nothing else
        raise


def write_json(path: Path, kind: str, version: int, content: dict[str, Any]) -> Path:
    """Write a JSON file that says what it is (`kind`) and in which version of its format."""
    text = json.dumps({"kind": kind, "format_version": version, **content}, indent=2, ensure_ascii=False)
    return write_atomic(path, text + "\n")


def read_json(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read what `write_json` wrote; `BundleError` where it is missing, broken, of another kind or too new."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{str(path)!r} cannot be read ({type(error).__name__}).",
            expected=f"What Telltale writes there: {kind}.",
            do="Check the path, or train again.",
        ) from error
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise BundleError(
            f"{str(path)!r} is not a {kind} file.",
            expected=f'A JSON object with "kind": "{kind}".',
            do="Check the path.",
        )
    if not isinstance(content.get("format_version"), int) or not 1 <= content["format_version"] <= version:
        raise BundleError(
            f"{str(path)!r} has format version {content.get('format_version')!r}.",
            expected=f"Version {version} or older.",
            do="Update Telltale: pip install -U telltale.",
        )
    return content


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """The 32 bytes of SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure_folder(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_manifest(folder: Path) -> Path:
    """Write `manifest.json` with size and SHA-256 of every file below `folder`: last, so that it means complete."""
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    return write_atomic(folder / MANIFEST, format_manifest(files))


def format_manifest(files: dict[str, dict[str, Any]], facts: dict[str, Any] | None = None) -> bytes:
    """The content of a manifest of these files, each with its `size` in bytes and `sha256`; `facts` are about all.

    It ends with the SHA-256 of what stands before it in itself, so that not one byte of it can change unnoticed.
    """
    content = {"kind": "manifest", "format_version": 2, "files": files} | ({"facts": facts} if facts else {})
    body = json.dumps(content, indent=2, ensure_ascii=False).removesuffix("\n}").encode()
    return body + f',\n  "sha256": "{sha256(body).hex()}"\n}}\n'.encode()


def verify_manifest(folder: Path) -> dict[str, str]:
    """Check every file of `folder` against its manifest; the hashes by name. `BundleError` names the first bad file."""
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            f"{str(folder)!r} has no {MANIFEST}.",
            expected="A complete folder: the manifest is written last.",
            do="The save was interrupted, or this is another folder: check the path or save again.",
        )
    listed = read_manifest(folder / MANIFEST)
    for name, (size, digest) in listed.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or sha256_file(path) != digest:
            raise BundleError(
                f"{str(path)!r} is missing or damaged: it does not match the manifest.",
                expected=f"{size} bytes with SHA-256 {digest[:12]}…",
                do="Copy the folder again from where it is whole, or train again.",
            )
    return {name: digest for name, (_, digest) in listed.items()}


def read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    """Size in bytes and SHA-256 of each file that a manifest lists, by name; `BundleError` where it is damaged."""
    content = read_json(path, "manifest", 2)
    body, sealed, seal = path.read_bytes().rpartition(b',\n  "sha256": "')
    # Version 1 had no seal.
    if (sealed or content["format_version"] > 1) and seal != f'{sha256(body).hex()}"\n}}\n'.encode():
        raise BundleError(
            f"{str(path)!r} is damaged: it does not match its own SHA-256.",
            expected="A manifest as Telltale wrote it.",
            do="Copy the folder again from where it is whole, or train again.",
        )
    try:
        listed = {name: (int(facts["size"]), str(facts["sha256"])) for name, facts in content["files"].items()}
        if any(is_outside(name) for name in listed):
            raise ValueError("a name leads outside of the folder")
        return listed
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{str(path)!r} does not list files with their sizes and hashes.",
            expected="A manifest that Telltale wrote.",
            do="Copy the folder again from where it is whole, or train again.",
        ) from error


def read_facts(path: Path) -> dict[str, Any]:
    """The plain values about the whole that a manifest holds."""
    return dict(read_json(path, "manifest", 2).get("facts", {}))


def is_outside(name: str) -> bool:
    """Is a name of a file below a folder no plain relative one, with `/` between its parts?

    >>> is_outside("golden/0.png"), is_outside("../x"), is_outside("/x"), is_outside("C:x")
    (False, True, True, True)
    """
    return any(part in ("", ".", "..") or "\\" in part or ":" in part or "\0" in part for part in name.split("/"))


def cache_folder(name: str) -> Path:
    """The folder for caches of one kind (`features`, `engines`, …): safe to delete, safe with two processes.

    Below `TELLTALE_CACHE` where that is set, else below the user's cache folder.
    """
    root = os.environ.get("TELLTALE_CACHE") or platformdirs.user_cache_dir("telltale", appauthor=False)
    try:
        return make_folder(Path(root) / name)
    except OutputError as error:
        raise OutputError(
            error.given, expected=error.expected, do="Set TELLTALE_CACHE to a folder that you may write to."
        ) from error


def timestamp() -> str:
    """Now in UTC, ISO 8601, to the second.

    >>> len(timestamp())
    20
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
