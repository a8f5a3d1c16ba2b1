"""The test ledger: every time that test pictures of a run were scored, a line in its folder.

`telltale train` writes the first, whoever scores some of these pictures later the next ones. What was chosen after the
first may fit them, so the number is shown wherever a score of theirs is.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

from telltale.errors import BundleError
from telltale.evaluation.evaluation import Evaluation
from telltale.files import explain_output, sync_folder, timestamp
from telltale.training.run import Run

LEDGER: Final = "test_ledger.jsonl"

TRAIN: Final = "telltale train"


@dataclass(frozen=True, slots=True)
class Look:
    """One scoring of test pictures."""

    when: str
    """In UTC, ISO 8601; empty where nothing says so."""
    by: str
    """The command that scored them."""
    pictures: int
    """How many of the run's test pictures were among those that were scored; 0 where nothing says so."""


def record_look(run: Run, by: str, pictures: int) -> int:
    """Write down that the command `by` has scored so many test pictures of `run`; how many looks there are now.

    The line is durable when this returns, and several processes at once lose none. `OutputError` where the folder may
    not be written.
    """
    path = run.folder / LEDGER
    with explain_output(path), _locked(path) as file:
        file.seek(0)
        content = file.read()
        looks = _parse(content) or _recall(run)
        lines = [Look(timestamp(), by, pictures)]
        if not content.strip():  # a run of a time without a ledger: its earlier looks come first
            lines = [*looks, *lines]
        torn = b"\n" if content and not content.endswith(b"\n") else b""
        file.write(torn + b"".join(json.dumps(asdict(one), ensure_ascii=False).encode() + b"\n" for one in lines))
        file.flush()
        os.fsync(file.fileno())
        if not content:
            sync_folder(path.parent)
    return len(looks) + 1


def read_looks(run: Run) -> tuple[Look, ...]:
    """Every look at the test pictures of `run`, the first one first; empty where they were never scored.

    Of a run without a ledger so many as its evaluation says. A line that is damaged is a look that nothing is known of.
    """
    try:
        found = _parse((run.folder / LEDGER).read_bytes())
    except OSError:
        found = ()
    return found or _recall(run)


def _parse(content: bytes) -> tuple[Look, ...]:
    return tuple(_read_line(line) for line in content.split(b"\n") if line.strip())


def _read_line(line: bytes) -> Look:
    try:
        values = json.loads(line)
        return Look(str(values["when"]), str(values["by"]), int(values["pictures"]))
    except (ValueError, KeyError, TypeError):
        return Look("", "unknown", 0)


def _recall(run: Run) -> tuple[Look, ...]:
    """The looks that the run's evaluation counts, as it did before there was a ledger."""
    path = run.folder / "evaluation.json"
    if not path.is_file():
        return ()
    try:
        evaluation = Evaluation.load(path)
    except BundleError:  # damaged, but there was one
        return (Look("", TRAIN, 0),)
    return (Look("", TRAIN, evaluation.images),) * evaluation.looks


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Inside the block the file, to be read and appended to by this process only; others wait for it.

    Not `files.locked`: a training holds the lock of the run folder, and must be able to write here. Without effect on
    Windows and on file systems that know no locks; a line is then still written in one piece.
    """
    with open(path, "a+b") as file:
        if os.name != "nt":
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield file
