import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from telltale.errors import BundleError, OutputError
from telltale.training.checkpoint import Checkpoint, Checkpoints, read_checkpoint

FACTS = {"epoch": 3, "rows": [{"val_loss": 0.1, "lr": 1e-5}], "seconds": 1 / 3}


def test_what_is_written_is_read_again(tmp_path):
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(tmp_path / "run" / "weights")
    checkpoints.write_last(Checkpoint(network.state_dict(), FACTS))
    checkpoints.write_best(Checkpoint({"step": torch.tensor(3.0)}, {}))
    last, best = read_checkpoint(checkpoints.last), read_checkpoint(checkpoints.best)
    assert last.facts == FACTS
    assert torch.equal(last.tensors["weight"], network.weight)
    assert best.tensors["step"].shape == ()
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["best.safetensors", "last.safetensors"]


def test_parts_are_told_apart_by_their_prefix():
    tensors = {name: torch.zeros(1) for name in ("best.a.b", "best.c", "bestial.a", "a")}
    assert list(Checkpoint(tensors, {}).part("best")) == ["a.b", "c"]


def test_a_file_is_replaced_as_a_whole(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.write_last(Checkpoint({f"at {number}": torch.full((1,), number)}, {"epoch": number}))
    found = read_checkpoint(checkpoints.last)
    assert (list(found.tensors), found.facts) == (["at 1"], {"epoch": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


def test_tensors_that_share_memory_are_both_written(tmp_path):
    one = torch.rand(4)
    Checkpoints(tmp_path).write_last(Checkpoint({"a": one, "b": one, "c": one[:2]}, {}))
    assert {name: len(tensor) for name, tensor in load_file(tmp_path / "last.safetensors").items()} == {
        "a": 4,
        "b": 4,
        "c": 2,
    }


def test_a_damaged_or_missing_file_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write_best(Checkpoint({"one": torch.zeros(100)}, FACTS))
    checkpoints.best.write_bytes(checkpoints.best.read_bytes()[:-7])
    for path in (checkpoints.best, checkpoints.last):
        with pytest.raises(BundleError, match=rf"The checkpoint '.*{path.name}' cannot be read"):
            read_checkpoint(path)


@pytest.mark.parametrize("back", [1, 150, 399])
def test_one_changed_bit_of_a_weight_is_noticed(tmp_path, back):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write_last(Checkpoint({"one": torch.rand(100)}, FACTS))
    content = bytearray(checkpoints.last.read_bytes())
    content[-back] ^= 1
    checkpoints.last.write_bytes(content)
    with pytest.raises(BundleError, match=r"last.safetensors' is damaged: its content does not match its SHA-256"):
        read_checkpoint(checkpoints.last)


@pytest.mark.parametrize(
    "facts",
    [None, {"kind": "checkpoint", "format_version": "1", "epoch": "1"}, {"kind": "checkpoint", "format_version": "3"}],
    ids=["foreign", "too old", "too new"],
)
def test_a_file_of_another_kind_or_version_is_refused(tmp_path, facts):
    save_file({"one": torch.zeros(1)}, tmp_path / "a.safetensors", facts)
    with pytest.raises(BundleError, match="is no checkpoint that this version of Telltale knows"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "weights").write_bytes(b"")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        Checkpoints(tmp_path / "weights")
