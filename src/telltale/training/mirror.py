"""`Mirror`: a second place of a run, brought to what the run folder holds, one step at a time.

PLACE/NAME-RUN/                    RUN: the id of the training
    start.HASH/                    index.arrow splits.arrow recipe.toml source.json: what it began with
    weights/epoch-0007-RUN-SESSION/  as in the run folder; the folds of a cross-validation in fold-1/weights/, …
    weights/last.json best.json    which of them, written after them
    results.csv events.jsonl       as far as it is, for people
    test_ledger.jsonl              how often the test part was scored
    result-0030.HASH/              the finished run folder: the classifier, its evaluation, the report
    result.json                    which of those

A folder here is a parcel: its files go first, each checked after it has arrived, and its manifest last. Whatever
lacks a manifest does not count. A parcel never changes and is removed only when newer ones were checked in this very
process, its manifest first. What another run has below the same place is never touched.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telltale.errors import BundleError, PlaceError
from telltale.files import MANIFEST, format_manifest, make_folder, sha256_file, verify_manifest
from telltale.storage.place import Place, Stored
from telltale.storage.transfer import holds, upload
from telltale.training.ledger import LEDGER
from telltale.training.run import Run
from telltale.training.store import POINTERS, Mark, find_whole, list_marks, sort_marks

START: Final = ("index.arrow", "splits.arrow", "recipe.toml", "source.json")
LIVE: Final = ("results.csv", "events.jsonl", LEDGER)
RESULT: Final = "result.json"
SENDING: Final = ".sending"
"""Folder in a run folder with links to what is on its way."""

_LEFT_HERE: Final = ("weights", "tensorboard", "wandb", "mlruns", "index.arrow", "mirrors.json", LEDGER)
"""Folders and files of a run that are no part of its result: they are there already, or of this machine only."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files that go together and never change: where each lies here by its name there, and the manifest of them."""

    name: str
    files: Mapping[str, Path]
    manifest: bytes


