"""`Store`: the checkpoints of one training, each a folder that never changes once it is there.

weights/epoch-0007-RUN-SESSION/   state.safetensors, recipe.toml, and manifest.json with sizes and SHA-256, written last
weights/last.json, best.json      which of them is the newest, and which the best; written after them

RUN is the id of the training, SESSION that of the process that wrote it: no two processes ever write under one name,
so what is there is never written over, neither by a training that goes on nor by one that was thought dead. Numbers
in the name, not clocks, say which one is newer. Needs no torch.
"""

import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from telltale.errors import BundleError, OutputError
from telltale.files import (
    MANIFEST,
    explain_output,
    format_manifest,
    is_full,
    make_folder,
    move,
    read_json,
    sha256,
    sync_folder,
    verify_manifest,
    write_atomic,
    write_json,
)

STATE: Final = "state.safetensors"
"""The file of a checkpoint that holds the state of the training."""

POINTERS: Final = ("last", "best")
_NAME: Final = re.compile(r"epoch-(\d{4,})(?:-step-(\d{6,}))?-([0-9a-f]{8})-([0-9a-f]{4})")
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Which checkpoint: `epoch` epochs and `step` batches of the next one are done; of which training and process.

    >>> Mark(7, 0, "3f9a1c2e", "b41d").name
    'epoch-0007-3f9a1c2e-b41d'
    >>> Mark.parse("epoch-0007-step-000120-3f9a1c2e-b41d").step
    120
    """

    epoch: int
    step: int
    run: str
    session: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        step = f"-step-{self.step:06d}" if self.step else ""
        return f"epoch-{self.epoch:04d}{step}-{self.run}-{self.session}"

    @property
    def place(self) -> tuple[int, int]:
        """How far the training was: what is larger is newer."""
        return self.epoch, self.step

    @classmethod
    def parse(cls, name: str) -> "Mark | None":
        """The mark with this name; None for a name of something else."""
        found = _NAME.fullmatch(name)
        return cls(int(found[1]), int(found[2] or 0), found[3], found[4]) if found else None


@dataclass(frozen=True, slots=True)
class Saved:
    """What came of a save: the checkpoint, and which older ones had to go because the disk was full."""

    mark: Mark
    sacrificed: tuple[str, ...] = ()


class Store:
    """The folder `weights/` of the training with id `run`, as one process (`session`) writes it.

    After each save only the newest `keep` checkpoints stay (0: all), and beside them the best one and the one that this
    process went on from (`resumed`). Nothing is removed before a newer one was read back and found whole, and nothing
    of another training ever. `extras` are small files that go into each checkpoint.
    """

    def __init__(self, folder: Path, run: str, *, keep: int = 2, extras: Mapping[str, bytes] | None = None) -> None:
        self.folder = make_folder(folder)
        self.run, self.keep, self.extras = run, keep, dict(extras or {})
        self.session = secrets.token_hex(2)
        self.resumed: Mark | None = None
        self._whole = set[Mark]()
        for path in self.folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def marks(self) -> list[Mark]:
        """Every checkpoint of this training that is there with its manifest, newest first."""
        return list_marks(self.folder, self.run)

    def path(self, mark: Mark) -> Path:
        """The folder of a checkpoint."""
        return self.folder / mark.name

    def pointed(self, pointer: str) -> Path | None:
        """The folder of the checkpoint that `last` or `best` points to."""
        return find_pointed(self.folder, pointer)

    def save(self, epoch: int, step: int, files: Mapping[str, bytes], *, facts: dict[str, Any], best: bool) -> Saved:
        """Write one checkpoint, read it back, point to it, remove old ones; `best`: it holds the best weights so far.

        Where the disk is full, older checkpoints of this training go first: all but the newest whole one and the one
        that was gone on from. `OutputError` where even that does not suffice; what is there is then as it was.
        """
        mark = Mark(epoch, step, self.run, self.session)
        if (self.path(mark) / MANIFEST).is_file():
            return Saved(mark)
        content = dict(files) | self.extras
        facts = {**facts, "epoch": epoch, "step": step, "run": self.run, "best": best}
        gone: tuple[Mark, ...] = ()
        try:
            self._write(mark, content, facts)
        except OutputError as error:
            gone = self._prune(1, best=None) if is_full(error) else ()
            if not gone:
                raise
            self._write(mark, content, facts)
        point(self.folder, mark, facts, best=best)
        if self.keep:
            self._prune(self.keep, best=self._best())
        return Saved(mark, tuple(one.name for one in gone))

    def _write(self, mark: Mark, files: Mapping[str, bytes], facts: dict[str, Any]) -> None:
        """Under a name that does not count, then under its own; whole afterwards, or not there."""
        temporary, final = self.folder / f".{mark.name}.tmp", self.path(mark)
        try:
            make_folder(temporary)
            for name, data in files.items():
                write_atomic(temporary / name, data)
            listed = {name: {"size": len(data), "sha256": sha256(data).hex()} for name, data in sorted(files.items())}
            write_atomic(temporary / MANIFEST, format_manifest(listed, facts))
            verify_manifest(temporary)
            move(temporary, final)
        except BundleError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OutputError(
                f"What was written to {str(final)!r} is not what is read there.",
                expected="A disk that gives back what it was given.",
                do="Check the disk, and give another place with --output.",
            ) from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._whole.add(mark)

    def newest(self, told: Callable[[str], None]) -> Mark | None:
        """The newest checkpoint that is whole, which is then the one gone on from; None where there is none at all.

        `told` hears a sentence for each that is damaged. `BundleError` where there are some, and none is whole.
        """
        mark, marks = find_whole(self.folder, self.run, told), self.marks()
        if mark is not None:
            self.resumed = mark
            self._whole.add(mark)
            return mark
        if marks:
            raise BundleError(
                f"No checkpoint in {str(self.folder)!r} is whole; the newest is {marks[0].name}.",
                expected="At least one whose files match their manifest.",
                do="Copy one back from a mirror, with telltale train --resume MIRROR, or start a new training.",
            )
        return None

    def _best(self) -> Mark | None:
        found = self.pointed("best")
        return Mark.parse(found.name) if found else None

    def _prune(self, keep: int, *, best: Mark | None) -> tuple[Mark, ...]:
        """Remove what is neither among the newest `keep` whole ones nor needed else, oldest first: what was removed."""
        whole = sort_marks(one for one in self._whole if (self.path(one) / MANIFEST).is_file())
        if not whole:
            return ()
        needed = {*whole[:keep], best, self.resumed}
        gone = list[Mark]()
        # Without a manifest, too: a kill while one was removed leaves it half there.
        found = (Mark.parse(path.name) for path in self.folder.iterdir())
        for mark in sorted(one for one in found if one and one.run == self.run):
            # Newer ones that do not verify are left for people to look at.
            if mark in needed or mark.place > whole[0].place:
                continue
            remove(self.path(mark))
            gone.append(mark)
        return tuple(gone)


def point(folder: Path, mark: Mark, facts: dict[str, Any], *, best: bool) -> None:
    """Make `mark` the last one in `folder`, and where it is the `best`, that one too."""
    for pointer in POINTERS if best else POINTERS[:1]:
        write_json(folder / f"{pointer}.json", "pointer", _VERSION, {"checkpoint": mark.name, **facts})


def list_marks(folder: Path, run: str) -> list[Mark]:
    """Every checkpoint of the training `run` in `folder` that has its manifest, newest first."""
    found = (Mark.parse(path.parent.name) for path in folder.glob(f"*/{MANIFEST}"))
    return sort_marks(one for one in found if one and one.run == run)


def find_whole(folder: Path, run: str, told: Callable[[str], None]) -> Mark | None:
    """The newest checkpoint in `folder` that matches its manifest; `told` hears a sentence for each that does not."""
    for mark in list_marks(folder, run):
        try:
            verify_manifest(folder / mark.name)
        except BundleError as error:
            told(f"{error.given} The checkpoint before it is used.")
        else:
            return mark
    return None


def sort_marks(marks: Iterable[Mark]) -> list[Mark]:
    """Newest first: by epoch and step, never by a clock."""
    return sorted(marks, reverse=True)


def remove(folder: Path) -> None:
    """Remove a folder with a manifest, the manifest first: whatever is left after a kill does not count."""
    with explain_output(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        sync_folder(folder)
    shutil.rmtree(folder, ignore_errors=True)


def find_pointed(folder: Path, pointer: str) -> Path | None:
    """The folder of the checkpoint in `folder` that `last` or `best` points to; None where there is none."""
    path = folder / f"{pointer}.json"
    if not path.is_file():
        return None
    name = str(read_json(path, "pointer", _VERSION).get("checkpoint", ""))
    there = Mark.parse(name) is not None and (folder / name).is_dir()
    return folder / name if there else None
