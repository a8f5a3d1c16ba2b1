"""A frozen network is found, or converted once; the hub is a real server on this machine."""

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from telltale.errors import ModelError
from telltale.files import cache_folder
from telltale.model.backbone import (
    Architecture,
    Backbone,
    Request,
    engine_folder,
    find_weights,
    open_backbone,
    request_backbone,
    with_weights,
)
from telltale.model.engine import open_engine

NETWORK, SIDE = "test_efficientnet", 64


@pytest.fixture
def own_cache(tmp_path, monkeypatch, backbone) -> Path:
    """A cache that holds `backbone` already and that a test may damage."""
    folder = tmp_path / "cache"
    shutil.copytree(backbone.folder.parent, folder / "engines")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


def test_values_survive_json(backbone):
    assert Backbone.from_dict(backbone.to_dict(), backbone.folder) == backbone
    architecture = Architecture("net", (("bn_eps", 0.001), ("pad_type", "same")), 96)
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    known = (architecture, (0.5, 0.5, 0.5), (1, 1, 1))
    for request in (Request("net", pool="max"), Request("net", "w.pth", 64, "backbone.", *known)):
        assert Request.from_dict(request.to_dict()) == request


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("vit", "vit.safetensors"),
        ("vit.in1k", "vit.in1k.pth"),
        ("vit.other", "vit.safetensors"),
        ("resnet", "resnet.pt"),
        ("absent", ""),
    ],
)
def test_weights_are_found_by_name(tmp_path, monkeypatch, model, expected):
    for name in ("vit.safetensors", "vit.pth", "vit.in1k.pth", "resnet.pt"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(tmp_path))
    assert Path(find_weights(model)).name == expected
    monkeypatch.delenv("TELLTALE_WEIGHTS")
    assert find_weights(model) == ""


def test_a_missing_weights_file_is_named():
    with pytest.raises(ModelError, match=r"There is no weights file 'absent.pth'. .* Check the path after --weights"):
        request_backbone(NETWORK, weights="absent.pth")


def test_a_wrong_name_is_answered_by_the_nearest_one():
    pending = request_backbone("test_eficientnet")
    for _ in range(2):  # several threads may ask
        with pytest.raises(ModelError, match=r"No model named 'test_eficientnet'\. Did you mean 'test_efficientnet'"):
            pending.result()
    assert pending.converting
    assert pending.ready()


