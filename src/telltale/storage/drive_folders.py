"""`DriveFolders`: the ids of folders by path; one that is missing is made, never a second one of its name."""

import re
from collections.abc import Iterable
from typing import Any, Final

from telltale.storage.drive_calls import FIELDS, SHARED, DriveCalls, Vanished

FOLDER: Final = "application/vnd.google-apps.folder"

_ID: Final = r"[A-Za-z0-9_-]{19,}"
"""What looks like an id. Those of shared drives have 19 letters."""


class DriveFolders:
    """The folders below `root`: names from My Drive on, or the id of a folder and names from there on."""

    def __init__(self, calls: DriveCalls, root: tuple[str, ...]) -> None:
        self._calls = calls
        self._root = root
        self._known: dict[tuple[str, ...], str] = {}
        self._planned: dict[tuple[str, str], str] = {}

    def find(self, path: str) -> str:
        """The id of a folder below the root; empty where it is not there."""
        return self._find(self._split(path))

    def make(self, path: str) -> str:
        """The id of a folder below the root, which is made where it is missing."""
        parts = self._split(path)
        for depth in range(1, len(parts) + 1):
            if not self._find(parts[:depth]):
                self._known[parts[:depth]] = self._make(self._find(parts[: depth - 1]), parts[depth - 1])
        return self._known[parts]

    def learn(self, path: str, id_: str) -> None:
        """A listing has shown the id of a folder."""
        self._known[self._split(path)] = id_

    def forget(self, path: str = "") -> None:
        """Look up this folder, and those below it, anew when they are needed; without a path also the root."""
        parts = self._split(path) if path else ()
        if not parts:
            self._calls.corpus = {}
        self._known = {known: id_ for known, id_ in self._known.items() if known[: len(parts)] != parts}

    def _split(self, path: str) -> tuple[str, ...]:
        return (*self._root, *(part for part in path.split("/") if part))

    def _find(self, parts: tuple[str, ...]) -> str:
        if not parts:
            return "root"
        if parts not in self._known:
            parent = self._find(parts[:-1])
            found = self._search(parent, parts[-1]) if parent else ""
            if not found and len(parts) == 1 and re.fullmatch(_ID, parts[0]):
                found = self._look_up(parts[0])
            if not found:
                return ""
            self._known[parts] = found
        return self._known[parts]

    def _search(self, parent: str, name: str) -> str:
        """Of several folders of one name, which other tools make, everyone takes the oldest: it never changes."""
        query = f"{quote(parent)} in parents and name = {quote(name)} and mimeType = '{FOLDER}' and trashed = false"
        return oldest(found for found in self._calls.search(query) if found["name"] == name)

    def _look_up(self, id_: str) -> str:
        """The id, if it is that of a folder. In a shared drive, searches have to name the drive from then on."""
        found = self._calls.look_up(id_, "id,mimeType,trashed,driveId")
        if found is None or found.get("mimeType") != FOLDER:
            return ""
        if found.get("driveId"):
            self._calls.corpus = {"corpora": "drive", "driveId": found["driveId"]}
        return id_

    def _make(self, parent: str, name: str) -> str:
        """Make a folder, with the id of an attempt before whose answer may have been lost: then it is there."""
        id_ = self._planned.get((parent, name), "")
        if not id_:
            id_ = self._planned[parent, name] = self._calls.reserve_id()
        described = {"id": id_, "name": name, "mimeType": FOLDER, "parents": [parent]}
        params = {"fields": FIELDS, **SHARED}
        answer = self._calls.call("POST", self._calls.files, params=params, body=described, accept=(404, 409))
        if answer.status == 404 or (answer.status == 409 and self._calls.look_up(id_) is None):
            self._planned.pop((parent, name))
            raise Vanished(parent)
        return id_


def quote(text: str) -> str:
    """Text as it stands in a query.

    >>> print(quote("it's"))
    'it\\'s'
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def oldest(folders: Iterable[dict[str, Any]]) -> str:
    """The id of the folder that was made first; empty without any."""
    return str(min(folders, key=lambda one: (one["createdTime"], one["id"]), default={"id": ""})["id"])
