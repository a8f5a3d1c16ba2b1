"""A cut network is the same network: the same logits, gradients and modes; what cannot be cut is refused."""

import pytest
import torch
from torch import nn

from telltale.model.backbone import Architecture
from telltale.model.cutting import Cut, cut_network, depth_groups, freeze, set_training
from telltale.model.network import Network, build_network
from telltale.model.seeding import seeded
from telltale.model.zoo import create_backbone, describe_network

SIZES = {"test_efficientnet": 64, "cnn": 24, "cnn_growing": 48, "test_resnet": 64, "test_convnext": 64}
LARGER = {"mobilenetv2_100": 64, "tf_efficientnetv2_b2": 96, "inception_v3": 96, "vit_tiny_patch16_224": 64}
LARGER |= {"resnet18": 64, "convnext_atto": 64}


def build(model: str, size: int = 0, *, hidden: int = 0, **options: object) -> tuple[Network, torch.Tensor]:
    """A network with random weights and three pictures for it."""
    size = size or {**SIZES, **LARGER}[model]
    with seeded(1):
        backbone = create_backbone(Architecture(model, tuple(sorted(options.items())), size))
        return build_network(backbone, 4, hidden=hidden), torch.rand(3, 3, size, size)


def layers_of(network: Network) -> list[nn.Module]:
    """Modules of the network without head that own parameters."""
    trunk = getattr(network.features, "trunk", network.features)
    return [module for module in trunk.modules() if list(module.parameters(recurse=False))]


def is_frozen(layer: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in layer.parameters(recurse=False))


@pytest.mark.parametrize("share", [0, 1 / 3, 2 / 3, 1])
@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("model", ["test_efficientnet", "cnn_growing", "test_vit"])
def test_the_first_layers_are_frozen(model, hidden, share):
    network, _ = build(model, 64, hidden=hidden)
    frozen = freeze(network, share)
    layers = layers_of(network)
    count = round(share * len(layers))
    assert [is_frozen(layer) for layer in layers] == [place < count for place in range(len(layers))]
    assert network.head.weight.requires_grad
    assert not hidden or all(one.requires_grad for one in network.features.hidden.parameters())
    set_training(network, frozen)
    for layer in layers:
        below = set(layer.modules()).intersection(layers)
        assert layer.training != all(is_frozen(inside) for inside in below)
    assert network.dropout.training
    set_training(network)
    assert all(module.training for module in network.modules())


def test_frozen_norms_keep_their_statistics_and_frozen_dropout_is_off():
    network, x = build("test_efficientnet", drop_path_rate=0.5)
    frozen = freeze(network, 0.6)
    names = {id(module): name for name, module in network.named_modules()}
    kept = {f"{names[id(module)]}.running_mean" for module in frozen if isinstance(module, nn.BatchNorm2d)}
    before = {name: value.clone() for name, value in network.state_dict().items() if name.endswith("running_mean")}
    set_training(network, frozen)
    network(x)
    moved = {name for name in before if not torch.equal(before[name], network.state_dict()[name])}
    assert moved == before.keys() - kept
    assert moved and kept
    set_training(network, freeze(network, 1))
    assert torch.equal(network.features(x), network.features(x))


@pytest.mark.parametrize("share", [0.4, 2 / 3, 0.9])
@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("model", SIZES)
def test_the_parts_give_what_the_whole_gives(model, hidden, share):
    check_cut(model, hidden, share)


@pytest.mark.slow
@pytest.mark.parametrize("model", LARGER)
def test_the_parts_of_larger_networks_give_what_the_whole_gives(model):
    check_cut(model, 6, 2 / 3)


