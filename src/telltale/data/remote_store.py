"""Pictures behind an fsspec URL (`s3://bucket/folder`, `gs://…`, `memory://…`), listed and read where they lie.

The library of each service reads; this file adds what they leave open: one kind of error, attempts that wait longer
each time, and an end to waiting. A picture that cannot be had is a row with a reason, as everywhere. Not so a server
that stops answering: it ends the work with one message, or a lost connection would pass for thousands of lost pictures.
"""

import errno
import os
import threading
import time
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from telltale.data.download import locked, plain_name
from telltale.data.store import Entries, Entry, damaged, is_hidden, missing, most_bytes, original_name, portable_name
from telltale.errors import SourceError
from telltale.files import cache_folder, explain_output, make_folder, sha256, sync_folder
from telltale.progress import Advance, Note, Tell, silent
from telltale.storage.connection import connect, explain, refusal, walks, words

TRIES: Final = 3
"""Attempts at what may pass. The libraries of S3 and Google try several times within each."""

CONTACT: Final = 20.0
"""Seconds for the first answer: s3fs gives up after about 5 by itself, gcsfs after 33."""

_READ: Final = 300.0
"""Seconds for one file. The libraries notice a silent line within 15 to 60; this holds where one does not."""

_PIECE: Final = 16 << 20
_VERSIONS: Final = (
    "ETag",
    "etag",
    "md5Hash",
    "generation",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "created",
)
"""What services call that by which one version of a file differs from the next."""


class FsspecStore:
    """The files below a folder behind an fsspec URL. To make one asks the server whether the folder is there.

    Nothing is copied to this machine and nothing is written there.
    """

    def __init__(self, url: str, *, pause: float = 0.5) -> None:
        self.location = url.rstrip("/")
        self._remote = Remote(url, pause=pause)
        self._remote.describe()
        # Each read waits 20 to 100 ms for the server, whatever this machine has in cores. Where every thread needs a
        # connection of its own (FTP, SFTP), servers allow few.
        self.readers = 32 if self._remote.shared else 8

    def list(self) -> Entries:
        """All files sorted by path."""
        return sorted(self._entries(), key=attrgetter("path"))

    def read(self, path: str) -> bytes:
        """The bytes of one file. `SourceError` where the server has stopped answering."""
        if "\0" in path or (".." in path and ".." in path.split("/")):
            raise missing(path)
        try:
            return self._remote.read(path, most_bytes(path))
        except FileNotFoundError as error:
            if "%" not in path or original_name(path) == path:
                raise missing(path) from error
        return self._remote.read(original_name(path), most_bytes(path))

    def _entries(self) -> Iterator[Entry]:
        for name, size in self._remote.find():
            if not is_hidden(name):
                yield Entry(portable_name(name), size)


class Remote:
    """A place behind a URL: what is asked of its server, and what the answers mean."""

    def __init__(self, url: str, *, pause: float = 0.5) -> None:
        self.url = url
        self._pause = pause
        self._files, self._root = connect(url)
        self._own = threading.local()

    @property
    def shared(self) -> bool:
        """May all threads use one connection?"""
        return bool(self._files.async_impl)

    def describe(self) -> dict[str, Any]:
        """What the server says about the place: `type` is `file` or `directory`, `size` in bytes for a file."""
        try:
            return dict(self._ask("info", self._root, deadline=CONTACT))
        except OSError as error:
            raise explain(error, self.url) from error

    def find(self) -> Iterator[tuple[str, int]]:
        """Path below the place, and size, of every file."""
        strict = {"on_error": "raise"} if walks(self._files) else {}
        try:
            found = self._ask("find", self._root, deadline=None, detail=True, **strict)
        except OSError as error:
            raise explain(error, self.url) from error
        start = len(self._root.rstrip("/")) + 1
        for name, facts in found.items():
            path = name[start:]
            # Some tools make folders in object stores by empty objects whose names end in a slash.
            if path and not path.endswith("/") and facts.get("type") != "directory":
                yield path, int(facts["size"] if facts.get("size") is not None else -1)

    def read(self, path: str, most: int) -> bytes:
        """The bytes of one file below the place; `OSError` for one that cannot be had or has more than `most` bytes."""
        name = f"{self._root.rstrip('/')}/{path}"
        try:
            data = self._ask("cat_file", name, deadline=_READ, start=0, end=most + 1)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            # No part can be had of a file without bytes: S3 and Google answer 416.
            if self._ask("info", name, deadline=_READ).get("size") == 0:
                return b""
            raise damaged(path, words(error)) from error
        if len(data) > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", path)
        return bytes(data)

    def read_part(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of the place itself, which is a file."""
        try:
            return bytes(self._ask("cat_file", self._root, deadline=_READ, start=start, end=end))
        except OSError as error:
            raise explain(error, self.url) from error

    def _ask(self, verb: str, *arguments: Any, deadline: float | None, **options: Any) -> Any:
        """The library's answer. `OSError` where it is a clear no, `SourceError` where there is none."""
        from fsspec.asyn import sync

        files = self._files if self.shared else self._own_files()
        tries = 1 if verb == "info" else TRIES  # at first contact, to wait longer rarely helps
        for attempt in range(1, tries + 1):
            try:
                if self.shared:
                    return sync(files.loop, getattr(files, f"_{verb}"), *arguments, timeout=deadline, **options)
                return getattr(files, verb)(*arguments, **options)
            except Exception as error:  # each library raises errors of its own
                no = refusal(error)
                if no is not None:
                    raise no from error
                if attempt == tries:
                    raise SourceError(
                        f"The server of {self.url!r} does not answer ({words(error)}).",
                        expected="A server that can be reached.",
                        do="Check the connection, then run the same command again: what was done is kept.",
                    ) from error
                time.sleep(self._pause * 2 ** (attempt - 1))
        raise RuntimeError("never reached")

    def _own_files(self) -> Any:
        """This thread's own connection."""
        if not hasattr(self._own, "files"):
            self._own.files = connect(self.url)[0]
        return self._own.files


def is_file(url: str) -> bool:
    """Is there a file behind this URL, and not a folder? `SourceError` where there is nothing."""
    return Remote(url).describe().get("type") == "file"


def fetch_file(url: str, *, tell: Tell = silent) -> Path:
    """The file behind an fsspec URL, copied once into the cache; fetched anew where the server has another version."""
    remote = Remote(url)
    facts = remote.describe()
    size = int(facts["size"])
    version = "\n".join([url, str(size), *(str(facts.get(name, "")) for name in _VERSIONS)])
    folder = make_folder(cache_folder("downloads") / sha256(version.encode(errors="surrogatepass")).hex()[:16])
    final, part = folder / plain_name(url), folder / ".part"
    with locked(folder):
        if final.is_file() and final.stat().st_size == size:
            tell(Note(f"{url} was fetched before: {final} is used."))
            return final
        with explain_output(part), open(part, "ab") as file:
            while (done := file.tell()) < size:
                data = remote.read_part(done, min(done + _PIECE, size))
                if not data:
                    raise SourceError(
                        f"{url!r} ended after {done:,} of {size:,} bytes.",
                        expected="A file that does not change while it is read.",
                        do="Run the same command again.",
                    )
                file.write(data)
                tell(Advance("download", file.tell(), size, "bytes"))
            file.flush()
            os.fsync(file.fileno())
        with explain_output(final):
            os.replace(part, final)
            sync_folder(folder)
    return final
