"""Names to networks of the right kind, and a wrong name or wish said early."""

import pytest
import torch

from telltale.errors import ModelError
from telltale.model.backbone import Architecture, Request
from telltale.model.zoo import (
    PLAIN_NETWORKS,
    check_network,
    create_backbone,
    describe_network,
    list_models,
    load_pretrained,
    pretrained_facts,
)

NETWORK = "test_efficientnet"
GROWING = "cnn_growing"
WIDER = "mobilenetv2_130"


def count(network: torch.nn.Module) -> int:
    """Numbers in a network as Keras counts them: with the moving statistics of norms."""
    state = network.state_dict()
    return sum(value.numel() for name, value in state.items() if not name.endswith("num_batches_tracked"))


@pytest.mark.parametrize(
    ("pattern", "found", "absent"),
    [
        ("test_vit", "test_vit2", "test_resnet"),
        ("test_vit?", "test_vit2", "test_vit"),
        ("*resnet50", "resnet50", "resnet50d"),
        ("cnn", "cnn", "resnet50"),
        ("cnn*", "cnn_growing", "resnet50"),
        ("mobilenetv2", "mobilenetv2_130", "mobilenetv2_131"),
    ],
)
def test_models_are_listed_by_pattern(pattern, found, absent):
    names = list_models(pattern)
    assert found in names
    assert absent not in names
    assert names == sorted(set(names))


def test_only_pretrained_models_are_listed_on_request():
    names = list_models("test_", pretrained=True)
    assert f"{NETWORK}.r160_in1k" in names
    assert NETWORK not in names
    assert list_models("cnn", pretrained=True) == []
    assert WIDER not in list_models("mobilenetv2", pretrained=True)


@pytest.mark.parametrize(
    ("model", "size", "used"),
    [
        ("cnn", 0, 160),
        ("cnn", 32, 32),
        (GROWING, 48, 48),
        (NETWORK, 0, 160),
        ("test_vit", 64, 64),
        (WIDER, 0, 224),
        ("mobilenetv2_010", 64, 64),
    ],
)
def test_a_network_without_head_gives_features(model, size, used):
    architecture = describe_network(model, size=size)
    assert architecture == Architecture(model, (), used)
    network = create_backbone(architecture).eval()
    with torch.inference_mode():
        features = network(torch.rand(2, 3, used, used))
        assert features.shape[0] == 2 and features.ndim == 2
        hidden = create_backbone(Architecture(model, (("hidden", 5),), used)).eval()
        assert hidden(torch.rand(2, 3, used, used)).shape == (2, 5)
    assert hidden.state_dict().keys() > {f"trunk.{name}" for name in network.state_dict()}


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in PLAIN_NETWORKS for size in (46, 64)])
def test_plain_networks_are_good_for_their_usual_sizes(name, size):
    assert create_backbone(describe_network(name, size=size))(torch.rand(1, 3, size, size)).shape == (1, 128)
    check_network(name, size)


def test_the_growing_network_has_more_and_more_filters_and_dropout_between():
    network = create_backbone(describe_network(GROWING, size=64))
    kinds = {torch.nn.Conv2d: "conv", torch.nn.Dropout: "dropout", torch.nn.MaxPool2d: "pool", torch.nn.ReLU: "relu"}
    assert [kinds[type(layer)] for layer in network.blocks] == ["conv", "pool", "relu", "dropout"] * 4
    filters = [layer.out_channels for layer in network.blocks if isinstance(layer, torch.nn.Conv2d)]
    assert filters == sorted(set(filters)) == [32, 64, 128, 256]
    assert {layer.p for layer in network.blocks if isinstance(layer, torch.nn.Dropout)} == {0.1}


def test_global_max_pooling_takes_the_largest_value_of_all_places():
    network = create_backbone(describe_network(NETWORK, size=64, pool="max")).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network.forward_features(x).amax((2, 3)))
    assert describe_network(NETWORK, pool="max").options == (("global_pool", "max"),)


@pytest.mark.parametrize(("width", "numbers", "trained"), [(130, 3_766_048, 3_721_792), (100, 2_257_984, 2_223_872)])
def test_mobilenetv2_has_as_many_numbers_as_that_of_keras(width, numbers, trained):
    # Keras 3.15, MobileNetV2(alpha=1.3, include_top=False): count_params() and the trainable ones among them.
    network = create_backbone(describe_network(f"mobilenetv2_{width:03d}"))
    assert count(network) == numbers
    assert sum(parameter.numel() for parameter in network.parameters()) == trained


