"""An AUC is the share of pairs in the right order, within the classes, and its interval holds the truth."""

from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from telltale.evaluation.separation import mean_ranks, rank_in_folds, separate


def count_pairs(values, second, classes):
    """The AUC by definition: each class's share of pairs, weighted by n1 n0 / (n1 + n0)."""
    areas, weights = [], []
    for code in np.unique(classes):
        new, old = values[second & (classes == code)], values[~second & (classes == code)]
        if len(new) and len(old):
            pairs = new[:, None] - old[None]
            areas.append(((pairs > 0) + 0.5 * (pairs == 0)).mean())
            weights.append(len(new) * len(old) / (len(new) + len(old)))
    return np.average(areas, weights=weights)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_share_of_pairs_within_the_classes(seed):
    rng = np.random.default_rng(seed)
    values, second, classes = rng.integers(0, 9, 80) * 1.0, rng.random(80) < 0.4, rng.integers(0, 4, 80)
    assert separate(values, second, classes).value == pytest.approx(count_pairs(values, second, classes), abs=1e-12)
    one_class = separate(values, second, np.zeros(80, np.int32))
    assert one_class.value == pytest.approx(roc_auc_score(second, values), abs=1e-12)


def test_more_pictures_of_one_class_are_no_difference():
    """All of one set are dogs, most of the other cats; dogs are larger, but no larger here than there."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 1], [90, 10, 100])
    second = np.arange(200) >= 100
    values = rng.normal(size=200) + 5 * classes
    assert roc_auc_score(second, values) > 0.9
    assert separate(values, second, classes).low < 0.5 < separate(values, second, classes).high


def test_without_a_common_class_there_is_none():
    assert separate(np.arange(4.0), np.array([0, 0, 1, 1], bool), np.array([0, 0, 1, 1])) is None
    assert separate(np.empty(0), np.empty(0, bool), np.empty(0, np.int32)) is None


@pytest.mark.parametrize(("truth", "sizes", "classes"), [(0.5, (25, 25), 1), (0.5, (60, 30), 4), (0.9, (40, 80), 2)])
def test_intervals_hold_the_truth(truth, sizes, classes):
    rng, held = np.random.default_rng(1), 0
    second = np.repeat([False, True], sizes)
    apart = NormalDist().inv_cdf(truth) * 2**0.5
    for _ in range(600):
        codes = rng.integers(0, classes, len(second))
        found = separate(rng.normal(size=len(second)) + apart * second + 9 * codes, second, codes)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 600 <= 0.98


def test_a_perfect_separation_is_not_certain():
    values, second = np.arange(40.0), np.arange(40) >= 20
    found, copies = (separate(values, second, np.zeros(40, int), share=share) for share in (1.0, 0.5))
    assert (found.value, found.high) == (1, 1)
    assert 0.5 < copies.low < found.low < 0.95
    back = separate(-values, second, np.zeros(40, int))
    assert (back.value, back.low) == (0, 0)
    assert back.high == pytest.approx(1 - found.low)


def test_ranks_in_folds_forget_the_folds_own_scale():
    values, folds = np.array([1.0, 2, 2, 300, 100]), np.array([0, 0, 0, 1, 1])
    assert rank_in_folds(values, folds).tolist() == pytest.approx([1 / 6, 2 / 3, 2 / 3, 0.75, 0.25])
    assert mean_ranks(np.array([3.0, 3.0])).tolist() == [1.5, 1.5]
