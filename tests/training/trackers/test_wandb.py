"""What W&B gets, read from the files that it would upload: nobody is logged in here, and there is no network."""

import json

from tests.training.trackers.session import row

from telltale.training.trackers.offline import read_epochs, read_messages
from telltale.training.trackers.tracker import SCALARS


def read(folder):
    """Every session's records below a folder, in order."""
    from wandb.proto.wandb_internal_pb2 import Record

    paths = sorted(folder.glob("runs/pets/wandb/offline-run-*/*.wandb"))
    return [[Record.FromString(message) for message in read_messages(path)] for path in paths]


def value(item):
    """The value of an item, whose name is in `key` or, by parts, in `nested_key`."""
    return item.key or ".".join(item.nested_key), json.loads(item.value_json)


def history(sessions):
    """The rows that were logged, one dictionary each."""
    rows = [
        record.history for records in sessions for record in records if record.WhichOneof("record_type") == "history"
    ]
    return [dict(map(value, one.item)) for one in rows]


def exit_codes(sessions):
    return [record.exit.exit_code for records in sessions for record in records if record.HasField("exit")]


def test_two_sessions_without_a_network_are_one_run(run_session, tmp_path):
    first = run_session("wandb", 1, 2)
    assert (
        "wandb: no login was found, so it is written offline; to upload it: wandb sync runs/pets/wandb/offline" in first
    )
    (path,) = (tmp_path / "runs" / "pets" / "wandb").glob("offline-run-*/*.wandb")
    assert read_epochs(path.parents[1], "0a1b2c3d") == {0, 1, 2}
    assert exit_codes(read(tmp_path)) == [255]
    # A kill leaves what was written by then: the file ends in the middle of epoch 2.
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"loss/train", 0, data.rindex(b"loss/train")) + 10])
    assert read_epochs(path.parents[1], "0a1b2c3d") == {0, 1}

    key = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_PROJECT": "animals"}
    second = run_session("wandb", 3, 4, "finished", **key)
    assert "wandb: Nobody answers at 127.0.0.1:9 (Connection refused). So it is written offline; to upload" in second
    assert "warning" not in first + second

    sessions = read(tmp_path)
    assert len(sessions) == 2
    begun = [record.run for records in sessions for record in records if record.WhichOneof("record_type") == "run"]
    assert {(run.run_id, run.display_name) for run in begun} == {("0a1b2c3d", "pets-0a1b2c3d")}
    assert {run.project for run in begun} == {"telltale", "animals"}
    config = dict(map(value, begun[0].config.update))
    assert config["augment"] == ["flip", "rotation=20"]
    assert config["telltale"]["git_commit"] == "c0ffee"

    rows = [one for one in history(sessions) if "epoch" in one]
    assert [one["epoch"] for one in rows] == [one["_step"] for one in rows] == [0, 1, 2, 3, 4]
    for one in rows:
        assert {column: one[name] for column, name in SCALARS.items()} == {
            column: row(one["epoch"])[column] for column in SCALARS
        }
    summary = {}
    for record in sessions[1]:
        if record.WhichOneof("record_type") == "summary":
            summary |= dict(map(value, record.summary.update))
    assert (summary["test/accuracy"], summary["validation/accuracy_high"]) == (0.9, 0.97)
    assert {path.name.split("_4_")[0] for path in tmp_path.rglob("media/images/*.png")} == {
        "confusion_matrix",
        "samples",
    }
    assert exit_codes(sessions) == [0]


def test_nothing_is_written_where_it_is_disabled(run_session, tmp_path):
    said = run_session("wandb", 1, 2, "finished", WANDB_MODE="disabled")
    assert said.strip() == "wandb: WANDB_MODE is disabled, so nothing is written"
    assert not (tmp_path / "runs" / "pets" / "wandb").exists()
