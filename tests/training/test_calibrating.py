"""Calibration costs a probe no further pictures, and says where its numbers come from."""

from dataclasses import replace

import numpy as np
import pytest

from telltale.data.splits import Splits
from telltale.errors import RecipeError
from telltale.model.features import features
from telltale.model.rejection import ACCEPTED, UNLIKE, judge, prediction_sets
from telltale.progress import silent
from telltale.training import calibrating as module
from telltale.training.calibrating import Aims, calibrate
from telltale.training.probe import fit_probe


@pytest.fixture
def probe(splits, extractor):
    return fit_probe(splits, extractor, tell=silent)


def test_a_probe_is_calibrated_on_its_own_training_pictures(splits, extractor, probe):
    found = calibrate(splits, extractor, probe.head, penalty=probe.facts["penalty"], aims=Aims(precision=0.9))
    count = len(splits.train)
    assert found.rule.pictures == found.facts["pictures"] == count
    assert (
        found.facts["source"] == f"{count} training pictures, each judged by a head that has learned from others only"
    )
    assert found.head.temperature == pytest.approx(found.facts["temperature"], abs=1e-4)
    np.testing.assert_array_equal(found.head.weight, probe.head.weight)
    assert found.rule.precision == 0.9
    assert not found.rule.assured, "28 pictures cannot show 0.9"
    assert set(found.facts) >= {"ece_before", "ece_after", "accepted", "accepted_accuracy", "assured"}
    known = features(splits.test, extractor)
    verdicts = judge(found.rule, found.head.probabilities(known), found.familiarity.score(known))
    assert (verdicts != UNLIKE).mean() > 0.6
    assert (verdicts == ACCEPTED).any()
    assert prediction_sets(found.rule, found.head.probabilities(known)).any()


def test_what_is_like_nothing_known_is_unlike(splits, extractor, probe):
    found = calibrate(splits, extractor, probe.head, penalty=probe.facts["penalty"])
    other = features(splits.train, extractor)[:, ::-1]
    verdicts = judge(found.rule, found.head.probabilities(other), found.familiarity.score(other))
    assert (verdicts == UNLIKE).mean() > 0.9


def test_the_same_seed_gives_the_same(splits, extractor, probe):
    one, same, other = (
        calibrate(splits, extractor, probe.head, penalty=0.1, aims=Aims(seed=seed)).rule for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other


def test_copies_are_judged_by_heads_that_do_not_know_them(splits, extractor, probe, monkeypatch):
    """Every picture is there twice: fold by fold, both copies are held out."""
    rows = np.repeat(np.flatnonzero(splits.parts == 0), 2)
    index = splits.index.take(rows)
    doubled = Splits(index, np.zeros(len(rows), np.int8), radius=splits.radius)
    dealt = []

    def watch(known, labels, folds, **settings):
        dealt.append(folds)
        return real(known, labels, folds, **settings)

    real = module.cross_fit
    monkeypatch.setattr(module, "cross_fit", watch)
    calibrate(doubled, extractor, probe.head, penalty=0.1)
    assert (dealt[0][::2] == dealt[0][1::2]).all()
    assert len(np.unique(dealt[0])) == module.FOLDS


def test_a_trained_network_is_calibrated_on_what_chose_the_epoch_and_says_so(splits, extractor, probe):
    found = calibrate(splits, extractor, probe.head, penalty=None)
    count = len(splits.validation)
    assert found.facts["source"] == f"{count} validation pictures, which chose the epoch and the settings too"
    assert found.rule.pictures == count


def test_a_part_that_is_kept_for_calibration_is_used_instead(splits, extractor, probe, monkeypatch):
    monkeypatch.setattr(Splits, "calibration", property(lambda self: self.test), raising=False)
    found = calibrate(splits, extractor, probe.head, penalty=None)
    assert found.facts["source"] == f"{len(splits.test)} calibration pictures, used for nothing else"
    monkeypatch.setattr(Splits, "calibration", property(lambda self: self.test.take(np.arange(0))), raising=False)
    assert "validation" in calibrate(splits, extractor, probe.head, penalty=None).facts["source"]


@pytest.mark.parametrize("count", [2, 3, 9])
def test_hardly_any_training_pictures_are_calibrated_with_care(splits, extractor, probe, count):
    rows = np.flatnonzero(splits.parts == 0)[:: max(1, len(splits.train) // count)][:count]
    few = replace(splits, parts=np.where(np.isin(np.arange(len(splits.parts)), rows), 0, -1).astype(np.int8))
    assert len(few.train) == count
    found = calibrate(few, extractor, probe.head, penalty=1.0)
    assert found.rule.pictures == count
    assert not found.rule.assured
    assert np.isfinite(found.familiarity.score(features(few.train, extractor))).all()


@pytest.mark.parametrize("values", [{"precision": 1.0}, {"precision": 0.0}, {"coverage": 1.5}])
def test_a_share_that_nothing_can_show_is_refused(values):
    ((name, value),) = values.items()
    with pytest.raises(RecipeError) as caught:
        Aims(**values)
    for words in (f"The {name} that is wanted is {value}.", "A share between 0 and 1, such as 0.99.", "Give another"):
        assert words in str(caught.value)
