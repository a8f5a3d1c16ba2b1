"""`download`: a URL to a file in the cache, with progress, resumed after a break, checked.

A finished file is used again without asking the server: the same command works offline and trains on the same
pictures. Delete its folder, or give another `#sha256=`, to have it fetched anew.

One folder per URL, below `downloads/` in the cache: `.part` is what has arrived, `.state.json` says which version of
the file it belongs to, `.lock` keeps a second process waiting; the finished file has its own name.
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, Final

from telltale.errors import DownloadError, SourceError
from telltale.files import cache_folder, explain_output, make_folder, sha256_file, write_atomic
from telltale.progress import Advance, Note, Tell, silent

RETRIES: Final = 3
"""Attempts after a break that brought nothing new; one that did starts the count again."""

_TIMEOUT: Final = 30.0
_CHUNK: Final = 256 * 1024
_PROGRESS: Final = 1 << 20
_PASSING: Final = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be different a moment later."""


@dataclass(slots=True)
class State:
    """What the server said about the file that is being received."""

    name: str = ""
    etag: str = ""
    modified: str = ""
    total: int = -1

    @property
    def validator(self) -> str:
        """What says that it is still the same file: a strong ETag, else the time of the last change."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class _Broken(Exception):
    """The transfer stopped, and another attempt may help."""


def is_url(location: str) -> bool:
    """Does the text start like a URL?

    >>> is_url("https://example.org/a.zip"), is_url("C:/a.zip"), is_url("a.zip")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", location) is not None


def download(url: str, *, tell: Tell = silent, pause: float = 1.0) -> Path:
    """The file behind an http(s) URL, on this machine.

    `#sha256=HEX` at the end of the URL is checked. After a break the transfer goes on where it stopped, here and in a
    later run, if the server says that the file is the same; `pause` is the first wait in seconds, doubled each time.
    Raises `SourceError` for a URL that cannot be right, `DownloadError` where the transfer failed.
    """
    address, checksum = _check_url(url)
    folder = make_folder(cache_folder("downloads") / hashlib.sha256(address.encode()).hexdigest()[:16])
    with locked(folder):
        state = _load_state(folder)
        final = folder / state.name if state.name else folder / "."
        if final.is_file() and state.total in (-1, final.stat().st_size):
            if not checksum or sha256_file(final) == checksum:
                tell(Note(f"{shown(url)} was downloaded before: {final} is used. Delete it to fetch it again."))
                return final
            final.unlink()
        _receive_patiently(address, folder, tell, pause)
        return _finish(url, folder, checksum)


def shown(url: str) -> str:
    """The URL for people and logs: without the query, which may hold a key.

    >>> shown("https://example.org/a.zip?token=1#sha256=ab")
    'https://example.org/a.zip'
    """
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def plain_name(named: str) -> str:
    """A file name without anything that a file system, a shell or a reader could stumble over.

    >>> plain_name("a/b/cats & dogs.zip"), plain_name("..")
    ('cats_dogs.zip', 'download')
    """
    name = re.sub(r"[^\w.-]+", "_", named.replace("\\", "/").rpartition("/")[2]).lstrip("._")[-100:]
    return name.lstrip("._") or "download"


def _check_url(url: str) -> tuple[str, str]:
    """The URL without its fragment, and the checksum that the fragment gives."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        raise SourceError(
            f"{shown(url)!r} cannot be fetched.", expected="An http or https URL.", do="Download it yourself."
        )
    if "@" in parts.netloc:
        raise SourceError(
            f"The URL of {parts.netloc.rpartition('@')[2]!r} holds a user name or a password.",
            expected="A URL without them: they would end up in logs and run folders.",
            do="Download the file yourself and give its path.",
        )
    checksum = ""
    if parts.fragment.startswith("sha256="):
        checksum = parts.fragment.removeprefix("sha256=").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", checksum):
            raise SourceError(
                f"The checksum in {shown(url)!r} is not a SHA-256.",
                expected="#sha256= and 64 hexadecimal digits.",
                do="Copy it again.",
            )
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, query, "")), checksum


def _receive_patiently(address: str, folder: Path, tell: Tell, pause: float) -> None:
    """Receive until `.part` is whole; after a break, wait a little and go on."""
    failures = 0
    while True:
        before = _size(folder / ".part")
        try:
            return _receive(address, folder, tell)
        except _Broken as error:
            failures = 0 if _size(folder / ".part") - before >= _PROGRESS else failures + 1
            if failures > RETRIES:
                raise DownloadError(
                    f"The transfer of {shown(address)!r} broke ({error}).",
                    expected="A connection that holds.",
                    do="Run the same command again: it goes on from what has arrived.",
                ) from error
            tell(Note(f"The transfer broke ({error}); trying again."))
            time.sleep(pause * 2 ** max(failures - 1, 0))


def _receive(address: str, folder: Path, tell: Tell) -> None:
    """One attempt: ask for the rest where a part is there, for everything otherwise."""
    part, state = folder / ".part", _load_state(folder)
    start = _size(part) if state.validator else 0
    if start and start == state.total:
        return
    headers = {"User-Agent": "telltale", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": state.validator}
    with _answered(address, headers, part) as answer:
        if answer.status != 206 or not _continues(answer.headers, start, state):
            if answer.status == 206:
                part.unlink(missing_ok=True)
                raise _Broken("the server sent another part than was asked for")
            start, state = 0, _describe(answer, address)
            part.unlink(missing_ok=True)  # before the state: old bytes must never pass for the new file's
            _save_state(folder, state)
        with _interrupted(), explain_output(part), open(part, "ab" if start else "wb") as file:
            done = start
            while data := answer.read(_CHUNK):
                if done == 0:
                    _refuse_page(data, answer.headers, address)
                file.write(data)
                done += len(data)
                tell(Advance("download", done, state.total if state.total >= 0 else None, "bytes"))
    if state.total >= 0 and done < state.total:
        raise _Broken(f"{done:,} of {state.total:,} bytes arrived")


@contextlib.contextmanager
def _answered(address: str, headers: dict[str, str], part: Path) -> Iterator[Any]:
    """The server's answer; what may pass becomes `_Broken`, what will not an error for the user."""
    try:
        with _interrupted():
            answer = _opener().open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file is now
            part.unlink(missing_ok=True)
            raise _Broken("the file has changed") from error
        if error.code in _PASSING:
            raise _Broken(f"the server answered {error.code} {error.reason}") from error
        raise SourceError(
            f"The server answered {error.code} {error.reason} for {shown(address)!r}.",
            expected="A URL that answers with the file, without a login.",
            do="Check the URL in a browser.",
        ) from error
    with answer:
        yield answer


