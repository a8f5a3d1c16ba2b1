"""What a member of an archive may be: `Limits`, and the one refusal for everything else.

An archive is refused as a whole, before anything of it is used: one that holds a single trap is not to be trusted.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Final

from telltale.data.store import is_hidden, portable_name
from telltale.errors import SourceError

_DRIVE: Final = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold. Generous: no real data set comes near, a bomb is far beyond."""

    files: int = 20_000_000
    """Members: ImageNet-21k has 14 million."""
    total: int = 2 * 2**40
    """Bytes when unpacked, 2 TB: ImageNet-21k has 1.3."""
    ratio: int = 200
    """Unpacked bytes per packed byte. JPEGs have about 1, tables 10; deflate reaches 1,032, and only on monotony."""
    free: int = 64 * 2**20
    """Unpacked bytes that no ratio is asked of: a white 16-megapixel bitmap is harmless."""


@dataclass(slots=True)
class Inspector:
    """Looks at the members of one archive in turn and refuses the archive at the first that may not be."""

    location: str
    limits: Limits = field(default_factory=Limits)
    seen: set[str] = field(default_factory=set)
    total: int = 0

    def accept_folder(self, name: str) -> None:
        """Check the name of a folder; folders themselves are not listed."""
        why = find_trap(name)
        if why:
            raise refuse(self.location, name, why)

    def accept(self, name: str, size: int) -> str:
        """The path of a plain file that is to be listed, `""` for a hidden one; raises `SourceError`."""
        self.accept_folder(name)
        path = portable_name("/".join(part for part in name.split("/") if part not in ("", ".")))
        if not path:
            raise refuse(self.location, name, "has no name")
        if path in self.seen:
            raise refuse(self.location, name, "appears twice")
        self.seen.add(path)
        if len(self.seen) > self.limits.files:
            raise refuse(self.location, name, f"is one of more than {self.limits.files:,} files")
        self.total += size
        if self.total > self.limits.total:
            raise refuse(self.location, name, f"brings the archive above {self.limits.total:,} bytes when unpacked")
        return "" if is_hidden(path) else path


def find_trap(name: str) -> str:
    """Why a member's name is refused; empty where it is a plain relative name.

    >>> find_trap("cats/1.jpg"), find_trap("../1.jpg")
    ('', "leads out of the archive with '..'")
    """
    if "\\" in name:
        return "has a backslash in its name"
    if "\0" in name:
        return "has a zero byte in its name"
    if name.startswith("/"):
        return "has an absolute name"
    if _DRIVE.match(name) or (os.name == "nt" and ":" in name):
        return "names a drive"
    if ".." in name and ".." in name.split("/"):
        return "leads out of the archive with '..'"
    return ""


def refuse(location: str, member: str, why: str) -> SourceError:
    """The one error for an archive with a member that may not be."""
    shown = member if len(member) <= 120 else member[:117] + "..."
    return SourceError(
        f"The archive {location!r} is refused: its member {shown!r} {why}.",
        expected="Plain files and folders under relative names, each once.",
        do="Take the archive from a source that you trust, or pack the folder again.",
    )


def damaged_archive(location: str, why: str) -> SourceError:
    """The one error for an archive that cannot be read to its end."""
    return SourceError(
        f"The archive {location!r} is damaged or cut short ({why}).",
        expected="A whole zip or tar.",
        do="Download or copy it again.",
    )
