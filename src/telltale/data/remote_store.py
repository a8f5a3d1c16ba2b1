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
from telltale.registry import suggest

EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""URL schemes to the extra of this package that reads them."""

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
            raise _explain(error, self.url) from error

    def find(self) -> Iterator[tuple[str, int]]:
        """Path below the place, and size, of every file."""
        # fsspec's own walk goes on where a folder may not be listed, and says nothing.
        strict = {"on_error": "raise"} if _walks(self._files) else {}
        try:
            found = self._ask("find", self._root, deadline=None, detail=True, **strict)
        except OSError as error:
            raise _explain(error, self.url) from error
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
            raise damaged(path, _words(error)) from error
        if len(data) > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", path)
        return bytes(data)

    def read_part(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of the place itself, which is a file."""
        try:
            return bytes(self._ask("cat_file", self._root, deadline=_READ, start=start, end=end))
        except OSError as error:
            raise _explain(error, self.url) from error

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
                refusal = _refusal(error)
                if refusal is not None:
                    raise refusal from error
                if attempt == tries:
                    raise SourceError(
                        f"The server of {self.url!r} does not answer ({_words(error)}).",
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


def connect(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it; `SourceError` for a URL that cannot be right."""
    import fsspec

    scheme, _, rest = url.partition("://")
    _check(url, scheme, rest)
    try:
        kind = fsspec.get_filesystem_class(scheme.lower())
    except ValueError as error:
        close = suggest(scheme.lower(), fsspec.available_protocols())
        raise SourceError(
            f"There is no way to read {scheme!r} URLs.",
            expected=f"Did you mean {close[0]}://?"
            if close
            else "s3://, gs://, https:// or another that fsspec reads.",
            do="Check the URL, or install the fsspec package of that service.",
        ) from error
    except ImportError as error:
        extra = EXTRAS.get(scheme.lower(), "")
        raise SourceError(
            f"{scheme}:// needs a package that is not installed.",
            expected="The library of that service." if extra else f"{error}.",
            do=f"pip install 'telltale[{extra}]'" if extra else "Install that package.",
        ) from error
    try:
        # A listing that is kept would hide what has been added since.
        files = kind(**{"use_listings_cache": False, **kind._get_kwargs_from_urls(url)})
        return files, str(kind._strip_protocol(url)).rstrip("/") or "/"
    except Exception as error:  # some connect here, and each library raises errors of its own
        raise _explain(_refusal(error) or OSError(errno.EIO, _words(error)), url) from error


def _check(url: str, scheme: str, rest: str) -> None:
    if not rest.strip("/"):
        raise SourceError(
            f"{url!r} names no folder.", expected=f"{scheme}://bucket/folder.", do="Add the bucket and the folder."
        )
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise SourceError(
            f"The {scheme} URL of {rest.partition('/')[0].rpartition('@')[2]!r} holds a password.",
            expected="A URL without it: it would end up in logs and run folders.",
            do="Give the password where the library of that service looks for it (environment or settings file).",
        )


def _walks(files: Any) -> bool:
    """Does this file system use fsspec's general way to list what is below a folder?"""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    if files.async_impl:
        return type(files)._find is AsyncFileSystem._find
    return type(files).find is AbstractFileSystem.find


def _refusal(error: Exception) -> OSError | None:
    """The error as one of the system's where it is a clear no; None where another attempt may bring a yes."""
    code = getattr(error, "code", 0)
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return error
    if code in (401, 403) or any("Credential" in kind.__name__ for kind in type(error).__mro__):
        return PermissionError(errno.EACCES, _words(error))
    if (isinstance(code, int) and 400 <= code < 500 and code not in (408, 429)) or isinstance(error, ValueError):
        return OSError(errno.EINVAL, _words(error))
    if isinstance(error, OSError) and error.errno in (errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG, errno.ENOSYS):
        return error
    return None


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _explain(error: OSError, url: str) -> SourceError:
    """What a clear no means for the place itself."""
    if isinstance(error, FileNotFoundError):
        return SourceError(
            f"There is no {url!r}.",
            expected="A bucket and a folder that are there and hold something.",
            do="Check the spelling; capitals count.",
        )
    if isinstance(error, PermissionError):
        return SourceError(
            f"{url!r} may not be read ({_words(error)}).",
            expected="Credentials that may list and read it.",
            do=_LOGINS.get(EXTRAS.get(url.partition("://")[0].lower(), ""), "Log in with the tool of that service."),
        )
    return SourceError(
        f"{url!r} cannot be read ({_words(error)}).",
        expected="A folder of pictures, a table or an archive.",
        do="Check the URL.",
    )


_LOGINS: Final = {
    "s3": "Log in with 'aws configure' or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    "for a public bucket set FSSPEC_S3_ANON=true.",
    "gcs": "Log in with 'gcloud auth application-default login'; for a public bucket set FSSPEC_GS_TOKEN=anon.",
}
