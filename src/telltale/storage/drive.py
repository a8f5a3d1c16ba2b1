"""`DrivePlace`: a folder of Google Drive as a place, over version 3 of its API.

In Drive a name says nothing: a folder may hold many files of one name, and a file is what its id says. So what is
there is looked up before anything is written and gets new content by its id; what is new gets an id beforehand, so
that an attempt whose answer was lost can be repeated. https://developers.google.com/workspace/drive/api/reference/rest/v3
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from telltale.errors import PlaceError
from telltale.storage.drive_calls import SHARED, DriveCalls, Vanished
from telltale.storage.drive_folders import FOLDER, DriveFolders, oldest, quote
from telltale.storage.drive_refusals import judge_answer, read_reason
from telltale.storage.drive_upload import Conflict, Lost, Upload, begin, send
from telltale.storage.place import Away, Stored

ROUNDS: Final = 3
"""How often a file is begun anew where the server forgot it, or others took away its folder."""

_NOT_FILES: Final = "application/vnd.google-apps."
"""Folders, shortcuts, and documents that have no bytes."""

T = TypeVar("T")


class DrivePlace:
    """The files below `gdrive://folder/sub`, a folder of My Drive, or below `gdrive://ID/sub`, of a shared one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = tuple(part for part in url.partition("://")[2].split("/") if part)
        if not self._root or {".", ".."} & set(self._root):
            raise PlaceError(
                f"{url!r} names no folder of Google Drive.",
                expected="gdrive://folder, from My Drive on, or gdrive://ID of a folder that is shared.",
                do="Add the folder: it is made where it is missing.",
            )
        self._ids: dict[str, str] = {}
        """Ids of files that were seen or made here, and of those that are to be made."""
        self._begun: tuple[tuple[object, ...], Upload] | None = None

    def open(self) -> None:
        """Find credentials, and the folder, which is made where it is missing."""
        calls = DriveCalls(self.url)
        self._calls, self._folders = calls, DriveFolders(calls, self._root)
        self._repeat(lambda: self._folders.make(""))

    def list(self, folder: str = "") -> dict[str, Stored]:
        """Every file below `folder`, with one question for each folder."""
        self._folders.forget()
        return self._repeat(lambda: self._list(folder))

    def folders(self) -> tuple[str, ...]:
        """Names of the folders right below it."""
        self._folders.forget()
        return self._repeat(self._name_folders)

    def stat(self, name: str) -> Stored:
        """Size and hashes of a file."""
        return _describe(self._require(name))

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file."""
        # The pieces after the first come from the same file, also if there is a newer one of that name by now.
        id_ = self._ids.get(name) if start else None
        with contextlib.suppress(Vanished):
            if id_ and end > start:
                return self._calls.read(id_, start, end)
        found = self._require(name)
        try:
            return self._calls.read(found["id"], start, end) if end > start else b""
        except Vanished as error:
            raise _missing(name) from error

    def write(self, name: str, source: Path | bytes) -> None:
        """Send a file in pieces. One that was broken off goes on where it was, if the same source comes again."""
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as content:
            size = content.seek(0, os.SEEK_END)
            key = (name, size, source if isinstance(source, bytes) else (source, os.stat(source).st_mtime_ns))
            for _ in range(ROUNDS):
                try:
                    if not self._send(name, content, size, key).get("trashed"):
                        return
                except (Conflict, Lost):
                    continue  # what is there by now is found in the next round
                except Vanished:
                    pass
                self._ids.pop(name, None)
                self._folders.forget()
        raise Away(f"{self.url} does not keep {name}: others take it away, or its folder")

    def delete(self, name: str) -> None:
        """Remove all files of this name for good, and put folders that this leaves empty into the bin."""
        folder = name.rpartition("/")[0]
        for found in self._repeat(lambda: self._find(name)):
            self._remove(found["id"])
        self._ids.pop(name, None)
        with contextlib.suppress(Away, PlaceError, Vanished):  # the file is gone; this only keeps listings short
            while folder and self._clear(folder):
                folder = folder.rpartition("/")[0]

    def _repeat(self, work: Callable[[], T]) -> T:
        """`work`; where a folder has vanished, once more with all folders looked up anew."""
        try:
            return work()
        except Vanished:
            self._folders.forget()
        try:
            return work()
        except Vanished as error:
            raise Away(f"{self.url} changes while it is looked at") from error

    def _name_folders(self) -> tuple[str, ...]:
        id_ = self._folders.find("")
        query = f"{quote(id_)} in parents and mimeType = '{FOLDER}' and trashed = false"
        names = {found["name"] for found in self._calls.search(query)} if id_ else set[str]()
        return tuple(sorted(name for name in names if "/" not in name and not name.startswith(".")))

    def _list(self, folder: str) -> dict[str, Stored]:
        id_ = self._folders.find(folder)
        return dict(sorted(self._walk(folder.strip("/"), id_))) if id_ else {}

    def _walk(self, folder: str, id_: str) -> Iterable[tuple[str, Stored]]:
        """Name and description of every file below a folder."""
        by_name: dict[str, list[dict[str, Any]]] = {}
        for found in self._calls.search(f"{quote(id_)} in parents and trashed = false"):
            if "/" not in found["name"]:  # a name that no path leads to
                by_name.setdefault(found["name"], []).append(found)
        for name, all_ in by_name.items():
            path = f"{folder}/{name}" if folder else name
            if file := _newest(all_):
                self._ids[path] = file["id"]
                yield path, _describe(file)
            if child := oldest(found for found in all_ if found["mimeType"] == FOLDER):
                self._folders.learn(path, child)
                yield from self._walk(path, child)

    def _find(self, name: str) -> Sequence[dict[str, Any]]:
        """All files of this name."""
        folder, _, last = name.rpartition("/")
        parent = self._folders.find(folder)
        if not parent:
            return []
        query = f"{quote(parent)} in parents and name = {quote(last)} and trashed = false"
        # Drive takes capitals for small letters here.
        files = [found for found in self._calls.search(query) if found["name"] == last and _is_file(found)]
        if not files and name in self._ids:  # searches may lag behind by seconds, questions for an id never
            known = self._calls.look_up(self._ids[name])
            files = [known] if known and known["name"] == last and parent in known.get("parents", [parent]) else []
        return files

    def _require(self, name: str) -> dict[str, Any]:
        """The newest file of this name; a miss is believed after the folders were looked up anew."""
        found = _newest(self._repeat(lambda: self._find(name)))
        if found is None:
            self._folders.forget()
            found = _newest(self._repeat(lambda: self._find(name)))
        if found is None:
            self._ids.pop(name, None)  # what has this id is not that file, or not any more
            raise _missing(name)
        self._ids[name] = found["id"]
        return found

    def _send(self, name: str, content: BinaryIO, size: int, key: tuple[object, ...]) -> dict[str, Any]:
        """What Drive says of the file with its new content."""
        begun, self._begun = self._begun, None
        resume = begun is not None and begun[0] == key
        upload = begun[1] if begun is not None and resume else self._begin(name, size)
        try:
            return send(self._calls, upload, content, resume=resume)
        except Away:
            self._begun = (key, upload)
            raise

    def _begin(self, name: str, size: int) -> Upload:
        folder, _, last = name.rpartition("/")
        parent = self._folders.make(folder)
        if found := _newest(self._find(name)):
            self._ids[name] = found["id"]
            return begin(self._calls, found["id"], size)
        if name not in self._ids:
            self._ids[name] = self._calls.reserve_id()
        try:
            return begin(self._calls, self._ids[name], size, made={"name": last, "parents": [parent]})
        except Conflict:
            return begin(self._calls, self._ids[name], size)

    def _remove(self, id_: str) -> None:
        """Remove one file for good; into the bin where that is all that is allowed, as in most shared drives."""
        answer = self._calls.call("DELETE", f"{self._calls.files}/{id_}", params=SHARED, accept=(403, 404))
        if answer.status != 403:
            return
        if read_reason(answer.body)[0] != "insufficientFilePermissions":
            raise judge_answer(answer.status, answer.headers, answer.body, self.url)
        self._calls.trash(id_)

    def _clear(self, folder: str) -> bool:
        """Put a folder into the bin, not further: was it empty?"""
        # Not the search alone: it may lag behind what was written a moment ago.
        if any(name.startswith(f"{folder}/") for name in self._ids):
            return False
        id_ = self._folders.find(folder)
        if not id_ or self._calls.search(f"{quote(id_)} in parents and trashed = false"):
            return False
        self._calls.trash(id_)
        self._folders.forget(folder)
        return True


def _is_file(found: dict[str, Any]) -> bool:
    return not str(found.get("mimeType", "")).startswith(_NOT_FILES)


def _newest(files: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Of several files of one name, which other tools make, the one that was changed last."""
    return max(filter(_is_file, files), key=lambda one: (one["modifiedTime"], one["id"]), default=None)


def _describe(found: dict[str, Any]) -> Stored:
    return Stored(int(found.get("size", 0)), md5=found.get("md5Checksum", ""), sha256=found.get("sha256Checksum", ""))


def _missing(name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such file", name)
