"""What is said of a picture comes from heads that have not seen its fold."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from telltale.data.sampling import sample_evenly
from telltale.evaluation import held_out
from telltale.evaluation.held_out import WIDTH, cross_fit, predict_held_out
from telltale.model.head import fit_head


def draw(count, width, classes, *, seed=0, spread=1.0):
    """Overlapping clouds: features float32 `[count, width]` and labels."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.int32)
    middles = np.random.default_rng(99).normal(0, spread, (classes, width))
    return (middles[labels] + rng.normal(0, 1, (count, width))).astype(np.float32), labels


def dealt(count, folds=5, seed=7):
    return np.random.default_rng(seed).permutation(np.arange(count) % folds)


@pytest.mark.parametrize(("width", "classes"), [(8, 2), (40, 7), (WIDTH + 300, 4)], ids=["two", "seven", "projected"])
def test_classes_that_can_be_told_are_told(width, classes):
    features, labels = draw(70 * classes, width, classes, spread=2)
    chances = predict_held_out(features, labels, dealt(len(labels)), classes=classes)
    assert chances.shape == (len(labels), classes)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (chances.argmax(axis=1) == labels).mean() > 0.95


def test_labels_of_noise_are_told_no_better_than_by_guessing():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(0, 1, (600, 900)).astype(np.float32), rng.integers(0, 2, 600).astype(np.int32)
    right = (predict_held_out(features, labels, dealt(600), classes=2).argmax(axis=1) == labels).mean()
    assert 0.42 < right < 0.58, "900 numbers learn 600 labels by heart: more than guessing would be a leak"


@pytest.mark.parametrize("width", [20, WIDTH + 100])
def test_a_label_has_no_part_in_what_is_said_of_its_own_fold(width):
    features, labels = draw(200, width, 3)
    folds = dealt(200)
    before = predict_held_out(features, labels, folds, classes=3)
    changed = np.where(folds == 2, (labels + 1) % 3, labels).astype(np.int32)
    after = predict_held_out(features, changed, folds, classes=3)
    np.testing.assert_array_equal(after[folds == 2], before[folds == 2])
    assert np.abs(after[folds != 2] - before[folds != 2]).max() > 0.01


def test_copies_in_one_fold_cannot_vouch_for_each_other():
    features, labels = draw(300, 30, 2, spread=2)
    features[1::2] = features[::2]  # every picture twice, the second with the other label
    labels = labels.reshape(-1, 2)[:, 0].repeat(2)
    labels[1::2] = 1 - labels[::2]
    chances = predict_held_out(features, labels, (np.arange(300) // 2) % 5, classes=2)
    np.testing.assert_allclose(chances[::2], chances[1::2], atol=1e-6)


def test_a_class_that_is_in_one_fold_only_is_never_said_there():
    features, labels = draw(120, 10, 2, spread=3)
    features = np.concatenate([features, features[:3] + 50])
    labels = np.concatenate([labels, np.full(3, 2, np.int32)])
    folds = np.concatenate([np.arange(120) % 5, [1, 1, 1]])
    chances = predict_held_out(features, labels, folds, classes=3)
    assert np.isfinite(chances).all()
    assert (chances[-3:].argmax(axis=1) != 2).all()
    assert (chances[:120].argmax(axis=1) == labels[:120]).mean() > 0.9


def test_a_memory_map_and_bytes_give_the_same_as_an_array(tmp_path):
    rng = np.random.default_rng(1)
    labels = (np.arange(90) % 2).astype(np.int32)
    pixels = (rng.integers(0, 156, (90, 600)) + 90 * labels[:, None]).astype(np.uint8)
    mapped = np.memmap(tmp_path / "features", np.float32, "w+", shape=pixels.shape)
    mapped[:] = pixels
    expected = predict_held_out(pixels.astype(np.float32), labels, dealt(90), classes=2)
    for same in (mapped, pixels):
        np.testing.assert_array_equal(predict_held_out(same, labels, dealt(90), classes=2), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(7, 90), st.integers(0, 3))
def test_an_even_sample_takes_small_classes_whole_and_the_others_alike(labels, most, seed):
    labels = np.array(labels, np.int32)
    rows = sample_evenly(labels, most, seed=seed)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= most
    counts = np.bincount(labels, minlength=7)
    taken = np.bincount(labels[rows], minlength=7)
    cut = taken < counts
    if not cut.any():
        assert len(rows) == len(labels)
        return
    assert len(set(taken[cut])) == 1, "of every class that is not whole there are equally many"
    assert taken.max() == taken[cut][0]
    assert most - len(rows) < cut.sum(), "one more of each would be too many"


@pytest.mark.parametrize(("width", "classes", "penalty"), [(12, 2, 0.1), (200, 3, 0.3), (60, 5, 0.01)])
def test_cross_fitting_says_what_heads_fitted_on_the_other_folds_say(monkeypatch, width, classes, penalty):
    features, labels = draw(240, width, classes, spread=1)
    features[:, 0] = 7  # constant
    folds = dealt(240, 4)
    logits = cross_fit(features, labels, folds, penalty=penalty, classes=classes)
    assert logits.dtype == np.float32
    monkeypatch.setattr("telltale.model.head.PENALTIES", (penalty,))
    for number in range(4):
        other, mine = folds != number, folds == number
        facts = {"val_features": features[mine], "val_labels": labels[mine], "classes": classes}
        head, _ = fit_head(features[other], labels[other], **facts)
        expected = head.logits(features[mine])
        # Standardised by all folds here and by three there: nearly the same.
        assert np.corrcoef(logits[mine].ravel(), expected.ravel())[0, 1] > 0.995
        assert np.abs(logits[mine] - expected).mean() < 0.12 * expected.std()


def test_cross_fitting_leaks_no_label():
    features, labels = draw(300, 400, 2)
    folds = dealt(300)
    before = cross_fit(features, labels, folds, penalty=0.01, classes=2)
    changed = np.where(folds == 2, 1 - labels, labels).astype(np.int32)
    after = cross_fit(features, changed, folds, penalty=0.01, classes=2)
    np.testing.assert_array_equal(after[folds == 2], before[folds == 2])
    assert np.abs(after - before).max() > 0.01
    noise = np.random.default_rng(3).integers(0, 2, 300).astype(np.int32)
    right = (cross_fit(features, noise, folds, penalty=0.01, classes=2).argmax(axis=1) == noise).mean()
    assert 0.4 < right < 0.6, "400 numbers learn 240 labels by heart"


def test_beyond_a_number_of_pictures_heads_learn_from_some_and_speak_of_all(monkeypatch):
    monkeypatch.setattr(held_out, "MOST", 90)
    features, labels = draw(400, 20, 3, spread=3)
    logits = cross_fit(features.astype(np.float64), labels, dealt(400), penalty=0.1, classes=3)
    assert logits.shape == (400, 3)
    assert (logits.argmax(axis=1) == labels).mean() > 0.95


def test_two_folds_and_a_class_in_only_one_of_them_are_enough():
    features, labels = draw(20, 10, 2, spread=3)
    labels[:2] = 2
    logits = cross_fit(features, labels, np.arange(20) % 2 * (np.arange(20) > 1), penalty=1.0, classes=4)
    assert np.isfinite(logits).all()
    assert (logits[:2].argmax(axis=1) != 2).all()
