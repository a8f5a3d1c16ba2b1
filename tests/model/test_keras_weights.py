"""Keras' weights in timm's network give what they give in Keras; a server on this machine stands in for Keras' own."""

import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from telltale.errors import ModelError
from telltale.model.backbone import Architecture, Request
from telltale.model.keras_weights import WIDTHS, fetch_keras_weights, read_keras_weights
from telltale.model.zoo import check_network, create_backbone, describe_network, list_models, load_pretrained

NETWORK = "mobilenetv2_035.keras"
OPTIONS = (("bn_eps", 0.001), ("pad_type", "same"))
FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_no_top.h5"

AVERAGES = (0.0, 2.751708745956421, 0.2563712000846863, 0.8910241723060608, 0.7234232425689697, 2.469966411590576)
LARGEST = (0.0, 6.0, 2.3073408603668213, 3.7747833728790283, 3.6742753982543945, 5.115250587463379)
"""The first six features that Keras 3.15 on TensorFlow 2.21 gives for `picture` with the weights of `write`: means and
maxima over all places of MobileNetV2((96, 96, 3), alpha=0.35, include_top=False)."""

Layers = list[tuple[str, dict[str, np.ndarray]]]


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)


def shapes() -> Iterator[tuple[bool, tuple[int, ...]]]:
    """For each convolution of width 0.35 in Keras' order: is it by channel, and its shape there."""
    yield False, (3, 3, 3, 16)
    yield from ((True, (3, 3, 16, 1)), (False, (1, 1, 16, 8)))
    channels = 8
    for out, depth in ((8, 2), (16, 3), (24, 4), (32, 3), (56, 3), (112, 1)):
        for _ in range(depth):
            wide = 6 * channels
            yield from ((False, (1, 1, channels, wide)), (True, (3, 3, wide, 1)), (False, (1, 1, wide, out)))
            channels = out
    yield False, (1, 1, channels, 1280)


def layers() -> Layers:
    """Names, and tensors by name, of all layers; some have no weights."""
    rng = np.random.default_rng(0)
    found: Layers = [("input_1", {})]
    for number, (by_channel, shape) in enumerate(shapes()):
        fan = shape[0] * shape[1] * (1 if by_channel else shape[2])
        kernel = rng.normal(0, (2 / fan) ** 0.5, shape).astype(np.float32)
        found.append((f"conv_{number}", {f"{'depthwise_' if by_channel else ''}kernel": kernel}))
        count = shape[2] if by_channel else shape[3]
        drawn = rng.uniform(0.8, 1.2, count), rng.normal(0, 0.1, count)
        drawn += rng.normal(0, 0.1, count), rng.uniform(0.8, 1.2, count)
        norm = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), drawn, strict=True))
        found.append((f"norm_{number}", {name: values.astype(np.float32) for name, values in norm.items()}))
        found.append((f"relu_{number}", {}))
    return found