class Mirror:
    """The folder of `run` below `place`, as one process writes it; `number` tells the mirrors of a run apart.

    Every verb may raise what `Place` raises; the next call of `send` goes on where it stopped.
    """

    def __init__(self, place: Place, run: Run, *, keep: int, number: int = 0) -> None:
        self.place, self.run, self.keep = place, run, keep
        self.root, self._id = run.label, run.id
        self._links = run.folder / f"{SENDING}-{number}"
        self._names: dict[str, Stored] | None = None
        self._sent = dict[str, bytes]()
        self._whole = dict[str, set[Mark]]()
        self._bad, self._replaced = set[Mark](), set[Mark]()
        self._begun = {scope: find_whole(run.folder / scope / "weights", self._id, _ignore) for scope in self._here()}
        shutil.rmtree(self._links, ignore_errors=True)

    def missing(self) -> list[str]:
        """Checkpoints that are here and not known to be whole there, oldest first."""
        return [mark.name for scope, marks in self._here().items() for mark in self._wanted(scope, marks)]

    def newest(self) -> str:
        """The newest checkpoint that is whole there; empty where there is none yet."""
        marks = sort_marks(mark for found in self._whole.values() for mark in found)
        return marks[0].name if marks else ""

    def send(self) -> None:
        """Make everything that is here be there, in order: what it began with, checkpoints, pointers, tables."""
        self._look()
        self._send_start()
        for scope, marks in self._here().items():
            whole = self._whole.setdefault(scope, set())
            for mark in self._wanted(scope, marks):
                if self._send_checkpoint(scope, mark):
                    whole.add(mark)
            self._point(scope)
            for name in LIVE:
                self._write_small(f"{scope}{name}", self.run.folder / scope / name)
            self._prune(scope, keep=self.keep)

    def send_result(self) -> None:
        """Send the finished run folder and then point to it; what it replaces is removed after that.

        Before that the place is looked at anew: what somebody has removed there meanwhile is sent again.
        """
        self._look_again()
        self.send()
        parcel = _describe_result(self.run)
        if parcel is None:
            return
        self._send(parcel)
        pointer = json.dumps({"kind": "pointer", "format_version": 1, "result": parcel.name}, indent=2)
        self._write(RESULT, pointer.encode())
        for name in self._results():
            if self.keep and name != parcel.name:
                self._remove(name)

    def _results(self) -> set[str]:
        """The results that are there."""
        return {name.split("/")[1] for name in self._names or () if name.startswith(f"{self.root}/result-")}

    def _wanted(self, scope: str, marks: list[Mark]) -> list[Mark]:
        """Which of these are still to be sent, oldest first; within an epoch only the newest of all counts."""
        known = self._whole.get(scope, set()) | self._bad | self._replaced
        return [mark for mark in reversed(marks) if mark not in known and (not mark.step or mark == marks[0])]

    def _look(self) -> None:
        """See, once, what earlier processes have sent; their best checkpoints stay until better ones are there."""
        if self._names is not None:
            return
        names: dict[str, Stored] = self.place.list(self.root)
        pattern = re.compile(rf"{re.escape(self.root)}/((?:fold-\d+/)?)weights/best\.json")
        for name, found in names.items():
            if best := pattern.fullmatch(name):
                self._sent[f"{best[1]}weights/best.json"] = self.place.read(name, 0, found.size)
        self._names = names

    def _look_again(self) -> None:
        """Forget what somebody has removed or cut there since this process sent it or saw it."""
        now = self.place.list(self.root)
        before, self._names = self._names or {}, now
        for name in (name for name, stored in before.items() if name not in now or now[name].size != stored.size):
            inner = name.removeprefix(f"{self.root}/")
            self._sent.pop(inner, None)
            scope, _, rest = inner.rpartition("weights/")
            lost = Mark.parse(rest.partition("/")[0])
            if lost is not None:
                self._whole.get(scope, set()).discard(lost)

    def _here(self) -> dict[str, list[Mark]]:
        """Checkpoints in the run folder, newest first, by scope: empty, or `fold-1/` and so on."""
        places = [self.run.weights, *sorted(self.run.folder.glob("fold-*/weights"))]
        scopes = {place: place.parent.relative_to(self.run.folder).as_posix() for place in places if place.is_dir()}
        return {"" if name == "." else f"{name}/": list_marks(place, self._id) for place, name in scopes.items()}

    def _send_start(self) -> None:
        """What a training on an empty machine needs besides a checkpoint; once for a run, for it does not change."""
        folder = self.run.folder
        files = {name: folder / name for name in START if (folder / name).is_file()}
        begun = re.compile(rf"{re.escape(self.root)}/start\.[0-9a-f]+/{MANIFEST}")
        if not {"recipe.toml", "index.arrow"} <= files.keys() or any(
            begun.fullmatch(name) for name in self._names or ()
        ):
            return
        self._send(_pack("start.", files))

    def _send_checkpoint(self, scope: str, mark: Mark) -> bool:
        """Send one checkpoint unless it is there; False where it is damaged here, or has been removed meanwhile."""
        with self._linked(self.run.folder / scope / "weights" / mark.name) as folder:
            if folder is None:
                return False
            try:
                files = {name: folder / name for name in verify_manifest(folder)}
            except BundleError:  # the training says so when it goes on
                self._bad.add(mark)
                return False
            parcel = Parcel(f"{scope}weights/{mark.name}", files, (folder / MANIFEST).read_bytes())
            try:
                self._send(parcel)
            except PlaceError:
                # Where there is no room, checkpoints that newer ones have replaced make some, unless all are to stay.
                if not self._prune(scope, keep=min(self.keep, 1)):
                    raise
                self._send(parcel)
        return True

    @contextlib.contextmanager
    def _linked(self, folder: Path) -> Iterator[Path | None]:
        """Inside the block a second name of each file of `folder`, which may be removed meanwhile; None if it was."""
        links = self._links / folder.name
        try:
            shutil.rmtree(links, ignore_errors=True)
            shutil.copytree(folder, make_folder(links), copy_function=_link, dirs_exist_ok=True)
            yield links
        except FileNotFoundError:
            if (folder / MANIFEST).is_file():
                raise
            yield None
        finally:
            shutil.rmtree(self._links, ignore_errors=True)

    def _send(self, parcel: Parcel) -> None:
        manifest = f"{parcel.name}/{MANIFEST}"
        if self._stored(manifest) is not None and self._read(manifest) == parcel.manifest:
            if all(self._holds(f"{parcel.name}/{name}", path) for name, path in parcel.files.items()):
                return
            # It is damaged there: it must not count while it is written again.
            self._delete(f"{self.root}/{manifest}")
        for name, path in sorted(parcel.files.items()):
            if not self._holds(f"{parcel.name}/{name}", path):
                self._write(f"{parcel.name}/{name}", path)
        self._write(manifest, parcel.manifest)

    def _stored(self, name: str) -> Stored | None:
        return (self._names or {}).get(f"{self.root}/{name}")

    def _holds(self, name: str, path: Path) -> bool:
        """Is this file there, and the same as here?"""
        stored = self._stored(name)
        with contextlib.suppress(FileNotFoundError):  # somebody else has removed it
            return stored is not None and holds(self.place, f"{self.root}/{name}", stored, path)
        return False

    def _read(self, name: str) -> bytes:
        found = self._stored(name)
        with contextlib.suppress(FileNotFoundError):  # somebody else has removed it
            return self.place.read(f"{self.root}/{name}", 0, found.size) if found else b""
        return b""

    def _write(self, name: str, source: Path | bytes) -> None:
        """One file, checked after it has arrived."""
        stored = upload(self.place, f"{self.root}/{name}", source)
        if self._names is not None:
            self._names[f"{self.root}/{name}"] = stored

    def _delete(self, name: str) -> None:
        self.place.delete(name)
        if self._names is not None:
            self._names.pop(name, None)

    def _write_small(self, name: str, path: Path) -> None:
        """A small file that changes, where it has changed."""
        content = path.read_bytes() if path.is_file() else b""
        if content and self._sent.get(name) != content:
            self._write(name, content)
            self._sent[name] = content

    def _point(self, scope: str) -> None:
        """Say which checkpoint is the last and which the best, of those that are whole there."""
        for pointer in POINTERS:
            name = f"{scope}weights/{pointer}.json"
            content = (self.run.folder / name).read_bytes() if (self.run.folder / name).is_file() else b""
            if _pointed(content) in self._whole[scope] and self._sent.get(name) != content:
                self._write(name, content)
                self._sent[name] = content

    def _prune(self, scope: str, *, keep: int) -> bool:
        """Remove checkpoints of this run that newer ones, checked by this process, have replaced: were there any?"""
        new = sort_marks(mark for mark in self._whole[scope] if mark != self._begun.get(scope))
        if not keep or not new:
            return False
        needed = {*new[:keep], self._begun.get(scope), _pointed(self._sent.get(f"{scope}weights/best.json", b""))}
        start, removed = f"{self.root}/{scope}weights/", False
        there = {name.removeprefix(start).split("/")[0] for name in self._names or () if name.startswith(start)}
        for mark in sorted(found for found in map(Mark.parse, there) if found and found.run == self._id):
            if mark not in needed and mark.place <= new[0].place:
                self._remove(f"{scope}weights/{mark.name}")
                self._whole[scope].discard(mark)
                self._replaced.add(mark)
                removed = True
        return removed

    def _remove(self, parcel: str) -> None:
        """Remove a parcel, its manifest first: what is left after a kill does not count."""
        names = [name for name in self._names or () if name.startswith(f"{self.root}/{parcel}/")]
        for name in sorted(names, key=lambda one: not one.endswith(f"/{MANIFEST}")):
            self._delete(name)


