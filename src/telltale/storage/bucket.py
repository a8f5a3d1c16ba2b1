"""`BucketPlace`: what fsspec reads and writes as a place: buckets of S3, Google and others, and servers with folders.

The libraries do the work. This file adds what they leave open: an end to waiting, memory that does not grow with the
file, two kinds of error instead of a hundred, and on servers with folders a name that is taken only by a whole file.
"""

import base64
import contextlib
import errno
import queue
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from telltale.errors import PlaceError, SourceError
from telltale.storage.connection import EXTRAS, find_kind, start, walks
from telltale.storage.place import PIECE, Away, Stored
from telltale.storage.refusals import is_past_end, judge

T = TypeVar("T")

DEADLINE: Final = 20.0
"""Seconds for a small question. Left alone, s3fs gives up after about 5, gcsfs after 33, others never."""

_SLOWEST: Final = 100_000
"""Bytes a second that a transfer may count on, besides three deadlines."""

_OBJECT_STORES: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos", "memory"}
"""Schemes where a file appears whole or not at all; there, too, a renaming is a copy."""

# S3 would send ten pieces at once, and hold them in memory.
_SENDING: Final[dict[str, dict[str, Any]]] = {"s3": {"max_concurrency": 1}, "gcs": {}}
_NOWHERE: Final = "telltale-is-this-there"
"""A folder that is in no bucket: to list it asks for bucket, credentials and permission, and for nothing else."""