def check_cut(model: str, hidden: int, share: float) -> None:
    """Logits and gradients of the parts are those of the whole; the frozen part gives the same in training."""
    network, x = build(model, hidden=hidden)
    modes = [module.training for module in network.modules()]
    cut = cut_network(network, share, x)
    assert isinstance(cut, Cut)
    assert [module.training for module in network.modules()] == modes
    assert 0 < cut.layers <= round(share * cut.of) and cut.of == len(layers_of(network))
    own = {id(parameter) for parameter in network.parameters()}
    halves = [{id(parameter) for parameter in half.parameters()} for half in (cut.lower, cut.upper)]
    assert set.union(*halves) == own and not set.intersection(*halves)

    frozen = freeze(network, share)
    assert not any(parameter.requires_grad for parameter in cut.lower.parameters())
    set_training(network, frozen)
    with torch.no_grad():
        activations = cut.lower(x)
    assert activations.shape[0] == len(x)
    assert torch.equal(cut.lower(x), activations)
    with seeded(5):
        cut.upper(activations).square().sum().backward()
    got = {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad()
    with seeded(5):
        network(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (name not in got)
        if name in got:
            torch.testing.assert_close(got[name], parameter.grad)
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(cut.upper(cut.lower(x[:2])), network(x[:2]))


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("model", ["cnn", "test_vit"])
def test_all_frozen_means_that_features_are_kept(model, hidden):
    network, x = build(model, 64, hidden=hidden)
    cut = cut_network(network, 1, x)
    assert cut.lower is (network.features.trunk if hidden else network.features)
    assert cut.layers == cut.of
    network.eval()
    assert torch.equal(cut.upper(cut.lower(x)), network(x))
    set_training(network, freeze(network, 1))
    with seeded(3):
        first = cut.upper(cut.lower(x))
    assert not torch.equal(first, cut.upper(cut.lower(x))), "dropout before the head"


def test_what_is_learned_above_the_cut_is_learned_by_the_network():
    network, x = build("test_resnet")
    cut = cut_network(network, 0.5, x)
    frozen = freeze(network, 0.5)
    set_training(network, frozen)
    before = network.eval()(x).detach()
    optimizer = torch.optim.SGD([one for one in cut.upper.parameters() if one.requires_grad], lr=0.1)
    activations = cut.lower(x).detach()
    set_training(network, frozen)
    cut.upper(activations).sum().backward()
    optimizer.step()
    after = network.eval()(x).detach()
    assert not torch.allclose(before, after)
    torch.testing.assert_close(cut.upper(cut.lower(x)), after)


@pytest.mark.parametrize(
    ("frozen", "below", "shape"), [(12, 12, (32, 8, 8)), (14, 12, (32, 8, 8)), (22, 20, (48, 4, 4))]
)
def test_kept_activations_are_not_the_wide_ones_inside_of_a_block(frozen, below, shape):
    network, x = build("test_efficientnet")
    cut = cut_network(network, frozen / 30, x)
    assert (cut.layers, cut.of) == (below, 30)
    assert cut.lower(x).shape[1:] == shape


class _Odd(nn.Module):
    """Two convolutions, and between or around them what `kind` says."""

    num_features = 4

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        picture, x = x, self.first(x)
        if self.kind == "function" or (self.kind == "training" and self.training):
            x = nn.functional.dropout(x, 0.5, self.training)
        if self.kind == "control flow" and x.mean() > 100:
            x = -x
        if self.kind == "mixes pictures":
            x = x - x.mean(0, keepdim=True)
        if self.kind == "not by picture":
            x = x.transpose(0, 1)
            x = self.second((x * 2).transpose(0, 1))
        elif self.kind == "two values":
            x = self.second(x) + picture.mean()
        else:
            x = self.second(self.dropout(x))
        return x.mean((2, 3))


def test_dropout_between_frozen_and_trained_layers_stays_above_the_cut():
    network, x = build_network(_Odd(""), 2), torch.rand(3, 3, 4, 4)
    cut = cut_network(network, 0.5, x)
    set_training(network, freeze(network, 0.5))
    assert torch.equal(cut.lower(x), cut.lower(x))
    assert nn.Dropout in {type(module) for module in cut.upper.modules()}


@pytest.mark.parametrize("kind", ["function", "training", "control flow", "mixes pictures", "two values"])
def test_a_network_that_cannot_be_cut_is_refused(kind):
    network = build_network(_Odd(kind), 2)
    assert cut_network(network, 0.5, torch.rand(3, 3, 4, 4)) is None
    assert all(module.training for module in network.modules())


def test_a_network_is_cut_where_each_picture_has_a_row():
    cut = cut_network(build_network(_Odd("not by picture"), 2), 0.5, torch.rand(3, 3, 4, 4))
    assert cut.lower(torch.rand(5, 3, 4, 4)).shape == (5, 4, 4, 4)


@pytest.mark.parametrize("share", [0, 0.01])
def test_without_a_frozen_layer_there_is_nothing_to_cut(share):
    network, x = build("cnn")
    assert cut_network(network, share, x) is None


def test_dropout_as_a_function_of_timm_is_refused():
    network, x = build("test_resnet", drop_rate=0.5)
    assert cut_network(network, 0.5, x) is None


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize(
    ("model", "first", "last", "most"),
    [
        ("mobilenetv2_100", "conv_stem", "bn2", 11),
        ("test_vit", "cls_token", "norm", 9),
        ("resnet18", "conv1", "layer4.1", 10),
        ("cnn", "blocks.0", "dense.0", 4),
        ("inception_v3", "Conv2d_1a_3x3", "Mixed_7c", 16),
    ],
)
def test_parameters_are_grouped_by_depth(model, first, last, most, hidden):
    if model == "inception_v3":
        with torch.device("meta"):
            network, _ = build(model, 299, hidden=hidden)
    else:
        network, _ = build(model, 64, hidden=hidden)
    groups = depth_groups(network.features)
    assert 1 < len(groups) <= most + bool(hidden)
    named = [one for group in groups for one in group]
    assert sorted(name for name, _ in named) == sorted(name for name, _ in network.features.named_parameters())
    assert all(parameter is dict(network.features.named_parameters())[name] for name, parameter in named)
    names = [[name.removeprefix("trunk.") for name, _ in group] for group in groups]
    assert names[0][0].startswith(first)
    if hidden:
        assert names.pop() == ["hidden.1.weight", "hidden.1.bias"]
    assert all(name.startswith(f"{last}.") for name in names[-1])


def test_groups_of_a_network_of_blocks_and_of_a_transformer():
    network = create_backbone(describe_network("mobilenetv2_100"))
    prefixes = ["conv_stem", "bn1", *(f"blocks.{number}" for number in range(7)), "conv_head", "bn2"]
    for prefix, group in zip(prefixes, depth_groups(network), strict=True):
        assert all(name.startswith(f"{prefix}.") for name, _ in group)
    lowest, *_ = depth_groups(create_backbone(describe_network("test_vit", size=64)))
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= {name for name, _ in lowest}