def write(path: Path, found: Layers, *, root: str = "/", nested: bool = False) -> Path:
    """An .h5 file as Keras lays it out; `nested`: all in one layer, what is trained first, and a classifier."""
    with h5py.File(path, "w") as file:
        top = file.require_group(root)
        if nested:
            still = ("moving_mean", "moving_variance")
            tensors = [(f"{layer}/{name}", one) for layer, parts in found for name, one in parts.items()]
            tensors.sort(key=lambda pair: pair[0].endswith(still))
            classifier = {"dense/kernel": np.zeros((1280, 3)), "dense/bias": np.zeros(3)}
            found = [("mobilenetv2", dict(tensors)), ("dense", classifier)]
        top.attrs["layer_names"] = [layer.encode() for layer, _ in found]
        for layer, parts in found:
            group = top.create_group(layer)
            names = {name if nested else f"{layer}/{name}:0": one for name, one in parts.items()}
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in names.items():
                group[name] = values
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder with a file under the name that Keras gives it."""
    folder = tmp_path_factory.mktemp("keras")
    write(folder / FILE.format("0.35_96"), layers())
    return folder


@pytest.fixture
def server(published, tmp_path, monkeypatch) -> Iterator[list[str]]:
    """Serves `published` in place of Keras' own server; gives the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(published))

        def log_message(self, *arguments: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TELLTALE_KERAS_WEIGHTS", f"http://127.0.0.1:{found.server_port}/")
        monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
        yield asked
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(("pool", "expected"), [("", AVERAGES), ("max", LARGEST)])
def test_features_are_those_of_keras(published, pool, expected):
    file = published / FILE.format("0.35_96")
    network, architecture, mean, std = load_pretrained(Request(NETWORK, str(file), 96, pool=pool))
    options = (OPTIONS[0], ("global_pool", "max"), OPTIONS[1]) if pool else OPTIONS
    assert architecture == Architecture("mobilenetv2_035", options, 96)
    assert mean == std == (0.5, 0.5, 0.5)
    with torch.inference_mode():
        features = network.eval()(torch.from_numpy(picture()).permute(0, 3, 1, 2) / 127.5 - 1)
    np.testing.assert_allclose(features[0, :6].numpy(), expected, atol=1e-4)


def test_weights_come_from_the_server_once(server, published):
    network, architecture, _, _ = load_pretrained(Request(NETWORK, size=96))
    assert architecture == Architecture("mobilenetv2_035", OPTIONS, 96)
    assert server == [f"/{FILE.format('0.35_96')}"]
    expected = read_keras_weights(published / FILE.format("0.35_96"))
    state = network.state_dict()
    assert all(torch.equal(state[name], values) for name, values in expected.items())
    assert fetch_keras_weights(NETWORK, 96).read_bytes() == (published / FILE.format("0.35_96")).read_bytes()
    assert len(server) == 1, "the second time nobody is asked"


@pytest.mark.parametrize(
    ("model", "size", "name"),
    [
        ("mobilenetv2_035.keras", 0, "0.35_224"),
        ("mobilenetv2_050.keras", 100, "0.5_224"),
        ("mobilenetv2_100.keras", 160, "1.0_160"),
        ("mobilenetv2_130.keras", 160, "1.3_224"),
        ("mobilenetv2_140.keras", 96, "1.4_224"),
    ],
)
def test_the_file_is_that_for_width_and_size(server, model, size, name):
    words = rf"The weights of '{model}' could not be had from Keras \(The server answered 404 .*{name}_no_top.h5'\)\."
    with pytest.raises(ModelError, match=words) as caught:
        load_pretrained(Request(model, size=size))
    assert "a mirror in TELLTALE_KERAS_WEIGHTS" in caught.value.do
    assert set(server) == {f"/{FILE.format(name)}"}


@pytest.mark.parametrize(
    "how", [{"root": "model_weights"}, {"nested": True}, {"root": "model_weights", "nested": True}]
)
def test_whole_models_are_read_too(published, tmp_path, how):
    expected = read_keras_weights(published / FILE.format("0.35_96"))
    found = read_keras_weights(write(tmp_path / "a.h5", layers(), **how))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_name_without_keras_takes_the_file_too(published):
    architecture = load_pretrained(Request("mobilenetv2_035", str(published / FILE.format("0.35_96"))))[1]
    assert architecture == Architecture("mobilenetv2_035", OPTIONS, 224)


def test_the_names_are_listed_and_can_be_trained_from_nothing():
    assert set(WIDTHS) <= set(list_models("mobilenetv2", pretrained=True))
    described = describe_network("mobilenetv2_130.keras", pool="max")
    assert described.name == "mobilenetv2_130"
    assert dict(described.options) == {"bn_eps": 0.001, "pad_type": "same", "global_pool": "max"}
    assert create_backbone(described).bn1.eps == 0.001
    check_network(NETWORK, 64)
    with pytest.raises(ModelError, match=r"No model named 'mobilenetv2_120.keras'\. Did you mean 'mobilenetv2_1"):
        describe_network("mobilenetv2_120.keras")
    with pytest.raises(ModelError, match=r"'mobilenetv2_130' has no pretrained .* such as mobilenetv2_130.keras"):
        load_pretrained(Request("mobilenetv2_130"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            "mobilenetv2_050.keras",
            r"The weights in '.*_no_top.h5' do not fit 'mobilenetv2_050.keras': another shape of",
        ),
        ("resnet18", r"The network 'resnet18' cannot be built with .* Give the weights file that belongs to this"),
    ],
)
def test_weights_are_refused_by_another_network(published, model, words):
    with pytest.raises(ModelError, match=words):
        load_pretrained(Request(model, str(published / FILE.format("0.35_96"))))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:4000])


def no_names(file: Path) -> None:
    with h5py.File(file, "a") as opened:
        del opened.attrs["layer_names"]


def link_elsewhere(file: Path) -> None:
    other = write(file.with_name("other.h5"), layers())
    with h5py.File(file, "a") as opened:
        del opened["conv_0/conv_0/kernel:0"]
        opened["conv_0/conv_0/kernel:0"] = h5py.ExternalLink(str(other), "conv_0/conv_0/kernel:0")


def store_elsewhere(file: Path) -> None:
    file.with_name("raw").write_bytes(bytes(4 * 3 * 3 * 3 * 16))
    with h5py.File(file, "a") as opened:
        del opened["conv_0/conv_0/kernel:0"]
        where = [(str(file.with_name("raw")), 0, h5py.h5f.UNLIMITED)]
        opened.create_dataset("conv_0/conv_0/kernel:0", (3, 3, 3, 16), "f4", external=where)


def claim_much(file: Path) -> None:
    with h5py.File(file, "a") as opened:
        del opened["conv_0/conv_0/kernel:0"]
        opened.create_dataset("conv_0/conv_0/kernel:0", (3, 3, 3, 10**9), "f4", chunks=(3, 3, 3, 16))


@pytest.mark.parametrize("harm", [cut, no_names, link_elsewhere, store_elsewhere, claim_much])
def test_a_damaged_or_hostile_file_is_refused(tmp_path, harm: Callable[[Path], None]):
    file = write(tmp_path / "a.h5", layers())
    harm(file)
    with pytest.raises(
        ModelError, match=r"The Keras weights in '.*a.h5' cannot be read \(.+\)\. HDF5 as Keras publishes"
    ):
        read_keras_weights(file)


def test_weights_of_another_network_are_refused(tmp_path):
    file = write(tmp_path / "a.h5", layers()[:10])
    with pytest.raises(ModelError, match=r"a.h5' holds 3 convolutions and 3 norms of Keras\. The 52 of each"):
        read_keras_weights(file)


def test_without_the_extra_it_is_named(published, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    words = r"'.*no_top.h5' holds weights of Keras, and the package 'h5py' is not installed.*'telltale\[keras\]'"
    with pytest.raises(ModelError, match=words):
        load_pretrained(Request(NETWORK, str(published / FILE.format("0.35_96"))))
