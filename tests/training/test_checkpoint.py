import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from telltale.errors import BundleError
from telltale.training.checkpoint import Checkpoint, read_checkpoint, to_bytes

FACTS = {"epoch": 3, "rows": [{"val_loss": 0.1, "lr": 1e-5}], "seconds": 1 / 3}


def test_what_is_written_is_read_again(tmp_path):
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    tensors = network.state_dict() | {"step": torch.tensor(3.0)}
    (tmp_path / "a").write_bytes(to_bytes(Checkpoint(tensors, FACTS)))
    found = read_checkpoint(tmp_path / "a")
    assert found.facts == FACTS
    assert torch.equal(found.tensors["weight"], network.weight)
    assert found.tensors["step"].shape == ()


def test_parts_are_told_apart_by_their_prefix():
    tensors = {name: torch.zeros(1) for name in ("best.a.b", "best.c", "bestial.a", "a")}
    assert list(Checkpoint(tensors, {}).part("best")) == ["a.b", "c"]


def test_tensors_that_share_memory_are_both_written(tmp_path):
    one = torch.rand(4)
    (tmp_path / "a").write_bytes(to_bytes(Checkpoint({"a": one, "b": one, "c": one[:2]}, {})))
    assert {name: len(tensor) for name, tensor in load_file(tmp_path / "a").items()} == {"a": 4, "b": 4, "c": 2}


def test_a_cut_or_missing_file_is_named(tmp_path):
    (tmp_path / "cut").write_bytes(to_bytes(Checkpoint({"one": torch.zeros(100)}, FACTS))[:-7])
    for name in ("cut", "absent"):
        with pytest.raises(BundleError, match=rf"The checkpoint '.*{name}' cannot be read"):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "facts",
    [None, {"kind": "checkpoint", "format_version": "2", "epoch": "1"}, {"kind": "checkpoint", "format_version": "4"}],
    ids=["foreign", "too old", "too new"],
)
def test_a_file_of_another_kind_or_version_is_refused(tmp_path, facts):
    save_file({"one": torch.zeros(1)}, tmp_path / "a.safetensors", facts)
    with pytest.raises(BundleError, match="is no checkpoint that this version of Telltale knows"):
        read_checkpoint(tmp_path / "a.safetensors")
