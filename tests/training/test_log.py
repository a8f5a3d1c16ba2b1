"""The log has a line for every event, once, whatever was killed, lost or full in between."""

import errno
import json
from dataclasses import replace

import pytest

from telltale.training.events import (
    CheckpointSaved,
    EpochDone,
    MemoryShort,
    StepDone,
    TrainingStarted,
    TrainingStopped,
)
from telltale.training.log import EventLog, read_log

STARTED = TrainingStarted(3, 5, 40, 8, 1234, "cpu", "f32")


def row(epoch):
    return {"epoch": epoch, "train_loss": 1 / epoch, "val_loss": 2 / epoch, "val_accuracy": 0.5, "lr": 0.1}


def done(epoch):
    return EpochDone(**row(epoch), seconds=1.5, improved=True)


def train(path, first, last, *, rows=(), tell=print):
    """A session that does these epochs."""
    log = EventLog(path, tell=tell)
    log.begin(rows, first - 1)
    log.hear(replace(STARTED, epoch=first))
    for epoch in range(first, last + 1):
        log.hear(StepDone(epoch, 1, 8))
        log.hear(CheckpointSaved(epoch, 0, f"epoch-{epoch:04}"))
        log.hear(done(epoch))
    return log


def lines(path):
    """What each line is about, in short."""
    return [(line["event"], line.get("epoch", line.get("epochs"))) for line in read_log(path)]


def epochs(path):
    return [epoch for event, epoch in lines(path) if event == "EpochDone"]


def test_every_event_but_single_steps_is_a_line_of_json(tmp_path):
    path = tmp_path / "events.jsonl"
    log = train(path, 1, 2)
    log.hear(TrainingStopped("all epochs done", 2, 1, 0.5, 0.9, 3.0))
    log.record("Evaluation", part="test", metrics={"accuracy": (0.9, 0.8, float("nan"))})
    assert lines(path) == [
        ("TrainingStarted", 1),
        ("CheckpointSaved", 1), ("EpochDone", 1),
        ("CheckpointSaved", 2), ("EpochDone", 2),
        ("TrainingStopped", 2), ("Evaluation", None),
    ]  # fmt: skip
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(len(line["time"]) == 20 and line["time"].endswith("Z") for line in found)
    assert found[2] == {"time": found[2]["time"], "event": "EpochDone", **row(1), "seconds": 1.5, "improved": True}
    assert found[-1]["metrics"] == {"accuracy": [0.9, 0.8, None]}


def test_a_session_that_goes_on_keeps_what_was_there(tmp_path):
    path = tmp_path / "events.jsonl"
    train(path, 1, 2)
    train(path, 3, 4, rows=[row(1), row(2)])
    assert epochs(path) == [1, 2, 3, 4]
    assert lines(path)[4:6] == [("EpochDone", 2), ("TrainingStarted", 3)]


def test_what_was_lost_happens_again_and_is_there_once(tmp_path):
    path = tmp_path / "events.jsonl"
    train(path, 1, 4)  # and the machine was lost with epochs 3 and 4
    train(path, 3, 5, rows=[row(1), row(2), row(3)])
    assert epochs(path) == [1, 2, 3, 4, 5]
    assert [event for event, _ in lines(path)].count("CheckpointSaved") == 5


def test_epochs_that_the_file_lacks_come_from_the_table_in_their_place(tmp_path):
    path = tmp_path / "events.jsonl"
    train(path, 1, 3)
    kept = [line for line in path.read_text().splitlines(keepends=True) if '"EpochDone", "epoch": 2' not in line]
    path.write_text("".join(kept))
    log = EventLog(path)
    probe = {"epoch": 0, "train_loss": 1.0, "val_loss": 0.7, "val_accuracy": 0.5, "lr": 0.0}
    log.begin([probe, row(1), row(2), row(3)], 3)
    assert epochs(path) == [1, 2, 3]
    assert lines(path)[3:6] == [("CheckpointSaved", 2), ("EpochDone", 2), ("CheckpointSaved", 3)]
    added = next(line for line in read_log(path) if line["time"] is None)
    assert (added["epoch"], added["seconds"], added["improved"]) == (2, None, False)  # the probe's loss was less


