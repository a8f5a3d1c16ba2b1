"""What a search is to try: grids, presets, rungs, and what cannot be compared."""

import pytest

from telltale.delivery.search_plan import Candidate, SearchSettings, plan_candidates, plan_rungs, shorten_recipe
from telltale.errors import RecipeError
from telltale.training.recipe import Recipe


def names(**settings):
    return [one.name for one in plan_candidates(SearchSettings(**settings))]


def test_a_grid_is_every_combination_of_networks_and_values():
    vary = ("lr=0.1, 0.2", "augment=flip|light,rotation=10")
    assert names(models=("cnn",), vary=vary) == [
        "lr=0.1 augment=flip",
        "lr=0.1 augment=light,rotation=10",
        "lr=0.2 augment=flip",
        "lr=0.2 augment=light,rotation=10",
    ]
    assert names(models=("cnn", "cnn_growing"), vary=("lr=0.1",)) == ["cnn lr=0.1", "cnn_growing lr=0.1"]
    assert names(vary=("model=cnn,cnn_growing",)) == ["model=cnn", "model=cnn_growing"]
    found = plan_candidates(SearchSettings({"epochs": 7}, models=("cnn",), vary=("lr=0.1", "lr=0.2")))
    assert [(one.recipe.model, one.recipe.epochs, one.recipe.lr) for one in found] == [("cnn", 7, 0.1), ("cnn", 7, 0.2)]


def test_what_would_be_the_same_training_is_there_once():
    own = Candidate("mine", Recipe(model="cnn", lr=0.001))  # as `cnn` is by itself
    assert names(models=("cnn", "cnn_growing"), candidates=(own,)) == ["cnn", "cnn_growing"]
    assert names(models=("cnn",), vary=("epochs=30,0,20",)) == ["epochs=30", "epochs=20"]


def test_presets_are_candidates_with_what_was_given_put_over_them(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://localhost:9")  # so that nobody asks whether the hub is there
    settings = SearchSettings({"img_size": 64}, qualities=("fast", "balanced"))
    found = plan_candidates(settings, device="cpu", pictures=2500)
    assert [one.name for one in found] == ["fast", "balanced"]
    assert {one.recipe.img_size for one in found} == {64}
    assert len({one.recipe.model for one in found}) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vary": ("lrr=1,2",)}, r"A recipe has no setting 'lrr'\. Did you mean 'lr'\?"),
        ({"vary": ("img_size=96,big",)}, r"img_size is 'big'\. A whole number\."),
        ({"vary": ("img_size=96,-1",)}, r"img_size is -1\. 0, or 8 to 4096 pixels\."),
        ({"vary": ("lr",)}, r"--vary 'lr' names no values"),
        ({"vary": ("lr=1,,2",)}, r"--vary 'lr=1,,2' names no values"),
        ({"vary": ("seed=0,1",)}, r"seed is 0 for one candidate and 1 for another\. The same for all"),
        ({"models": ("cnn",), "settings": {"folds": 3}, "vary": ("lr=1,2",)}, "folds is set, and candidates are"),
        ({"models": ("cnn",)}, r"There is nothing to compare with each other: cnn\."),
        ({"models": ("cnn", "cnn")}, r"nothing to compare with each other: cnn\. At least two candidates"),
        ({}, r"nothing to compare with each other\. At least two"),
        ({"candidates": tuple(Candidate("a", Recipe(lr=lr)) for lr in (1.0, 2.0))}, "Two candidates are called 'a'"),
        ({"qualities": ("fastest",)}, "No quality named 'fastest'. Did you mean 'fast'"),
        ({"by": "speed"}, "Candidates are to be ranked by 'speed'"),
        ({"time": "soon"}, "The time for the search is 'soon'"),
    ],
    ids=lambda one: next(iter(one), "none") if isinstance(one, dict) else "",
)
def test_what_cannot_be_compared_is_refused(settings, words, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://localhost:9")
    with pytest.raises(RecipeError, match=words):
        plan_candidates(SearchSettings(**settings))


@pytest.mark.parametrize(
    ("count", "epochs", "rounds"),
    [
        (9, 27, [(9, 3), (3, 9), (1, 27)]),
        (10, 27, [(10, 1), (4, 3), (2, 9), (1, 27)]),
        (2, 3, [(2, 1), (1, 3)]),
        (20, 8, [(20, 3), (7, 8)]),
        (5, 2, [(5, 2)]),
        (1, 30, [(1, 30)]),
    ],
    ids=str,
)
def test_the_best_third_goes_on_with_three_times_the_epochs(count, epochs, rounds):
    recipe = Recipe(model="cnn", epochs=epochs)
    found = [(one.count, shorten_recipe(recipe, one.share).epochs) for one in plan_rungs(count, epochs)]
    assert found == rounds