class BucketPlace:
    """The files below a URL that fsspec knows; `deadline` is in seconds and for a small question.

    A transfer has three times as long, and a second more for every 100 kB. At most two pieces of `piece` bytes are held
    in memory; S3 takes parts from 5 MiB up, Google multiples of 256 KiB. What S3 has received of an upload that was
    cut off stays there unseen until a rule of the bucket (AbortIncompleteMultipartUpload) removes it.
    """

    def __init__(self, url: str, *, deadline: float = DEADLINE, piece: int = PIECE) -> None:
        self.url = url.rstrip("/")
        self._deadline, self._piece = deadline, piece
        self._scheme = url.partition("://")[0].lower()
        self._service = EXTRAS.get(self._scheme, "")
        self._whole = self._scheme in _OBJECT_STORES
        try:
            self._kind = find_kind(url, "write")
        except SourceError as error:
            raise PlaceError(error.given, expected=error.expected, do=error.do) from error
        self._files: Any = None
        self._root = ""
        self._made = set[str]()

    def open(self) -> None:
        """See that the bucket answers; make the folder where the server has such."""
        if self._whole:
            self._probe()
            return
        with self._explained():
            self._ask("makedirs", self._path(""), exist_ok=True)

    def list(self, folder: str = "") -> dict[str, Stored]:
        """Every file below `folder` by name, without those whose names begin with a dot."""
        path = self._path(folder)
        with self._explained():
            try:
                found = self._find(path)
            except (FileNotFoundError, NotADirectoryError) as error:
                if self._service:  # a folder that is missing is an empty answer there
                    raise judge(OSError("the specified bucket does not exist"), self.url) from error
                return {}
        begin = len(self._root.rstrip("/")) + 1
        named = {name[begin:]: facts for name, facts in sorted(found.items()) if facts.get("type") != "directory"}
        return {name: _read_facts(facts) for name, facts in named.items() if not _is_hidden(name)}

    def folders(self) -> tuple[str, ...]:
        """Names of the folders right below it, asked for as such: what they hold is not listed."""
        path = self._path("")
        options = {"refresh": True} if self._service == "s3" else {}
        with self._explained():
            try:
                found = self._ask("ls", path, detail=True, seconds=self._allow(0), **options)
            except (FileNotFoundError, NotADirectoryError):
                return ()
        names = (one["name"].rstrip("/").rpartition("/")[2] for one in found if one.get("type") == "directory")
        return tuple(sorted(name for name in names if name and not name.startswith(".")))

    def stat(self, name: str) -> Stored:
        """Size and, where the service knows one, MD5."""
        options = {"refresh": True} if self._service == "s3" else {}
        try:
            with self._explained():
                facts = self._ask("info", self._path(name), **options)
        except PlaceError:
            self._probe()  # S3 answers to HEAD without a reason: a listing gives it
            raise
        if facts.get("type") == "directory" or facts.get("size") is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", name)
        return _read_facts(facts)

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file."""
        if end <= start:
            return b""
        seconds = self._allow(end - start)
        with self._explained():
            try:
                data = self._ask("cat_file", self._path(name), start=start, end=end, seconds=seconds)
            except (IsADirectoryError, NotADirectoryError) as error:
                raise FileNotFoundError(errno.ENOENT, "there is no such file", name) from error
            except Exception as error:
                if is_past_end(error):
                    return b""
                raise
        return bytes(data[: end - start])

    def write(self, name: str, source: Path | bytes) -> None:
        """Send a file, or content, and see it take its name."""
        seconds = self._allow(_measure(source))
        with self._explained():
            try:
                if self._whole:
                    self._send(self._path(name), source, seconds)
                else:
                    self._send_beside(self._path(name), source, seconds)
            except FileNotFoundError as error:
                # No bucket, or an upload in parts that the server has forgotten.
                self._made.clear()
                self._probe()
                raise Away(f"{self.url}: {name} could not be written: {error}") from error

    def delete(self, name: str) -> None:
        """Remove one file."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            self._ask("rm_file", self._path(name))

    def _find(self, path: str) -> dict[str, dict[str, Any]]:
        # A listing is as long as there are files; what is in a mirror is a few hundred.
        options = {"on_error": "raise"} if walks(self._connected()) else {}
        return dict(self._ask("find", path, detail=True, seconds=self._allow(0), **options))

    def _probe(self) -> None:
        """Ask for what is not there: an error tells of the place itself."""
        with contextlib.suppress(FileNotFoundError):
            self.list(_NOWHERE)

    def _send(self, path: str, source: Path | bytes, seconds: float) -> None:
        options = _SENDING.get(self._service, {}) | ({"chunksize": self._piece} if self._service else {})
        if self._service == "gcs" and 0 < _measure(source) < self._piece:
            self._send_to_google(path, source, seconds)
        elif isinstance(source, bytes):
            self._ask("pipe_file", path, source, seconds=seconds, **options)
        else:
            self._ask("put_file", str(source), path, seconds=seconds, **options)

    def _send_to_google(self, path: str, source: Path | bytes, seconds: float) -> None:
        """One request with nothing in it but the content.

        gcsfs 2026.10.1 puts a line feed and a boundary behind it: after content that ends in a carriage return this
        reads as one line end, and a byte is lost (seen with gcp-storage-emulator 2026.7.19).
        """
        bucket, key, _ = self._files.split_path(path)
        content = source if isinstance(source, bytes) else source.read_bytes()
        url = f"{self._files._location}/upload/storage/v1/b/{bucket}/o"
        kind = {"Content-Type": "application/octet-stream"}
        self._ask("call", "POST", url, uploadType="media", name=key, headers=kind, data=content, seconds=seconds)

    def _send_beside(self, path: str, source: Path | bytes, seconds: float) -> None:
        """Send under another name, then rename: on such servers a file is seen while it grows."""
        folder, _, name = path.rpartition("/")
        if folder not in self._made:
            self._ask("makedirs", folder, exist_ok=True)
            self._made.add(folder)
        temporary = f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"
        try:
            self._send(temporary, source, seconds)
            self._rename(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._ask("rm_file", temporary)
            raise

    def _rename(self, temporary: str, path: str) -> None:
        try:
            self._ask("mv", temporary, path)
        except (TimeoutError, ConnectionError):
            raise
        except Exception:
            # Some FTP servers and SMB do not rename to a name that is taken.
            if not self._ask("exists", path):
                raise
            self._ask("rm_file", path)
            self._ask("mv", temporary, path)

    def _ask(self, verb: str, *arguments: Any, seconds: float = 0.0, **options: Any) -> Any:
        """The library's answer within `seconds`, or else the deadline; raises what the library raises."""
        from fsspec.asyn import sync

        files, seconds = self._connected(), seconds or self._deadline
        if files.async_impl and hasattr(files, f"_{verb}"):
            self._refresh(files)
            # It cancels what takes longer: a late upload would replace what was written after it.
            return sync(files.loop, getattr(files, f"_{verb}"), *arguments, timeout=seconds, **options)
        try:
            return _within(lambda: getattr(files, verb)(*arguments, **options), seconds)
        except TimeoutError:
            self._files = None  # its connection is still waiting for an answer
            raise

    def _connected(self) -> Any:
        if self._files is None:
            # One of its own: one that fsspec has kept would have the credentials of then.
            files, self._root = _within(
                lambda: start(self._kind, self.url, skip_instance_cache=True), 3 * self._deadline
            )
            self._files = files
        return self._files

    def _refresh(self, files: Any) -> None:
        """See to Google's credentials first: gcsfs takes a withdrawn one for something that passes, for 33 seconds."""
        if self._service == "gcs" and files.credentials.credentials is not None:
            _within(files.credentials.maybe_refresh, self._deadline)

    def _path(self, name: str) -> str:
        with self._explained():
            self._connected()
        return f"{self._root.rstrip('/')}/{name}".rstrip("/") or "/"

    def _allow(self, size: int) -> float:
        return 3 * self._deadline + size / _SLOWEST

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a library raises into `Away` or `PlaceError`; a missing file stays one."""
        try:
            yield
        except Exception as error:  # each library raises errors of its own
            judged = judge(error, self.url)
            if isinstance(error, FileNotFoundError) and not isinstance(judged, PlaceError):
                raise
            if judged is error:
                raise
            if isinstance(judged, PlaceError):
                self._files = None  # whoever logs in anew while the training goes on gets a new connection
            raise judged from error


def _measure(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _is_hidden(name: str) -> bool:
    """Is it a temporary file, or one of the empty objects by whose names, with `/` at the end, tools make folders?"""
    return any(part[:1] in ("", ".") for part in name.split("/"))


def _read_facts(facts: dict[str, Any]) -> Stored:
    """What fsspec says of one file."""
    md5 = str(facts.get("ETag") or facts.get("etag") or "").strip('"')
    if not re.fullmatch(r"[0-9a-f]{32}(-\d+)?", md5):
        md5 = ""
    google, azure = facts.get("md5Hash"), (facts.get("content_settings") or {}).get("content_md5")
    with contextlib.suppress(ValueError, TypeError):
        if google:
            md5 = base64.b64decode(google).hex()
        elif azure:
            md5 = bytes(azure).hex()
    return Stored(int(facts.get("size") or 0), md5=md5)


def _within(work: Callable[[], T], seconds: float) -> T:
    """What `work` gives, in a thread of its own; `TimeoutError` after so many seconds, and it is no longer heard."""
    answers = queue.SimpleQueue[tuple[T | None, BaseException | None]]()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # None only with an error