def _pointed(content: bytes) -> Mark | None:
    """The checkpoint that a pointer names; None where it is empty or damaged: the next one is written over it."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return Mark.parse(str(json.loads(content)["checkpoint"]))
    return None


def _ignore(text: str) -> None:
    """Whoever goes on with the training says it."""


def _link(source: str, place: str) -> None:
    """A second name for a file, or a copy where the file system knows no such thing."""
    try:
        os.link(source, place)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, place)


def _pack(prefix: str, files: Mapping[str, Path]) -> Parcel:
    """Files as a parcel whose name follows from their content."""
    listed = {name: {"size": path.stat().st_size, "sha256": sha256_file(path)} for name, path in sorted(files.items())}
    manifest = format_manifest(listed)
    return Parcel(f"{prefix}{hashlib.sha256(manifest).hexdigest()[:8]}", files, manifest)


def _describe_result(run: Run) -> Parcel | None:
    """The finished run folder without what it was made with; None where there is no classifier yet."""
    if not run.bundle.is_dir():
        return None
    files = {path.relative_to(run.folder).as_posix(): path for path in run.folder.rglob("*") if path.is_file()}
    kept = {
        name: path
        for name, path in files.items()
        if not any(part.startswith(".") or part in _LEFT_HERE for part in name.split("/"))
    }
    folds = [Run(path.parent) for path in run.folder.glob("fold-*/results.csv")]
    epochs = max((int(row["epoch"]) for one in (run, *folds) for row in one.history), default=0)
    return _pack(f"result-{epochs:04d}.", kept)
