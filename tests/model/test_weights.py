"""Files of weights to networks; nothing in a file is ever run."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from telltale.errors import ModelError
from telltale.model.backbone import Architecture, Request
from telltale.model.weights import read_weights
from telltale.model.zoo import create_backbone, load_pretrained, pretrained_facts

NETWORK = "test_efficientnet"


@pytest.fixture
def tensors(weights) -> dict[str, torch.Tensor]:
    """The weights of `NETWORK`."""
    return load_file(weights / f"{NETWORK}.safetensors")


def load(path: Path, **facts: object):
    """Network, architecture, mean and std that a file of weights gives."""
    return load_pretrained(Request(NETWORK, str(path), **facts))


def same(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> bool:
    """Does the network hold these weights?"""
    state = network.state_dict()
    return state.keys() == tensors.keys() and all(torch.equal(state[name], tensors[name]) for name in state)


def test_a_safetensors_file_is_loaded(weights, tensors):
    network, architecture, mean, std = load(weights / f"{NETWORK}.safetensors", size=96)
    assert same(network, tensors)
    assert architecture == Architecture(NETWORK, (), 96)
    facts = pretrained_facts(NETWORK)
    assert (mean, std) == (facts["mean"], facts["std"])
    assert load(weights / f"{NETWORK}.safetensors")[1].size == facts["size"] == 160


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: state | {"classifier.weight": torch.zeros(5, 256), "classifier.bias": torch.zeros(5)},
    ],
    ids=["plain", "state_dict", "module.", "with a head"],
)
def test_a_pth_file_is_loaded(tmp_path, tensors, wrap):
    torch.save(wrap(tensors), tmp_path / "weights.pth")
    assert same(load(tmp_path / "weights.pth")[0], tensors)


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mknod, (str(self.canary),)


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_code_in_a_pth_file_is_not_run(tmp_path, how):
    canary, file = tmp_path / "canary", tmp_path / "weights.pth"
    if how == "pickle":
        file.write_bytes(pickle.dumps({"conv": _Trap(canary)}))
    else:
        torch.save({"conv": _Trap(canary)}, file)
    words = r"The weights file '.*weights.pth' cannot be read .* Tensors only: .safetensors, or .pth"
    with pytest.raises(ModelError, match=words):
        load(file)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", b""),
        ("a.safetensors", b"\xff" * 400),
        ("a.safetensors", b"<!DOCTYPE html><html></html>"),
        ("a.pth", b""),
        ("a.pth", b"<!DOCTYPE html><html></html>"),
        ("a.pth", b"PK\x03\x04" + bytes(100)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[:5]!r}",
)
def test_a_damaged_weights_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"The weights file '.*' cannot be read \(.+\)\. Tensors only"):
        load(tmp_path / name)


def test_a_cut_weights_file_is_refused(tmp_path, weights):
    whole = (weights / f"{NETWORK}.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"cannot be read"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"epoch": 3}], ids=["tensor", "list", "numbers"])
def test_a_pth_file_with_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"cannot be read|do not fit 'test_efficientnet': no tensor 'conv_stem"):
        load(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("conv_stem.weight"), r"no tensor 'conv_stem.weight' \(1 of \d+ tensors\)"),
        (lambda state: state.update({"conv_stem.weight": torch.zeros(2, 2)}), r"another shape of 'conv_stem.weight'"),
        (lambda state: state.update({"conv_stem.weight": 5}), r"no tensor 'conv_stem.weight'"),
        (lambda state: state.clear(), r"no tensor '.*'"),
    ],
    ids=["missing", "shape", "no tensor", "empty"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, tensors, change, words):
    change(tensors)
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=rf"The weights in '.*a.pth' do not fit '{NETWORK}': {words}"):
        load(tmp_path / "a.pth")


def test_metadata_shape_the_network(tmp_path, tensors):
    facts = {"bn_eps": "0.01", "pad_type": "same", "mean": "0.1,0.2,0.3", "std": "1,1,1", "size": "96", "source": "me"}
    save_file(tensors, tmp_path / "a.safetensors", facts)
    network, architecture, mean, std = load(tmp_path / "a.safetensors")
    assert architecture == Architecture(NETWORK, (("bn_eps", 0.01), ("pad_type", "same")), 96)
    assert network.bn1.eps == 0.01
    assert (mean, std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    assert load(tmp_path / "a.safetensors", size=128)[1].size == 128


@pytest.mark.parametrize("name", ["pretrained", "pretrained_cfg", "checkpoint_path", "num_classes", "a-b", "cache_dir"])
def test_metadata_cannot_make_it_load_something_else(tmp_path, tensors, name):
    save_file(tensors, tmp_path / "a.safetensors", {name: "/etc/passwd"})
    words = rf"The weights file's metadata set '{name}'\. .* Use a weights file from a source that you trust"
    with pytest.raises(ModelError, match=words):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (NETWORK, (("checkpoint_path", "/etc/passwd"),), "metadata set 'checkpoint_path'"),
        (NETWORK, (("pretrained", True),), "metadata set 'pretrained'"),
        ("hf-hub:someone/something", (), "No model named 'hf-hub:someone/something'"),
        ("local-dir:/etc", (), "No model named 'local-dir:/etc'"),
    ],
)
def test_a_bundle_cannot_make_it_load_something_else(weights, name, options, words):
    known = {"architecture": Architecture(name, options, 64), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    with pytest.raises(ModelError, match=words):
        load(weights / f"{NETWORK}.safetensors", **known)


def test_metadata_that_no_network_takes_are_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.safetensors", {"wheels": "4"})
    with pytest.raises(ModelError, match=r"The network 'test_efficientnet' cannot be built with \{'wheels': 4\}"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("bad", [{"size": "big"}, {"mean": "1,2"}, {"mean": "a,b,c"}], ids=str)
def test_odd_facts_in_metadata_are_refused(tmp_path, tensors, bad):
    save_file(tensors, tmp_path / "a.safetensors", bad)
    with pytest.raises(ModelError, match=rf"The weights file's metadata set '{next(iter(bad))}' to '.*'"):
        load(tmp_path / "a.safetensors")


def test_a_bundles_backbone_is_read_by_prefix(tmp_path, tensors):
    file = tmp_path / "model.safetensors"
    save_file({f"backbone.{name}": value for name, value in tensors.items()} | {"head.bias": torch.zeros(2)}, file)
    assert read_weights(file, "backbone.")[0].keys() == tensors.keys()
    architecture = Architecture(NETWORK, (("bn_eps", 0.01),), 96)
    known = {"prefix": "backbone.", "architecture": architecture, "mean": (0.1,) * 3, "std": (0.2,) * 3}
    network, built, mean, std = load(file, **known)
    assert same(network, tensors)
    assert (built, mean, std) == (architecture, (0.1,) * 3, (0.2,) * 3)


def test_weights_of_a_transformer_fit_another_size(tmp_path):
    network = create_backbone(Architecture("test_vit", (), 160))
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    resized, architecture, _, _ = load_pretrained(Request("test_vit", str(tmp_path / "a.safetensors"), 96))
    assert architecture.size == 96
    assert resized.pos_embed.shape[1] < network.pos_embed.shape[1]
    assert resized.eval()(torch.rand(1, 3, 96, 96)).shape == (1, 64)
