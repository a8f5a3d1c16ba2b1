"""What is converted gives torch's features; what cannot be converted runs on torch."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from telltale.files import verify_manifest
from telltale.model.backbone import Architecture, open_backbone
from telltale.model.conversion import write_backbone
from telltale.model.engine import open_engine
from telltale.model.seeding import seeded
from telltale.model.zoo import create_backbone, describe_network

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def plain() -> torch.nn.Module:
    """A small plain CNN without head."""
    with seeded(4):
        return create_backbone(Architecture("cnn", (), 24))


def expect(network: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    """Features as torch gives them, normalised step by step."""
    with torch.inference_mode():
        inputs = torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / 255
        for channel in range(3):
            inputs[:, channel] = (inputs[:, channel] - MEAN[channel]) / STD[channel]
        return network.eval()(inputs.float()).numpy()


def test_the_converted_network_gives_torchs_features(plain):
    stored = write_backbone(plain, Architecture("cnn", (), 24), MEAN, STD)
    assert stored.converted
    assert (stored.dimension, stored.mean, stored.std) == (128, MEAN, STD)
    assert stored.parameters == sum(value.numel() for value in plain.parameters())
    pictures = np.random.default_rng(5).integers(0, 256, (7, 24, 24, 3), dtype=np.uint8)
    expected = expect(plain, pictures)
    np.testing.assert_allclose(open_engine(stored).run(pictures), expected, atol=1e-3 * expected.std())
    assert {path.name for path in stored.folder.iterdir()} == {
        "backbone.safetensors", "engine.json", "manifest.json", "network.bin", "network.xml",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model", ["inception_v3", "mobilenetv2_130", "tf_efficientnetv2_b2"])
def test_the_large_networks_of_the_seeds_are_converted(model):
    architecture = describe_network(model, size=224)
    with seeded(4):
        network = create_backbone(architecture)
    stored = write_backbone(network, architecture, MEAN, STD)
    assert stored.converted
    pictures = np.random.default_rng(5).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    expected = expect(network, pictures)
    np.testing.assert_allclose(open_engine(stored).run(pictures), expected, atol=1e-3 * expected.std())


def test_what_is_there_is_used(plain):
    first = write_backbone(plain, Architecture("cnn", (), 24), MEAN, STD)
    changed = (first.folder / "network.xml").stat().st_mtime_ns
    assert write_backbone(plain, Architecture("cnn", (), 24), MEAN, STD) == first
    assert (first.folder / "network.xml").stat().st_mtime_ns == changed
    assert open_backbone(first.folder) == first
    assert not list(first.folder.parent.glob(".*"))


def test_a_damaged_folder_is_replaced(plain):
    stored = write_backbone(plain, Architecture("cnn", (), 24), MEAN, STD)
    (stored.folder / "engine.json").write_text("{}")
    assert open_backbone(stored.folder) is None
    assert write_backbone(plain, Architecture("cnn", (), 24), MEAN, STD) == stored
    verify_manifest(stored.folder)


class _Restless(torch.nn.Module):
    """Gives something else each time, so that no recording of it can be right."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x.mean((2, 3)) * self.scale + self.calls


class _Refused(_Restless):
    """Cannot be recorded at all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("this network cannot be traced")
        return x.mean((2, 3)) * self.scale


@pytest.mark.parametrize("kind", [_Restless, _Refused])
def test_a_network_that_cannot_be_converted_keeps_its_weights(kind, capsys):
    stored = write_backbone(kind(), Architecture(kind.__name__, (), 16), MEAN, STD)
    assert not stored.converted
    assert {path.name for path in stored.folder.iterdir()} == {"backbone.safetensors", "engine.json", "manifest.json"}
    assert load_file(stored.folder / "backbone.safetensors")["scale"].tolist() == [1, 1, 1]
    if kind is _Refused:
        assert "not converted: this network cannot be traced" in capsys.readouterr().err.replace("\n", " ")


def test_a_conversion_tells_nobody(monkeypatch):
    """The converter would report each call over the network, from a process that it forks."""
    telemetry = pytest.importorskip("openvino_telemetry")

    def refuse(*arguments, **options):
        raise AssertionError("somebody is told")

    monkeypatch.setattr(telemetry.Telemetry, "__init__", refuse)
    with seeded(5):
        network = create_backbone(Architecture("cnn", (), 32))
    assert write_backbone(network, Architecture("cnn", (), 32), MEAN, STD).converted
