"""Features of augmented copies: computed once, ever, and for a picture always the same."""

from dataclasses import replace

import numpy as np
import pytest

from telltale.errors import RecipeError
from telltale.model.features import features
from telltale.progress import Advance
from telltale.training.views import Views, view_features

VIEWS = Views(("flip", "rotation=20", "brightness=0.3"), 3, seed=5)


@pytest.fixture(autouse=True)
def _own_features(tmp_path, monkeypatch, backbone):
    """The copies of one test are not those of another."""
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))


def compute(index, extractor, views=VIEWS, number=1):
    """The copy, and for how many pictures it was computed."""
    told = []
    found = view_features(index, extractor, views, number=number, tell=told.append)
    done = [one for one in told if isinstance(one, Advance)]
    assert not done or done[-1].stage == f"compute features of copy {number} of {views.count}"
    return found, done[-1].done if done else 0


def test_they_are_computed_once_and_never_again(splits, extractor):
    first, count = compute(splits.train, extractor)
    assert count == len(splits.train)
    assert first.shape == (len(splits.train), extractor.backbone.dimension)
    again, count = compute(splits.train, replace(extractor))
    assert count == 0
    np.testing.assert_array_equal(first, again)


def test_pictures_that_come_later_are_all_that_is_computed(splits, extractor):
    compute(splits.index.take(np.array([3, 30, 7])), extractor)
    assert compute(splits.index, extractor)[1] == len(splits.index) - 3


def test_neither_other_pictures_nor_order_nor_part_change_a_copy(splits, extractor, tmp_path, monkeypatch):
    first, _ = compute(splits.index.take(np.array([30, 3, 7])), extractor)
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "another"))
    whole, count = compute(splits.index, extractor)
    assert count == len(splits.index)
    np.testing.assert_allclose(whole[[30, 3, 7]], first, atol=1e-5)


def test_a_picture_that_is_there_twice_is_changed_in_one_way(splits, extractor):
    found, count = compute(splits.index.take(np.array([4, 9, 4])), extractor)
    assert count == 2
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(
    "other",
    [(VIEWS, 2), (replace(VIEWS, seed=6), 1), (replace(VIEWS, augment=("flip@1",)), 1)],
    ids=["number", "seed", "terms"],
)
def test_another_copy_is_another(splits, extractor, other):
    one, _ = compute(splits.train, extractor)
    found, count = compute(splits.train, extractor, *other)
    assert count == len(splits.train)
    assert np.abs(one - found).max() > 1e-3


def test_how_many_copies_there_are_does_not_change_the_first_ones(splits, extractor):
    compute(splits.train, extractor)
    assert compute(splits.train, extractor, replace(VIEWS, count=9))[1] == 0


def test_a_preset_and_its_terms_are_the_same_copies(splits, extractor):
    compute(splits.train, extractor, Views(("flip-rotation",), 1))
    assert compute(splits.train, extractor, Views(("flip", "rotation=72"), 1))[1] == 0


def test_without_changes_they_are_the_features_of_the_pictures(splits, extractor):
    found, _ = compute(splits.train, extractor, Views(("none",), 1))
    np.testing.assert_allclose(found, features(splits.train, extractor), atol=1e-5)


def test_an_unknown_change_is_refused(splits, extractor):
    with pytest.raises(RecipeError, match="rotatoin"):
        compute(splits.train, extractor, Views(("rotatoin=5",), 1))
