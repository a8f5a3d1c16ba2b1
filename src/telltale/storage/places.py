"""`open_place`: the place behind a URL or path; `check_round_trip`: whether files go there and come back."""

import contextlib
import os
import secrets
import time
from typing import Final
from urllib.parse import unquote

from telltale.errors import PlaceError
from telltale.storage.patience import patiently
from telltale.storage.place import Away, Place

CONTACT: Final = 20.0
"""Seconds after which a place that is away at first contact is not tried again."""

_TRIES: Final = 5
_LOCAL: Final = "file"


def open_place(url: str, *, pause: float = 1.0) -> Place:
    """The place behind `gdrive://…`, `s3://…`, `gs://…` or another URL that fsspec knows, or behind a path; open.

    `PlaceError` says what is wrong: an unknown kind, no credentials, no permission, no such bucket, no answer. `pause`
    is the first of the pauses, in seconds, after which a place that does not answer is tried again.
    """
    place = _choose(url)
    try:
        patiently(place.open, tries=_TRIES, pause=pause, within=CONTACT)
    except Away as error:
        raise _silent(place, error) from error
    return place


def check_round_trip(place: Place, *, pause: float = 1.0) -> float:
    """Write a small file, read it back and delete it: the seconds that it took.

    `PlaceError` where that does not work, also where the place does not answer within about `CONTACT` seconds.
    """
    start = time.perf_counter()
    token = secrets.token_hex(4)
    name, content = f"telltale-check-{token}", f"Telltale was here ({token}). This file can be deleted.\n".encode()
    try:
        patiently(lambda: _go_round(place, name, content), tries=_TRIES, pause=pause, within=CONTACT)
    except Away as error:
        raise _silent(place, error) from error
    return time.perf_counter() - start


def _go_round(place: Place, name: str, content: bytes) -> None:
    try:
        place.write(name, content)
        size, back = place.stat(name).size, place.read(name, 0, len(content) + 1)
    except BaseException as error:
        with contextlib.suppress(Away, PlaceError):
            place.delete(name)
        if isinstance(error, FileNotFoundError):
            raise Away("a file that was just written is not there") from error
        raise
    place.delete(name)
    if size != len(content) or back != content:
        raise PlaceError(
            f"{place.url} gives back other bytes than were written.",
            expected="A place that keeps files as they are.",
            do="Give another mirror.",
        )


def _choose(url: str) -> Place:
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if separator and scheme == "gdrive":
        from telltale.storage.drive import DrivePlace

        return DrivePlace(url)
    if separator and scheme != _LOCAL:
        from telltale.storage.bucket import BucketPlace

        return BucketPlace(url)
    from telltale.storage.folder import FolderPlace

    if separator:
        path = rest.removeprefix("localhost")
        return FolderPlace(path if os.path.lexists(path) else unquote(path))  # browsers write %20, fsspec does not
    return FolderPlace(url)


def _silent(place: Place, error: Away) -> PlaceError:
    return PlaceError(
        f"{error}." if "does not answer" in str(error) else f"{place.url} does not answer ({error}).",
        expected="A place that can be reached when the training begins.",
        do="Check the connection and the address, then run the same command again.",
    )
