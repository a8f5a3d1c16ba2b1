"""`EventLog`: what happened in a training, one JSON object a line, for people and programs that come later."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

from telltale.errors import OutputError
from telltale.files import timestamp, write_atomic
from telltale.progress import Note, Tell, silent
from telltale.training.events import (
    CheckpointFailed,
    CheckpointSaved,
    EpochDone,
    Event,
    Listener,
    StepDone,
    TrainingStarted,
    TrainingStopped,
)

EVENTS: Final = "events.jsonl"
"""The log's file in a run folder."""

Place: TypeAlias = tuple[int, float, int]
"""Where in a training something happened: epochs done, batches of the next one, and the order at one such place."""


class EventLog(Listener):
    """A file of a run folder with a line for every event but single steps; each epoch is in it once.

    Where the file cannot be written, somebody is told once, the training goes on,
    and what is missing is written with the next event.
    """

    def __init__(self, path: Path, *, tell: Tell = silent) -> None:
        self.path, self.tell = path, tell
        self._epochs = set[int]()
        self._waiting: list[str] = []
        self._size: int | None = None
        """Bytes of the file that are whole lines; None where nobody has looked yet."""
        self._anew: bytes | None = None
        """What is to replace the file; None where it holds that."""
        self._warned = False

    def begin(self, rows: Sequence[Mapping[str, float]], epochs: int, *, step: int = 0) -> None:
        """Begin a session after so many epochs and so many batches of the next: what is known of them is kept.

        `rows` are those of results.csv. What comes later was lost with the process or the machine, and will happen
        again; epochs that the file lacks are added from `rows`, without a time.
        """
        lines = [(place_of(line), line) for line in read_log(self.path)]
        kept = list[tuple[Place | None, dict[str, Any]]]()
        self._epochs.clear()
        for place, line in lines:
            if place is not None and place[:2] > (epochs, step):
                continue
            if line["event"] == EpochDone.__name__:
                if place is None or line["epoch"] in self._epochs:
                    continue
                self._epochs.add(line["epoch"])
            kept.append((place, line))
        for line in _epochs_of(rows):
            if line["epoch"] <= epochs and line["epoch"] not in self._epochs:
                self._epochs.add(line["epoch"])
                _insert(kept, line)
        self._anew, self._waiting = "".join(_format(line) for _, line in kept).encode(), []
        self._write()

    def hear(self, event: Event) -> None:
        """Write down one event, but no single step, and no epoch twice."""
        if isinstance(event, StepDone):
            return
        if isinstance(event, EpochDone):
            if event.epoch in self._epochs:
                return
            self._epochs.add(event.epoch)
        self.record(type(event).__name__, **asdict(event))

    def record(self, event: str, /, **facts: Any) -> None:
        """Write down something else that happened, such as an evaluation, with facts that JSON can say."""
        self._waiting.append(_format({"time": timestamp(), "event": event, **facts}))
        self._write()

    def _write(self) -> None:
        """Bring the file up to date; where that cannot be now, with the next event."""
        try:
            if (content := self._anew) is not None:
                write_atomic(self.path, content)
                self._anew, self._size = None, len(content)
            if self._waiting:
                self._append("".join(self._waiting).encode())
                self._waiting = []
        except (OSError, OutputError) as error:
            if not self._warned:
                why = error.given if isinstance(error, OutputError) else f"{error.strerror or error}."
                text = f"{self.path.name} cannot be written now: {why} The training goes on; it is tried again."
                self.tell(Note(text, warning=True))
                self._warned = True

    def _append(self, content: bytes) -> None:
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            # An attempt that failed, or a kill, may have left part of a line.
            whole = file.read().rfind(b"\n") + 1 if self._size is None else file.seek(0, os.SEEK_END)
            start = whole if self._size is None else min(self._size, whole)
            file.truncate(start)
            file.seek(start)
            file.write(content)
        self._size = start + len(content)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without those that are no JSON objects with an event: a kill may tear the last one."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    found = []
    for text in data.split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("event"), str):
            found.append(line)
    return found


def place_of(line: Mapping[str, Any]) -> Place | None:
    """Where in the training the event of a line happened; None where it has no such place (an evaluation).

    >>> place_of({"event": "EpochDone", "epoch": 3}), place_of({"event": "MemoryShort", "epoch": 3, "step": 5})
    ((3, 0, 1), (2, 5, 4))
    """
    name, epoch, step = (line.get(key) for key in ("event", "epoch", "step"))
    if name == TrainingStopped.__name__:
        epoch = line.get("epochs")
    if not isinstance(epoch, int):
        return None
    step = step if isinstance(step, int) else 0
    if name in (CheckpointSaved.__name__, CheckpointFailed.__name__):
        return epoch, step, 0  # it comes before the `EpochDone` of its epoch
    if name == EpochDone.__name__:
        return epoch, 0, 1
    if name == TrainingStopped.__name__:
        return epoch, 0, 2
    # The others count the epoch that is being learned; step 0 of a lost loss is its validation.
    began = name == TrainingStarted.__name__
    return epoch - 1, step if began or step else math.inf, 3 if began else 4


def _epochs_of(rows: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """A line for each epoch in `rows`; epoch 0, the probe, is none, but others must be better than it."""
    lines, least = [], math.inf
    for row in rows:
        if row["epoch"]:
            facts = {name: row[name] for name in ("train_loss", "val_loss", "val_accuracy", "lr")}
            improved = {"seconds": None, "improved": row["val_loss"] < least}
            lines.append({"time": None, "event": EpochDone.__name__, "epoch": int(row["epoch"]), **facts, **improved})
        least = min(least, row["val_loss"])
    return lines


def _insert(kept: list[tuple[Place | None, dict[str, Any]]], line: dict[str, Any]) -> None:
    """Put a line where it belongs: before what happened later."""
    place = place_of(line)
    later = (number for number, (there, _) in enumerate(kept) if place is not None and there and there > place)
    kept.insert(next(later, len(kept)), (place, line))


def _format(line: Mapping[str, Any]) -> str:
    return json.dumps(_plain(line), ensure_ascii=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    """`value` as strict JSON can say it: null for NaN and infinity.

    >>> _plain({"loss": float("nan"), "rows": (1, 2)})
    {'loss': None, 'rows': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