def test_a_width_that_timm_lacks_takes_the_same_input_as_the_others():
    assert pretrained_facts(WIDER) == pretrained_facts("mobilenetv2_100")
    assert pretrained_facts(WIDER)["size"] == 224


@pytest.mark.slow
@pytest.mark.parametrize(("model", "dimension"), [("inception_v3", 2048), ("tf_efficientnetv2_b2", 1408)])
def test_the_large_networks_of_the_seeds_can_be_trained_from_nothing(model, dimension):
    check_network(model, 224)
    network = create_backbone(describe_network(model, size=224)).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 224, 224)).shape == (1, dimension)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5O", r"No model named 'resnet5O'\. Did you mean 'resnet50'"),
        ("test_vit.r161_in1k", r"No model named 'test_vit.r161_in1k'\. Did you mean 'test_vit.r160_in1k'"),
        ("mobilenetv2_301", r"No model named 'mobilenetv2_301'\. Did you mean 'mobilenetv2_"),
        ("mobilenetv2_130.in1k", r"No model named 'mobilenetv2_130.in1k'\. Did you mean 'mobilenetv2_"),
        ("Q" * 30, r"No model named 'Q+'\. A name that timm knows, or 'cnn'\. List them: telltale models"),
    ],
)
def test_a_wrong_name_is_answered_by_the_nearest_ones(name, words):
    for use in (lambda: load_pretrained(Request(name)), lambda: describe_network(name), lambda: check_network(name, 0)):
        with pytest.raises(ModelError, match=words):
            use()


@pytest.mark.parametrize("name", [*PLAIN_NETWORKS, WIDER])
def test_some_networks_have_no_pretrained_weights(name):
    with pytest.raises(ModelError, match=rf"The network '{name}' has no pretrained weights\. .* Use --fit scratch"):
        load_pretrained(Request(name))


def test_without_weights_there_are_three_ways_out():
    words = r"The pretrained weights of 'test_vit' could not be had from the hub \(.+\)\. .* Three ways out: --weights"
    with pytest.raises(ModelError, match=words):
        load_pretrained(Request("test_vit"))


@pytest.mark.parametrize(
    ("model", "size", "pool", "words"),
    [
        ("cnn", 160, "max", r"The network 'cnn' does not pool\. A network of timm where pool is given"),
        ("cait_xxs24_224", 0, "max", r"The network 'cait_.*' cannot pool with 'max' \(.+\)\. .* Leave pool out"),
        (NETWORK, 64, "median", r"The network 'test_efficientnet' cannot pool with 'median'"),
        ("cnn", 21, "", r"21 pixels are too few for 3 convolutions with pooling"),
        (GROWING, 45, "", r"45 pixels are too few for 4 convolutions .* At least 46 pixels"),
        (
            "test_vit",
            8,
            "",
            r"The network 'test_vit' makes no features of pictures of 8 pixels \(.+\)\. A network that",
        ),
    ],
)
def test_what_cannot_be_trained_is_said_before_the_training(model, size, pool, words):
    with pytest.raises(ModelError, match=words):
        check_network(model, size, pool=pool)


def test_a_pool_that_the_network_lacks_is_said_before_weights_are_fetched():
    with pytest.raises(ModelError, match=r"The network 'cait_xxs24_224' cannot pool with 'max'"):
        load_pretrained(Request("cait_xxs24_224", pool="max"))


@pytest.mark.slow
def test_a_network_that_gives_no_row_per_picture_is_refused():
    words = (
        r"The network 'qwen3_vit_88m_enc' makes no features of pictures of 64 pixels \(its values are of shape \(1, "
    )
    with pytest.raises(ModelError, match=words):
        check_network("qwen3_vit_88m_enc", 64)


@pytest.mark.parametrize("hidden", [0, -1, 65_537, 10**12, True, 2.0, "5"])
def test_a_bundle_cannot_ask_for_an_odd_dense_layer(hidden):
    with pytest.raises(ModelError, match=r"The dense layer is to have .* outputs\. A whole number from 1 to 65536\."):
        create_backbone(Architecture("cnn", (("hidden", hidden),), 24))


def test_options_that_a_plain_network_lacks_are_refused():
    with pytest.raises(ModelError, match=r"The network 'cnn' cannot be built with \{'wheels': 4\} \(a plain network"):
        create_backbone(Architecture("cnn", (("wheels", 4),), 24))