def test_the_folder_of_weights_is_used_and_later_without_torch(weights, backbone, monkeypatch):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    program = (
        "import sys; from telltale.model.backbone import request_backbone\n"
        f"pending = request_backbone({NETWORK!r}, size={SIDE})\n"
        "print(pending.converting, pending.ready(), pending.result().folder)\n"
        "print({'torch', 'timm', 'openvino'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == [f"False True {backbone.folder}", "set()"]


def test_a_damaged_network_is_converted_again(own_cache, weights):
    def ask():
        return request_backbone(NETWORK, weights=str(weights / f"{NETWORK}.safetensors"), size=SIDE)

    found = ask()
    assert not found.converting
    file = found.result().folder / "network.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    assert open_backbone(file.parent) is None
    again = ask()
    assert again.converting
    assert not again.ready()
    assert again.result() == found.result()
    assert file.read_bytes() == whole
    assert not ask().converting


def test_two_processes_convert_at_once(tmp_path, monkeypatch, weights):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    file = str(weights / f"{NETWORK}.safetensors")
    both = [request_backbone(NETWORK, weights=file, size=32) for _ in range(2)]
    assert [one.converting for one in both] == [True, True]
    first, second = (one.result() for one in both)
    assert first == second
    assert open_backbone(first.folder) == first
    engines = sorted(path.name for path in cache_folder("engines").iterdir())
    assert len(engines) == 2, "one network and one alias, nothing temporary left over"


def test_stop_ends_the_conversion(tmp_path, monkeypatch, weights):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    pending = request_backbone(NETWORK, weights=str(weights / f"{NETWORK}.safetensors"))
    pending.stop()
    assert pending.ready()
    with pytest.raises(ModelError, match=r"could not be prepared \(exit code -9: no message\)"):
        pending.result()
    pending.stop()


def test_a_broken_installation_is_explained(tmp_path, monkeypatch, weights):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libtorch.so is not there')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    words = r"could not be prepared \(exit code 1: ImportError: libtorch.so is not there\)\. A working installation"
    with pytest.raises(ModelError, match=words):
        request_backbone(NETWORK, weights=str(weights / f"{NETWORK}.safetensors")).result()


def test_weights_that_are_converted_already_are_found(tmp_path, backbone):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(backbone.folder / "backbone.safetensors")
    file = tmp_path / "model.safetensors"
    save_file({f"backbone.{name}": value for name, value in tensors.items()} | {"head.bias": np.zeros(2)}, file)
    assert with_weights(backbone, file, "backbone.") == (backbone, False)


def test_the_folder_depends_on_everything_that_decides_the_features(backbone):
    facts = backbone.architecture, backbone.weights_hash, backbone.mean, backbone.std
    assert engine_folder(*facts) == backbone.folder
    others = {
        engine_folder(replace(facts[0], size=96), *facts[1:]),
        engine_folder(replace(facts[0], options=(("bn_eps", 0.1),)), *facts[1:]),
        engine_folder(facts[0], "0" * 64, *facts[2:]),
        engine_folder(*facts[:3], (0.1, 0.2, 0.3)),
    }
    assert len(others | {backbone.folder}) == 5
    assert open_backbone(backbone.folder.with_name("absent")) is None


class _Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download of one file needs."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        content = self.files.get(self.path)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body:
            self.wfile.write(content or b"")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[type[_Hub]]:
    """A hub on this machine that the networks' weights are fetched from."""
    handler = type("Hub", (_Hub,), {"files": {}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    _use_hub(monkeypatch, tmp_path, server.server_port)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def _use_hub(monkeypatch, folder: Path, port: int) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder / "cache"))


def test_weights_come_from_the_hub(hub, tmp_path):
    import timm
    from safetensors.torch import save

    from telltale.model.seeding import seeded

    name = f"{NETWORK}.r160_in1k"
    with seeded(3):
        network = timm.create_model(name)
    hub.files[f"/timm/{name}/resolve/main/model.safetensors"] = save(network.state_dict())
    found = request_backbone(name).result()
    assert found.architecture == Architecture(name, (), 160)
    assert found.mean == network.pretrained_cfg["mean"]
    assert found.parameters < sum(parameter.numel() for parameter in network.parameters()), "the head is left out"
    pictures = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        import torch

        patch.setattr(network, "classifier", torch.nn.Identity())
        mean, std = (torch.tensor(one).reshape(1, 3, 1, 1) for one in (found.mean, found.std))
        with torch.inference_mode():
            inputs = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std
            expected = network.eval()(inputs).numpy()
    np.testing.assert_allclose(open_engine(found).run(pictures), expected, atol=1e-3 * expected.std())
    assert any(line.startswith("GET") for line in hub.asked)
    count = len(hub.asked)
    assert not request_backbone(name).converting
    assert len(hub.asked) == count, "the second time nobody is asked"


def test_without_the_hub_there_are_three_ways_out(tmp_path, monkeypatch):
    with http.server.HTTPServer(("127.0.0.1", 0), _Hub) as server:
        port = server.server_port
    _use_hub(monkeypatch, tmp_path, port)  # nobody listens there any more
    start = time.perf_counter()
    words = (
        rf"The pretrained weights of '{NETWORK}.r160_in1k' could not be had from the hub "
        r"\(http.+ does not answer: .+\)\. .*"
        rf"Three ways out: --weights FILE, {NETWORK}.r160_in1k.safetensors in a folder TELLTALE_WEIGHTS, "
        "or --fit scratch"
    )
    with pytest.raises(ModelError, match=words):
        request_backbone(f"{NETWORK}.r160_in1k").result()
    assert time.perf_counter() - start < 25, "the hub's own client goes on trying for 46 s"
    assert not [path for path in (tmp_path / "cache" / "engines").iterdir() if path.is_dir()]
