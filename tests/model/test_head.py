"""The head is plain logistic regression, found fast: it must say what scikit-learn says."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from telltale.errors import ModelError
from telltale.model.head import PENALTIES, Head, fit_head, softmax


def draw(count: int, width: int, classes: int, *, seed: int = 0, spread: float = 1.0):
    """Features and labels of overlapping clouds, correlated and of very different scales."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(99).normal(0, spread, (classes, width))
    labels = np.arange(count) % classes
    mixing = np.eye(width) + np.random.default_rng(98).normal(0, 0.3, (width, width))
    features = (middles[labels] + rng.normal(0, 1.5, (count, width))) @ mixing
    features = features * np.geomspace(0.1, 30, width) + 5
    return features.astype(np.float32), labels.astype(np.int32)


def fit(train, held, classes: int):
    """`fit_head` of two pairs of features and labels."""
    return fit_head(*train, val_features=held[0], val_labels=held[1], classes=classes)


@pytest.mark.parametrize(
    ("count", "width", "classes"),
    [(300, 20, 2), (400, 30, 5), (60, 100, 3), (250, 12, 25)],
    ids=["two classes", "five classes", "fewer samples than features", "many classes"],
)
def test_it_agrees_with_scikit_learn(count, width, classes):
    train, held = draw(count, width, classes), draw(200, width, classes, seed=1)
    head, tried = fit(train, held, classes)
    best = min(tried, key=lambda choice: choice.val_loss)
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    # Of two classes scikit-learn fits one vector, the difference of our two: half the penalty for the same answers.
    strength = (2 if classes == 2 else 1) / (best.penalty * count)
    theirs = LogisticRegression(C=strength, max_iter=5000, tol=1e-8)
    theirs.fit(scaler.transform(train[0]), train[1])
    expected = theirs.predict_proba(scaler.transform(held[0]))
    got = head.probabilities(held[0])
    assert np.abs(got - expected).max() < 0.02
    assert np.abs(got - expected).mean() < 0.003
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.98
    loss = -np.log(got[np.arange(len(got)), held[1]]).mean()
    assert loss == pytest.approx(best.val_loss, rel=1e-3)


def test_the_penalty_is_the_one_with_the_least_validation_loss():
    train, held = draw(80, 60, 3, spread=0.5), draw(300, 60, 3, seed=1, spread=0.5)
    head, tried = fit(train, held, 3)
    losses = [choice.val_loss for choice in tried]
    assert [choice.penalty for choice in tried] == list(PENALTIES[: len(tried)])
    best = int(np.argmin(losses))
    assert 0 < best < len(tried) - 1, "neither end: the drawing has to ask for a choice"
    assert len(tried) == min(best + 3, len(PENALTIES)), "two more are tried after the best"
    assert [choice.train_loss for choice in tried] == sorted((choice.train_loss for choice in tried), reverse=True)
    accuracy = (head.probabilities(held[0]).argmax(1) == held[1]).mean()
    assert accuracy == pytest.approx(tried[best].val_accuracy)


def test_separable_data_are_separated():
    train, held = draw(120, 10, 4, spread=30), draw(40, 10, 4, seed=1, spread=30)
    head, tried = fit(train, held, 4)
    chances = head.probabilities(held[0])
    assert (chances.argmax(1) == held[1]).all()
    assert np.isfinite(head.weight).all()
    assert len(tried) == len(PENALTIES), "the weakest penalty is best where nothing overlaps"


@pytest.mark.parametrize("where", ["one", "all"])
def test_constant_features_say_nothing(where):
    (features, labels), held = draw(90, 8, 3), draw(30, 8, 3, seed=1)
    features, held = features.copy(), (held[0].copy(), held[1])
    columns = slice(0, 1) if where == "one" else slice(None)
    features[:, columns] = held[0][:, columns] = 7
    labels = np.where(labels == 2, 0, labels)
    head, _ = fit((features, labels), (held[0], np.where(held[1] == 2, 0, held[1])), 3)
    assert np.abs(head.weight[:, columns]).max() == pytest.approx(0, abs=1e-3)
    assert np.isfinite(head.probabilities(held[0])).all()
    if where == "all":
        np.testing.assert_allclose(head.probabilities(held[0])[0], [2 / 3, 1 / 3, 0], atol=2e-3)


def test_a_class_without_pictures_gets_a_small_probability():
    (features, labels), held = draw(90, 8, 3), draw(30, 8, 3, seed=1)
    head, _ = fit((features, labels), held, 4)
    chances = head.probabilities(held[0])
    assert chances.shape == (30, 4)
    assert chances[:, 3].max() < 0.1


def test_the_scale_of_the_features_does_not_matter():
    train, held = draw(200, 15, 3), draw(60, 15, 3, seed=1)
    one, _ = fit(train, held, 3)
    other, _ = fit((train[0] * 1000 - 7, train[1]), (held[0] * 1000 - 7, held[1]), 3)
    np.testing.assert_allclose(one.probabilities(held[0]), other.probabilities(held[0] * 1000 - 7), atol=0.01)


def test_the_same_data_give_the_same_head():
    train, held = draw(200, 40, 5), draw(60, 40, 5, seed=1)
    one, tried = fit(train, held, 5)
    again, tried_again = fit((train[0].copy(), train[1]), held, 5)
    np.testing.assert_array_equal(one.weight, again.weight)
    np.testing.assert_array_equal(one.bias, again.bias)
    assert tried == tried_again


@pytest.mark.parametrize(("width", "classes"), [(1280, 2), (64, 1000), (7, 3)])
def test_a_row_does_not_depend_on_the_rows_beside_it(width, classes):
    rng = np.random.default_rng(3)
    head = Head(
        rng.normal(0, 0.1, (classes, width)).astype(np.float32), rng.normal(0, 1, classes).astype(np.float32), 1.3
    )
    features = rng.normal(0, 1, (33, width)).astype(np.float32)
    together = head.probabilities(features)
    alone = np.concatenate([head.probabilities(features[row : row + 1]) for row in range(len(features))])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(head.probabilities(features[::-1]), together[::-1])
    np.testing.assert_array_equal(head.probabilities(np.repeat(features, 2, axis=0)[::2]), together)
    assert head.probabilities(features[:0]).shape == (0, classes)


def test_a_higher_temperature_is_less_sure():
    head = Head(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    sure, unsure = (Head(head.weight, head.bias, t).probabilities(np.array([[2, 0]], np.float32)) for t in (1.0, 4.0))
    assert sure[0, 0] > unsure[0, 0] > 0.5


LOGITS = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=st.floats(-1e4, 1e4, width=32))


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(-1e3, 1e3, width=32))
def test_softmax_gives_probabilities_whatever_is_added(logits, shift):
    chances = softmax(logits)
    assert (chances >= 0).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (chances[np.arange(len(logits)), logits.argmax(1)] == chances.max(axis=1)).all()
    np.testing.assert_allclose(softmax(logits + np.float32(shift)), chances, atol=2e-3)


def test_features_that_are_not_finite_are_refused():
    features = np.ones((6, 3), np.float32)
    features[2, 1] = np.nan
    labels = np.array([0, 1, 0, 1, 0, 1], np.int32)
    with pytest.raises(ModelError, match="gives features that are not finite numbers"):
        fit_head(features, labels, val_features=features, val_labels=labels, classes=2)
