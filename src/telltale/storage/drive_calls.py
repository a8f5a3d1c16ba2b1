"""`DriveCalls`: single calls to the Drive API, signed and bounded in time; a refusal is an `Away` or a `PlaceError`."""

import contextlib
import http.client
import io
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from telltale.errors import PlaceError
from telltale.storage.credentials import find_login, require_packages
from telltale.storage.deadline import Deadline
from telltale.storage.drive_refusals import judge_answer, judge_break
from telltale.storage.place import Away

if TYPE_CHECKING:
    import requests

ADDRESS: Final = "https://www.googleapis.com"
"""Where the API is, unless TELLTALE_DRIVE_URL says otherwise."""

CONNECT: Final = 10.0
"""Seconds to wait for a connection."""

READ: Final = 30.0
"""Seconds to wait for the next bytes of an answer."""

CALL: Final = 60.0
"""Seconds for a whole call, and besides as many as its content takes at `SLOWEST` bytes a second."""

SLOWEST: Final = 64 << 10

FIELDS: Final = "id,name,mimeType,size,md5Checksum,sha256Checksum,modifiedTime,createdTime,parents,trashed"
"""What is asked of every file."""

SHARED: Final = {"supportsAllDrives": "true"}
"""Without it Drive says that there is nothing in shared drives."""

_CHUNK: Final = 64 << 10
_LONGEST: Final = 64 << 20
"""Bytes of an answer that is no file: a page of a thousand names has half a megabyte."""

_IDS: Final = 20


