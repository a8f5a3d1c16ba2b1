"""fast, balanced and best: settings that make a recipe, from speed and accuracy, with figures in the reason."""

import re

import pytest
from hypothesis import given, settings, strategies as st

from telltale.batches.augmentation import parse_augmentation
from telltale.errors import RecipeError
from telltale.model.zoo import describe_network, list_models
from telltale.training.candidates import CANDIDATES
from telltale.training.quality import LIMITS, QUALITIES, USUAL_PICTURES, choose_quality

BY_NAME = {one.model: one for one in CANDIDATES}
DEVICES = ("cpu", "cuda")
every = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    monkeypatch.delenv("TELLTALE_WEIGHTS", raising=False)


def accuracy(quality):
    return BY_NAME[quality.settings["model"]].accuracy


@every
@pytest.mark.parametrize("name", QUALITIES)
def test_a_choice_makes_a_recipe_and_says_why(name, device):
    quality = choose_quality(name, device=device)
    recipe = quality.recipe.resolved
    parse_augmentation(recipe.augment)
    assert recipe.model in BY_NAME and recipe.img_size == BY_NAME[recipe.model].size
    assert recipe.how in ("probe", "finetune")
    assert quality.why.startswith(f"{name}: ") and recipe.model in quality.why
    assert re.search(
        rf"\d % on ImageNet.* About \d+.* for {USUAL_PICTURES:,} pictures on (two cores|an RTX 4090)\.", quality.why
    )


@every
def test_more_patience_is_never_worse(device):
    fast, balanced, best = (choose_quality(name, device=device) for name in QUALITIES)
    assert accuracy(fast) <= accuracy(balanced) <= accuracy(best)
    assert best.settings["fit"] == "finetune"
    assert fast.settings["fit"] == "probe"


def test_a_gpu_gets_another_network():
    for name in QUALITIES:
        one, other = (choose_quality(name, device=device) for device in DEVICES)
        assert accuracy(one) < accuracy(other)


def test_fast_and_balanced_do_not_depend_on_the_number_of_pictures():
    for name in ("fast", "balanced"):
        small, large = (choose_quality(name, device="cpu", pictures=count) for count in (100, 1_000_000))
        assert small.settings == large.settings
        assert small.why != large.why
        assert "for 1,000,000 pictures" in large.why


def test_best_gives_way_where_pictures_are_many():
    few, some, many = (choose_quality("best", device="cpu", pictures=count) for count in (500, 20_000, 5_000_000))
    assert few.settings["fit"] == "finetune" and few.settings["ema"] > 0
    assert (some.settings["fit"], some.settings["views"]) == ("probe", 1)
    assert many.settings == choose_quality("balanced", device="cpu").settings
    assert "as for balanced, because more would take over an hour" in many.why
    assert choose_quality("best", device="cuda", pictures=20_000).settings["fit"] == "finetune"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**8))
def test_best_is_never_worse_than_balanced(pictures):
    best, balanced = (choose_quality(name, device="cpu", pictures=pictures) for name in ("best", "balanced"))
    assert accuracy(best) >= accuracy(balanced)


def test_only_weights_that_are_here_count_without_the_hub(tmp_path, monkeypatch):
    usual = choose_quality("best", device="cpu")
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(tmp_path))
    # Nothing is here: what is missing is said where the weights are opened.
    assert choose_quality("best", device="cpu", hub=False) == usual
    (tmp_path / "mobilenetv2_035.safetensors").touch()
    (tmp_path / "mobilenetv2_100.safetensors").touch()
    for name in QUALITIES:
        quality = choose_quality(name, device="cpu", hub=False)
        assert quality.settings["model"] == "mobilenetv2_100.ra_in1k"
        assert f"The hub cannot be reached: 2 of {len(CANDIDATES)} networks have weights here." in quality.why
    assert choose_quality("best", device="cpu", hub=True) == usual


def test_the_fastest_is_taken_where_none_is_fast_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(tmp_path))
    (tmp_path / "convnext_small.in12k_ft_in1k.safetensors").touch()
    quality = choose_quality("fast", device="cpu", hub=False)
    assert quality.settings["model"] == "convnext_small.in12k_ft_in1k"
    assert f"the fastest, for none does it within {LIMITS['fast', 'cpu']} s" in quality.why


def test_a_network_that_the_hub_lacks_is_chosen_only_where_it_is_here():
    lacking = [one.model for one in CANDIDATES if not one.hub]
    assert lacking
    for device in DEVICES[:1]:
        for name in QUALITIES:
            assert choose_quality(name, device=device).settings["model"] not in lacking


@pytest.mark.parametrize("name", ["quick", "", "Best"])
def test_another_word_is_refused(name):
    with pytest.raises(RecipeError, match=r"No quality named '.*'. .*best.*Give one of them with --quality"):
        choose_quality(name, device="cpu")


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda one: one.model)
def test_facts_of_a_candidate_are_timms(candidate):
    import timm
    import torch

    assert describe_network(candidate.model).name == candidate.model
    assert candidate.hub == (candidate.model in list_models(candidate.model, pretrained=True))
    assert timm.get_pretrained_cfg(candidate.model).license == "apache-2.0"
    with torch.device("meta"):
        network = timm.create_model(candidate.model)
    assert sum(one.numel() for one in network.parameters()) / 1e6 == pytest.approx(candidate.parameters, abs=0.006)
    assert candidate.cpu_training < candidate.cpu < candidate.gpu


def test_candidates_are_in_order():
    assert list(CANDIDATES) == sorted(CANDIDATES, key=lambda one: one.accuracy)
    assert len({one.model for one in CANDIDATES}) == len(CANDIDATES)
