import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from telltale.errors import BundleError, OutputError
from telltale.training.checkpoint import Checkpoint, Checkpoints, read_checkpoint

METRICS = {"val_loss": 0.1, "lr": 1e-5}


def test_what_is_written_is_read_again(tmp_path):
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(tmp_path / "run" / "weights")
    checkpoints.write(Checkpoint(network.state_dict(), 3, METRICS), improved=True)
    for path in (checkpoints.last, checkpoints.best):
        found = read_checkpoint(path)
        assert (found.epoch, found.metrics) == (3, METRICS)
        assert torch.equal(found.state["weight"], network.weight)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["best.safetensors", "last.safetensors"]


def test_best_stays_where_an_epoch_is_no_better(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(Checkpoint({"one": torch.zeros(1)}, 1, METRICS), improved=True)
    checkpoints.write(Checkpoint({"one": torch.ones(1)}, 2, METRICS), improved=False)
    assert (read_checkpoint(checkpoints.best).epoch, read_checkpoint(checkpoints.last).epoch) == (1, 2)


def test_tensors_that_share_memory_are_both_written(tmp_path):
    one = torch.rand(4)
    Checkpoints(tmp_path).write(Checkpoint({"a": one, "b": one, "c": one[:2]}, 1, {}), improved=False)
    assert {name: len(tensor) for name, tensor in load_file(tmp_path / "last.safetensors").items()} == {
        "a": 4,
        "b": 4,
        "c": 2,
    }


def test_a_damaged_or_missing_file_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(Checkpoint({"one": torch.zeros(100)}, 1, METRICS), improved=True)
    checkpoints.best.write_bytes(checkpoints.best.read_bytes()[:-7])
    checkpoints.last.unlink()
    for path in (checkpoints.best, checkpoints.last):
        with pytest.raises(BundleError, match=rf"The checkpoint '.*{path.name}' cannot be read"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "facts", [None, {"kind": "checkpoint", "format_version": "2", "epoch": "1"}], ids=["foreign", "too new"]
)
def test_a_foreign_or_newer_file_is_refused(tmp_path, facts):
    save_file({"one": torch.zeros(1)}, tmp_path / "a.safetensors", facts)
    with pytest.raises(BundleError, match="is no checkpoint that this version of Telltale knows"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "weights").write_bytes(b"")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        Checkpoints(tmp_path / "weights")
