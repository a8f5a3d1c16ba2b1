"""Temperature and calibration error: right where the truth is known, and never worse by chance."""

from itertools import pairwise

import numpy as np
import pytest

from telltale.evaluation.calibration import BINS, NORMAL_ABOVE, check_calibration, expected_error, fit_temperature
from telltale.model.head import softmax


def draw(count, temperature, *, classes=3, seed=0, spread=2.0):
    """Logits that are `temperature` times too large, and labels drawn from what they should say."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, spread, (count, classes))
    labels = (softmax(true).cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(0, classes - 1)
    return (temperature * true).astype(np.float32), labels.astype(np.int32)


def loss(logits, labels, temperature):
    return -np.log(softmax(logits.astype(float) / temperature)[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("classes", [2, 3, 40])
@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.6, 5.0])
def test_the_temperature_is_found(temperature, classes):
    logits, labels = draw(4000, temperature, classes=classes)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.1)
    for other in (0.97 * found, 1.03 * found):
        assert loss(logits, labels, found) <= loss(logits, labels, other) + 1e-5


def test_what_is_calibrated_stays_as_it_is():
    kept = [fit_temperature(*draw(300, 1.0, seed=seed)) == 1.0 for seed in range(100)]
    assert np.mean(kept) > 0.88, "1 in 20 shows a gain by chance"


def test_calibration_does_not_cost_on_new_pictures():
    """Over many draws from scarce data, the mean loss of new pictures is not above the one without temperature."""
    gains = []
    for seed in range(60):
        factor = [1.0, 1.2, 1.5][seed % 3]
        logits, labels = draw(5080, factor, seed=seed)
        found = fit_temperature(logits[:80], labels[:80])
        gains.append(loss(logits[80:], labels[80:], 1.0) - loss(logits[80:], labels[80:], found))
    assert np.mean(gains) > 0


def test_ten_right_answers_do_not_make_everything_certain():
    logits = np.repeat(np.float32([[2, 0]]), 10, axis=0)
    found = fit_temperature(logits, np.zeros(10, np.int32))
    assert 0.5 < found <= 1
    assert softmax(logits / found)[0, 0] < 0.97


@pytest.mark.parametrize("count", [0, 1])
def test_of_hardly_any_picture_nothing_is_learned(count):
    assert fit_temperature(np.ones((count, 2), np.float32), np.zeros(count, np.int32)) == 1.0


def test_equal_logits_and_huge_ones_are_no_trouble():
    labels = np.arange(50, dtype=np.int32) % 2
    assert fit_temperature(np.zeros((50, 2), np.float32), labels) == 1.0
    wrong = np.where(np.eye(2)[labels] > 0, -1e4, 1e4).astype(np.float32)
    assert 1 < fit_temperature(wrong, labels) <= 20


def test_the_check_shows_before_and_after():
    logits, labels = draw(3000, 3.0)
    before, after = (softmax(logits / np.float32(t)) for t in (1.0, 3.0))
    check = check_calibration(labels, after, 3.0)
    plain = check_calibration(labels, before, 1.0)
    assert check.temperature == 3.0
    assert check.ece_before == pytest.approx(plain.ece_after.value, abs=1e-4)
    assert check.ece_before == pytest.approx(expected_error(before, labels), abs=1e-4)
    assert check.ece_after.value < 0.03 < 0.1 < check.ece_before
    assert check.ece_after.low == 0, "a perfectly calibrated classifier would show as much"
    assert plain.ece_after.low > 0.1
    assert plain.before is plain.after
    assert len(check.before) == len(check.after) == BINS
    for one in (*check.before, *check.after):
        assert one.pictures == 200, "equally many in each bin"
        assert one.low <= one.confidence <= one.high
    ends = [(one.low, one.high) for one in check.after]
    assert all(high <= low for (_, high), (low, _) in pairwise(ends))


def test_the_error_is_that_of_its_definition():
    logits, labels = draw(150, 2.0, seed=3)
    table = softmax(logits)
    confidence, right = table.max(axis=1), table.argmax(axis=1) == labels
    parts = np.argsort(confidence, kind="stable").reshape(BINS, 10)
    expected = np.mean([abs(confidence[part].mean() - right[part].mean()) for part in parts])
    assert expected_error(table, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count", [400, NORMAL_ABOVE + 5_000])
def test_the_interval_tells_calibrated_from_not(count):
    for seed in range(6):
        logits, labels = draw(count, 1.0, seed=seed)
        good = check_calibration(labels, softmax(logits), 1.0, seed=seed).ece_after
        assert good.low <= 0.002, "the truth is 0"
        assert good.low <= good.value <= good.high < 0.12
        bad = check_calibration(labels, softmax(3 * logits), 1.0, seed=seed).ece_after
        assert bad.low > good.high


@pytest.mark.parametrize("count", [0, 1, 4, 9, 40])
def test_few_pictures_have_few_bins(count):
    logits, labels = draw(count, 1.0)
    check = check_calibration(labels, softmax(logits) if count else np.zeros((0, 3), np.float32), 1.0)
    assert len(check.after) == (max(1, count // 5) if count else 0)
    assert sum(one.pictures for one in check.after) == count
    assert 0 <= check.ece_after.low <= check.ece_after.value <= check.ece_after.high <= 1
