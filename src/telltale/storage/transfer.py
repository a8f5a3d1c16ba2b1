"""`fetch` and `upload`: whole files from and to a place, in pieces, and checked after they have arrived."""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from telltale.errors import PlaceError
from telltale.storage.place import PIECE, Away, Place, Stored


def fetch(place: Place, name: str, target: Path, size: int) -> None:
    """Read the first `size` bytes of a file into `target`; `Away` where it ends before, or is gone meanwhile.

    Whether they are the right ones is for the caller to see: the manifest beside it says it.
    """
    with open(target, "wb") as file:
        for piece in _read(place, name, size):
            file.write(piece)


def upload(place: Place, name: str, source: Path | bytes) -> Stored:
    """Write a file, and see that what arrived is what was sent: what the place says of it.

    The hash that the place knows is believed where it is the right one. Else, and where it knows none, the file is read
    back. `Away("… arrived damaged")` where it is another one; it is then removed.
    """
    sent = _describe(source)
    place.write(name, source)
    try:
        stored = place.stat(name)
        if _matches(place, name, stored, sent):
            return stored
    except FileNotFoundError as error:
        raise Away(f"{place.url}: {name} is not there after it was written") from error
    with contextlib.suppress(Away, PlaceError):  # the next attempt replaces it
        place.delete(name)
    raise Away(f"{place.url}: {name} arrived damaged")


def holds(place: Place, name: str, stored: Stored, source: Path | bytes) -> bool:
    """Is what a place has under this name, and says of it, the same as `source`? In doubt it is read back."""
    return _matches(place, name, stored, _describe(source))


def _matches(place: Place, name: str, stored: Stored, sent: "_Sent") -> bool:
    return stored.size == sent.size and (_is_proven(stored, sent) or _read_back(place, name, sent))


def _is_proven(stored: Stored, sent: "_Sent") -> bool:
    return stored.sha256 == sent.sha256 or (not stored.sha256 and stored.md5 in sent.md5)


def _read_back(place: Place, name: str, sent: "_Sent") -> bool:
    """Is what comes back what was sent? Encrypted buckets, for one, say a hash that is not that of the file."""
    digest = hashlib.sha256()
    for piece in _read(place, name, sent.size):
        digest.update(piece)
    return digest.hexdigest() == sent.sha256


def _read(place: Place, name: str, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file in pieces; after a short answer it is asked for the rest."""
    done = 0
    while done < size:
        piece = place.read(name, done, min(size, done + PIECE))
        if not piece:
            raise Away(f"{place.url}: {name} ended after {done:,} of {size:,} bytes")
        yield piece
        done += len(piece)


class _Sent:
    """What is sent: its size, its SHA-256, and the two ways in which a place may give its MD5."""

    def __init__(self, file: BinaryIO) -> None:
        self.size, parts = 0, list[bytes]()
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        while piece := file.read(PIECE):
            self.size += len(piece)
            sha256.update(piece)
            md5.update(piece)
            parts.append(hashlib.md5(piece, usedforsecurity=False).digest())
        self.sha256 = sha256.hexdigest()
        # S3, of a file that came in parts: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
        of_parts = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        self.md5 = (md5.hexdigest(), f"{of_parts}-{len(parts)}")


def _describe(source: Path | bytes) -> _Sent:
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        return _Sent(file)
