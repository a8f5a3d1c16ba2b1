"""Strangeness: pictures like the known ones are usual, others are not, and little is kept for that."""

import math

import numpy as np
import pytest

from telltale.model.familiarity import DIRECTIONS, KNOWN, MOST, Familiarity, find_limit, fit_familiarity


def draw(count, width, *, classes=2, seed=0, kind=1):
    """Mean activations as a network gives them: at least 0, mostly in directions that belong to the `kind`."""
    shared, rng = np.random.default_rng([kind, width]), np.random.default_rng([seed, count, kind])
    usual, spread = shared.gamma(1, 1, width), shared.normal(0, 0.3, (6, width))
    labels = (np.arange(count) % classes).astype(np.int32)
    middles = shared.normal(0, 0.2, (classes, width))
    values = usual + middles[labels] + rng.normal(0, 1, (count, 6)) @ spread + rng.normal(0, 0.2, (count, width))
    return np.maximum(values, 0).astype(np.float32), labels


@pytest.mark.parametrize(
    ("count", "width", "classes"),
    [(20, 1280, 2), (60, 64, 3), (400, 2048, 120), (2000, 256, 2)],
    ids=["10 of each class", "narrow", "120 classes", "many"],
)
def test_new_pictures_of_the_kind_are_usual_and_others_strange(count, width, classes):
    known, labels = draw(count, width, classes=classes)
    held = np.arange(count) % 5 == 0
    limit = find_limit(fit_familiarity(known[~held], labels[~held], classes=classes).score(known[held]))
    familiarity = fit_familiarity(known, labels, classes=classes)
    new, _ = draw(500, width, classes=classes, seed=1)
    other, _ = draw(200, width, classes=classes, kind=2)
    assert (familiarity.score(new) > limit).mean() < 0.06
    assert (familiarity.score(other) > limit).mean() > 0.95
    assert 0.3 < np.median(familiarity.score(new)) < 3, "1 is usual"


def test_brighter_or_louder_is_not_other():
    known, labels = draw(200, 100)
    familiarity = fit_familiarity(known, labels, classes=2)
    np.testing.assert_allclose(familiarity.score(9 * known), familiarity.score(known), rtol=1e-3)


def test_a_row_does_not_depend_on_the_rows_beside_it():
    known, labels = draw(150, 300)
    familiarity = fit_familiarity(known, labels, classes=2)
    whole = familiarity.score(known)
    np.testing.assert_array_equal(
        np.concatenate([familiarity.score(known[row : row + 1]) for row in range(150)]), whole
    )
    np.testing.assert_array_equal(familiarity.score(known[::-1]), whole[::-1])
    assert familiarity.score(known[:0]).shape == (0,)


def test_it_is_small_and_the_same_after_a_file():
    known, labels = draw(300, 1280)
    familiarity = fit_familiarity(known, labels, classes=2)
    tensors = familiarity.to_tensors()
    assert familiarity.directions.shape == (1280, DIRECTIONS)
    assert sum(tensor.nbytes for tensor in tensors.values()) < 200_000
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float32"}
    read = Familiarity.from_tensors(tensors)
    np.testing.assert_array_equal(read.score(known), familiarity.score(known))
    np.testing.assert_allclose(familiarity.directions.T @ familiarity.directions, np.eye(DIRECTIONS), atol=1e-4)
    with pytest.raises(KeyError):
        Familiarity.from_tensors({"mean": tensors["mean"]})
    with pytest.raises(ValueError, match="no familiarity"):
        Familiarity.from_tensors(tensors | {"variances": tensors["variances"][1:]})


def test_the_directions_are_the_principal_ones():
    known, labels = draw(500, 40)
    familiarity = fit_familiarity(known, labels, classes=2)
    roots = np.sqrt(known)
    points = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    expected = np.linalg.eigvalsh(np.cov(points.T, bias=True))[::-1]
    found = len(familiarity.variances)
    assert found == 10, "a quarter of the features"
    np.testing.assert_allclose(familiarity.variances[:6], expected[:6], rtol=0.01)
    assert familiarity.rest == pytest.approx(expected[found:].mean(), rel=0.05)


@pytest.mark.parametrize(
    "known",
    [
        np.zeros((12, 64), np.float32),
        np.full((12, 64), 3, np.float32),
        np.eye(12, 64, dtype=np.float32),
        np.ones((2, 64), np.float32),
        np.ones((1, 1), np.float32),
        -np.random.default_rng(0).gamma(1, 1, (30, 64)).astype(np.float32),
        1e30 * np.random.default_rng(0).gamma(1, 1, (30, 64)).astype(np.float32),
    ],
    ids=["zeros", "constant", "unit", "two", "single number", "negative", "huge"],
)
def test_odd_features_give_finite_numbers(known):
    labels = np.zeros(len(known), np.int32)
    familiarity = fit_familiarity(known, labels, classes=1)
    assert np.isfinite(familiarity.score(known)).all()
    assert (familiarity.score(known) < 100).all()
    assert np.isfinite(familiarity.score(np.zeros_like(known))).all()


def test_what_is_constant_makes_all_else_strange():
    familiarity = fit_familiarity(np.ones((20, 64), np.float32), np.zeros(20, np.int32), classes=1)
    assert familiarity.score(np.eye(1, 64, dtype=np.float32))[0] > 1000


def test_of_very_many_pictures_rare_classes_count_whole():
    rng = np.random.default_rng(0)
    common = rng.gamma(1, 1, 8) + rng.normal(0, 0.01, (MOST + 5_000, 8))
    rare = rng.gamma(1, 1, 8) + rng.normal(0, 0.01, (200, 8))
    known = np.abs(np.concatenate([common, rare])).astype(np.float32)
    labels = np.repeat([0, 1], [len(common), len(rare)]).astype(np.int32)
    familiarity = fit_familiarity(known, labels, classes=2)
    assert np.median(familiarity.score(known[-200:])) < 110, "some of 200 rare ones are among those that it knows"
    assert np.isfinite(familiarity.score(known[:10])).all()


def test_labels_must_go_with_the_features():
    for count, labels in ((3, [0, 1]), (0, []), (2, [0, 5])):
        with pytest.raises(ValueError, match="do not go with"):
            fit_familiarity(np.ones((count, 4), np.float32), np.array(labels, np.int32), classes=2)


@pytest.mark.parametrize("count", [1, 2, 20, 60, 150, 199, 500, 5000])
def test_the_limit_holds_for_new_pictures(count):
    rng = np.random.default_rng(count)
    outside = [
        (rng.lognormal(0, 0.3, 4000) > find_limit(rng.lognormal(0, 0.3, count).astype(np.float32))).mean()
        for _ in range(100)
    ]
    assert np.mean(outside) < {1: 0.55, 2: 0.2}.get(count, 0.04 if count < 100 else 0.0115)
    assert count < 500 or np.mean(outside) > 1 - KNOWN - 0.006


def test_without_pictures_there_is_no_limit():
    assert find_limit(np.zeros(0, np.float32)) == math.inf
    assert find_limit(np.full(10, 2, np.float32)) == pytest.approx(2)
    assert find_limit(np.zeros(10, np.float32)) < 1e-6
