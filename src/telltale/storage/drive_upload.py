"""`Upload`: the content of one file on its way to Google Drive, in pieces, which goes on where it was broken off.

https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from telltale.storage.drive_calls import FIELDS, SHARED, Answer, DriveCalls, Vanished
from telltale.storage.drive_refusals import Busy
from telltale.storage.place import PIECE, Away

STALLS: Final = 3
"""How often in a row the server may take nothing of what is sent."""

_LOST: Final = (400, 404, 410)
"""What the server says of an upload that it does not know any more: it lives for a week, if all goes well."""


class Conflict(Exception):
    """There is a file with the id that was to be made."""


class Lost(Exception):
    """The server has forgotten the upload: it has to begin anew."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that the server has been told of; `address` is where its pieces go."""

    address: str
    size: int


def begin(calls: DriveCalls, id_: str, size: int, *, made: Mapping[str, object] | None = None) -> Upload:
    """Tell the server of new content for the file `id_`; where the file is to be `made`, of its name and folder.

    `Conflict` where it is to be made and is there, `Vanished` where it, or its folder, is not.
    """
    method, address, described = "PATCH", f"{calls.uploads}/{id_}", dict[str, object]()
    if made is not None:
        method, address, described = "POST", calls.uploads, {"id": id_, **made}
    answer = calls.call(
        method,
        address,
        params={"uploadType": "resumable", "fields": FIELDS, **SHARED},
        headers={"X-Upload-Content-Type": "application/octet-stream", "X-Upload-Content-Length": str(size)},
        body=described,
        accept=(404,) if made is None else (404, 409),
    )
    if answer.status == 409:
        raise Conflict(id_)
    if answer.status == 404:
        raise Vanished(id_)
    place = answer.headers.get("Location", "")
    if not place:
        raise Away(f"{calls.url} does not answer (it names no place for an upload)")
    return Upload(place, size)


def send(calls: DriveCalls, upload: Upload, content: BinaryIO, *, resume: bool = False) -> dict[str, Any]:
    """Send what the server does not have yet: what it says of the file then.

    `resume`: it may have some. After an answer that did not come it is asked once what has arrived.
    """
    answer = _ask(calls, upload) if resume else None
    reached, stalls = 0, 0
    while True:
        if answer is not None:
            if answer.status != 308:
                return _finish(calls, answer)
            before, reached = reached, _read_reached(answer, upload, calls.url)
            stalls = 0 if reached > before else stalls + 1
            if stalls > STALLS:
                raise Away(f"{calls.url} does not take what is sent, after {reached:,} of {upload.size:,} bytes")
        try:
            answer = _send_piece(calls, upload, content, reached)
        except Busy:
            raise
        except Away:
            answer = _ask(calls, upload)


def _send_piece(calls: DriveCalls, upload: Upload, content: BinaryIO, start: int) -> Answer:
    content.seek(start)
    end = min(start + PIECE, upload.size)
    piece = content.read(end - start)
    if len(piece) < end - start:
        raise OSError(f"the file has become shorter than {upload.size:,} bytes while it was sent")
    if not piece and upload.size:
        return _ask(calls, upload)
    headers = {"Content-Range": f"bytes {start}-{end - 1}/{upload.size}"} if piece else {}
    return _put(calls, upload, headers, piece)


def _ask(calls: DriveCalls, upload: Upload) -> Answer:
    """What has arrived?"""
    return _put(calls, upload, {"Content-Range": f"bytes */{upload.size}"}, b"")


def _put(calls: DriveCalls, upload: Upload, headers: Mapping[str, str], piece: bytes) -> Answer:
    return calls.call("PUT", upload.address, headers=headers, body=piece, accept=(308, 409, *_LOST))


def _read_reached(answer: Answer, upload: Upload, url: str) -> int:
    """How many bytes have arrived and are kept. It may be fewer than were sent."""
    match = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", "").strip())
    reached = int(match[1]) + 1 if match else 0
    if reached > upload.size:
        raise Away(f"{url} says that it has {reached:,} bytes of a file of {upload.size:,}")
    return reached


def _finish(calls: DriveCalls, answer: Answer) -> dict[str, Any]:
    if answer.status == 409:
        raise Conflict
    if answer.status in _LOST:
        raise Lost
    return calls.parse(answer)
