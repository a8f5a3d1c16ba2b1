"""`Place`: files by name below one folder that may be far away, and what is asked of every kind of place."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from telltale.errors import TelltaleError

PIECE: Final = 8 << 20
"""Bytes that are sent or asked for at once: what a transfer holds in memory."""


class Away(TelltaleError):
    """A place does not answer, or answers that it cannot now: the same call may work later.

    `wait` is how many seconds it asked to be left alone; 0 where it did not say.

    >>> str(Away("no answer within 30 s")), Away("429", wait=5).wait
    ('no answer within 30 s', 5)
    """

    def __init__(self, text: str, *, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Stored:
    """What a place says of one file: its size in bytes, and MD5 or SHA-256 (hexadecimal) where the place knows them.

    `md5` may also be what S3 says of a file that came in pieces of `PIECE` bytes: the MD5 of their MD5s, `-`, and how
    many they were.
    """

    size: int
    md5: str = ""
    sha256: str = ""


class Place(Protocol):
    """A folder somewhere. Names are relative, with `/` between parts of letters, digits, `.`, `_` and `-`.

    * Every method raises `Away` where the same call may work later: no connection, no answer in time, an answer such
      as 429 or 503, a mount that is gone. Over a line, no method waits much longer than its own deadline; a
      folder on a mount that hangs can hang, too.
    * It raises `PlaceError`, with what to do, where the same call will not work later: no or refused credentials, no
      permission, no such bucket, no room left.
    * `read` and `stat` raise `FileNotFoundError` for a name that is not there; `delete` does not.
    * All methods may be called from any thread, and by one thread at a time.
    """

    url: str
    """How the place is named for people."""

    def open(self) -> None:
        """Connect, and make the folder where it is missing and can be made. Called once, before anything else."""

    def list(self, folder: str = "") -> dict[str, Stored]:
        """Every file below `folder` at any depth, by name; empty where the folder is not there."""

    def folders(self) -> tuple[str, ...]:
        """Names of the folders right below the place, sorted; one question, however much they hold."""

    def stat(self, name: str) -> Stored:
        """What the place says of one file, asked anew."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file; fewer where the file ends before, or where fewer came."""

    def write(self, name: str, source: Path | bytes) -> None:
        """Make `source` (a file, or content) the file of this name: a reader sees the old one or the whole new one.

        A second call with the same name replaces the file; there are never two of one name.
        """

    def delete(self, name: str) -> None:
        """Remove a file for good."""