class Vanished(Exception):
    """A file or folder whose id was known is not there any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class DriveCalls:
    """The API of one account. `url` names the place in messages."""

    def __init__(self, url: str) -> None:
        address = os.environ.get("TELLTALE_DRIVE_URL", "") or ADDRESS
        if not address.startswith(("http://", "https://")):
            raise PlaceError(
                f"TELLTALE_DRIVE_URL is {address!r}, which is no address of a server.",
                expected="An address such as https://www.googleapis.com.",
                do="Unset it, unless you use a server of your own.",
            )
        require_packages()
        self.url = url
        self.files = f"{address.rstrip('/')}/drive/v3/files"
        self.uploads = f"{address.rstrip('/')}/upload/drive/v3/files"
        self.corpus: dict[str, str] = {}
        """What is searched besides My Drive: empty, or the parameters that name a shared drive."""
        self._deadline = Deadline()
        with self._deadline.within(CALL):
            self._login = find_login(self._deadline.session, url)
        self._ids: list[str] = []

    def call(
        self,
        method: str,
        address: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Mapping[str, object] = b"",
        accept: Collection[int] = (),
    ) -> Answer:
        """The answer, if it is a success or its status is one of `accept`; a `body` that is a mapping goes as JSON."""
        headers = dict(headers or {})
        if not isinstance(body, bytes):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json; charset=UTF-8"
        content, options = body, {"params": params, "headers": headers}
        answer = self._try(lambda: self._exchange(method, address, options, content), len(content))
        if answer.status in accept or 200 <= answer.status < 300:
            return answer
        raise judge_answer(answer.status, answer.headers, answer.body, self.url)

    def read(self, id_: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file, or the first of them where the connection broke; `Vanished` without it."""
        options = {
            "params": {"alt": "media", **SHARED},
            "headers": {"Range": f"bytes={start}-{end - 1}"},
        }
        answer = self._try(lambda: self._exchange("GET", f"{self.files}/{id_}", options, b"", end), end - start)
        if answer.status == 416:
            return b""
        if answer.status == 404:
            raise Vanished(id_)
        if answer.status not in (200, 206):
            raise judge_answer(answer.status, answer.headers, answer.body, self.url)
        return answer.body[: end - start] if answer.status == 206 else answer.body[start:end]

    def search(self, query: str) -> list[dict[str, Any]]:
        """All files and folders that a query finds, from all pages; `Vanished` where it names a folder that is gone."""
        found: list[dict[str, Any]] = []
        params = {
            "q": query,
            "fields": f"nextPageToken,incompleteSearch,files({FIELDS})",
            "pageSize": "1000",
            "spaces": "drive",
            "includeItemsFromAllDrives": "true",
            **SHARED,
            **self.corpus,
        }
        while True:
            answer = self.call("GET", self.files, params=params, accept=(404,))
            if answer.status == 404:
                raise Vanished(query)
            page = self.parse(answer)
            if page.get("incompleteSearch"):
                raise Away(f"{self.url} does not answer now (the search was not complete)")
            found += page.get("files", [])
            if not page.get("nextPageToken"):
                return found
            params["pageToken"] = page["nextPageToken"]

    def look_up(self, id_: str, fields: str = FIELDS) -> dict[str, Any] | None:
        """What Drive says of one file by its id; None where it is not there, or in the bin."""
        answer = self.call("GET", f"{self.files}/{id_}", params={"fields": fields, **SHARED}, accept=(404,))
        if answer.status == 404:
            return None
        found = self.parse(answer)
        return None if found.get("trashed") else found

    def reserve_id(self) -> str:
        """An id for a file to be made: whoever makes it twice by mistake is told so."""
        if not self._ids:
            params = {"count": str(_IDS), "space": "drive"}
            self._ids = list(self.parse(self.call("GET", f"{self.files}/generateIds", params=params)).get("ids", []))
            if not self._ids:
                raise Away(f"{self.url} does not answer now (no ids for new files)")
        return self._ids.pop(0)

    def trash(self, id_: str) -> None:
        """Put a file or folder into the bin; nothing happens where it is not there."""
        params = {"fields": "id", **SHARED}
        self.call("PATCH", f"{self.files}/{id_}", params=params, body={"trashed": True}, accept=(404,))

    def parse(self, answer: Answer) -> dict[str, Any]:
        """The JSON of an answer."""
        with contextlib.suppress(ValueError):
            if isinstance(data := json.loads(answer.body), dict):
                return data
        raise Away(f"{self.url} does not answer (what came is no answer of Google Drive)")

    def _try(self, exchange: Callable[[], Answer], size: int) -> Answer:
        """One exchange; with a new token once more where the old one is not taken."""
        with self._deadline.within(CALL + size / SLOWEST):
            try:
                answer = exchange()
                if answer.status != 401:
                    return answer
                self._login.renew()
                return exchange()
            # ValueError: what an SSL connection that is cut off may raise.
            except (OSError, http.client.HTTPException, ValueError) as error:
                if self._deadline.passed:
                    raise Away(f"{self.url} does not answer (it was too slow)") from error
                raise judge_break(error, self.url) from error

    def _exchange(
        self, method: str, address: str, options: dict[str, Any], body: bytes, most: int = _LONGEST
    ) -> Answer:
        headers = {"User-Agent": "telltale", "Accept-Encoding": "identity", **options["headers"]}
        headers |= self._login.sign(method, address)
        with self._deadline.session.request(
            method,
            address,
            params=options["params"],
            headers=headers,
            # As a file it goes in blocks of 16 KiB, each with the whole of the timeout, also without encryption.
            data=io.BytesIO(body) if body else b"",
            timeout=(CONNECT, READ),
            allow_redirects=method == "GET",
            stream=True,
        ) as response:
            return Answer(response.status_code, response.headers, self._receive(response, most))

    def _receive(self, response: "requests.Response", most: int) -> bytes:
        """The body; where the connection breaks in the middle of a file's bytes, as many as came."""
        body = bytearray()
        try:
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > most:
                    break
            whole = len(body) >= min(int(response.headers.get("Content-Length") or 0), most)
        except OSError:
            whole = False
            if self._deadline.passed or response.status_code != 206 or not body:
                raise
        if not whole and (response.status_code != 206 or not body):
            raise ConnectionError
        return bytes(body)