def test_a_lost_file_is_made_anew_from_the_table(tmp_path):
    path = tmp_path / "events.jsonl"
    train(path, 3, 3, rows=[row(1), row(2)])
    assert lines(path)[:3] == [("EpochDone", 1), ("EpochDone", 2), ("TrainingStarted", 3)]


@pytest.mark.parametrize(
    "damage",
    [b'{"time": "2026-11-26T12:00:00Z", "event": "EpochDone", "epo', b"\xff\xfe\x00\n", b"[1, 2]\n", b'{"a": 1}\n'],
    ids=["torn", "bytes", "a list", "no event"],
)
def test_lines_that_are_none_are_dropped(tmp_path, damage):
    path = tmp_path / "events.jsonl"
    train(path, 1, 2)
    with open(path, "ab") as file:
        file.write(damage)
    train(path, 3, 3, rows=[row(1), row(2)])
    assert epochs(path) == [1, 2, 3]
    assert len(path.read_bytes().splitlines()) == len(read_log(path))


def test_an_epoch_is_no_second_line_whoever_says_it_again(tmp_path):
    path = tmp_path / "events.jsonl"
    log = train(path, 1, 2)
    log.hear(done(2))
    with open(path, "a") as file:
        file.write(next(line for line in path.read_text().splitlines(keepends=True) if "EpochDone" in line))
    EventLog(path).begin([row(1), row(2)], 2)
    assert epochs(path) == [1, 2]


def test_in_the_middle_of_an_epoch_only_what_came_before_the_checkpoint_is_kept(tmp_path):
    path = tmp_path / "events.jsonl"
    log = train(path, 1, 1)
    for step in (2, 3, 4):
        log.hear(MemoryShort(2, step, 2))
        log.hear(CheckpointSaved(1, step, f"epoch-0001-step-{step}"))
    EventLog(path).begin([row(1)], 1, step=3)
    assert [line["step"] for line in read_log(path) if line["event"] == "MemoryShort"] == [2, 3]
    assert [line["step"] for line in read_log(path) if line["event"] == "CheckpointSaved"] == [0, 2, 3]


def test_a_full_disk_stops_nothing_and_nothing_is_missing_afterwards(tmp_path, monkeypatch):
    path, told = tmp_path / "events.jsonl", []
    log = train(path, 1, 1, tell=told.append)
    full = OSError(errno.ENOSPC, "No space left on device")

    def write_half(descriptor, mode):
        file = open(descriptor, mode)
        file.seek(0, 2)
        file.write(b'{"time": "2026')
        file.close()
        raise full

    monkeypatch.setattr("telltale.training.log.os.fdopen", write_half)
    log.hear(done(2))
    log.hear(done(3))
    monkeypatch.undo()
    log.hear(done(4))
    assert epochs(path) == [1, 2, 3, 4]
    assert len(path.read_bytes().splitlines()) == len(read_log(path))
    (note,) = told
    assert note.warning
    assert "events.jsonl cannot be written now: No space left on device. The training goes on" in note.text


def test_a_folder_that_is_away_at_the_start_is_written_to_when_it_is_back(tmp_path):
    path, told = tmp_path / "run" / "events.jsonl", []
    log = train(path, 1, 2, tell=told.append)
    assert len(told) == 1
    path.parent.mkdir()
    log.hear(done(3))
    assert epochs(path) == [1, 2, 3]


def test_a_log_that_nobody_began_is_added_to(tmp_path):
    path = tmp_path / "events.jsonl"
    train(path, 1, 1)
    with open(path, "ab") as file:
        file.write(b'{"torn')
    EventLog(path).record("Evaluation", part="test")
    assert lines(path)[-1] == ("Evaluation", None)
    assert epochs(path) == [1]