@contextlib.contextmanager
def _interrupted() -> Iterator[None]:
    """Errors of the network as `_Broken`; a full or locked disk is an `OutputError` before it gets here."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise _Broken(str(reason) or type(reason).__name__) from error


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, never to a file or another service."""

    def http_error_302(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message) -> Any:
        target = urllib.parse.urljoin(req.full_url, headers.get("Location", ""))
        scheme = urllib.parse.urlsplit(target).scheme
        if scheme not in ("http", "https"):
            fp.close()
            raise SourceError(
                f"{shown(req.full_url)!r} redirects to {scheme!r}.",
                expected="An http or https URL.",
                do="Download the file yourself and give its path.",
            )
        return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener() -> urllib.request.OpenerDirector:
    """Built by hand: the usual one would also open ftp:, file: and data: URLs."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirect(),
    ):
        opener.add_handler(handler)
    return opener


def _continues(headers: Message, start: int, state: State) -> bool:
    """Does a partial answer begin where ours ends, in a file of the same length?"""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    return bool(match and int(match[1]) == start and match[2] in ("*", str(state.total)))


def _describe(answer: Any, address: str) -> State:
    headers = answer.headers
    length = headers.get("Content-Length", "")
    named = headers.get_filename() or urllib.parse.unquote(urllib.parse.urlsplit(answer.url).path.rpartition("/")[2])
    if "." not in named:
        named = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2]) or named
    return State(
        name=plain_name(named),
        etag=headers.get("ETag", ""),
        modified=headers.get("Last-Modified", ""),
        total=int(length) if length.isdigit() else -1,
    )


def _refuse_page(data: bytes, headers: Message, address: str) -> None:
    """A page with a login or a button, in place of the file behind it."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")) or (
        headers.get_content_type() == "text/html" and head.startswith(b"<")
    ):
        raise SourceError(
            f"{shown(address)!r} answered with a web page, not with a file.",
            expected="A URL that answers with the archive or table itself, without a login.",
            do="Copy the link of the page's download button, or download the file yourself and give its path.",
        )


def _finish(url: str, folder: Path, checksum: str) -> Path:
    """Check what has arrived and give it its name."""
    part, state = folder / ".part", _load_state(folder)
    if checksum and (found := sha256_file(part)) != checksum:
        part.unlink()
        raise DownloadError(
            f"{shown(url)!r} arrived with SHA-256 {found[:12]}….",
            expected=f"{checksum[:12]}…, as the URL says.",
            do="Check the checksum; if it is right, the file on the server has been changed.",
        )
    final = folder / state.name
    with explain_output(final):
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, final)
    return final


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _load_state(folder: Path) -> State:
    """What is known about the part; nothing where the file is missing or broken: then it starts over."""
    try:
        return State(**json.loads((folder / ".state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return State()


def _save_state(folder: Path, state: State) -> None:
    write_atomic(folder / ".state.json", json.dumps(asdict(state)))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in the folder: a second process waits, then finds the file finished."""
    with explain_output(folder), open(folder / ".lock", "ab") as file:
        _lock(file)
        yield


def _lock(file: IO[bytes]) -> None:
    """Held until the file is closed, also by a crash."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            with contextlib.suppress(OSError):  # gives up after ten seconds by itself
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                return
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
