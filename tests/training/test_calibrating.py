"""Calibration costs a probe no further pictures, and says where its numbers come from."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from telltale.data.index import scan
from telltale.data.splits import Splits, deal_folds, split
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


def keep(splits, counts):
    """`splits` with so many training pictures of the classes, and the others in no part."""
    parts = np.where(splits.parts == 0, -1, splits.parts).astype(np.int8)
    for code, count in enumerate(counts):
        parts[np.flatnonzero((splits.parts == 0) & (splits.index.codes == code))[:count]] = 0
    return replace(splits, parts=parts)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("counts", [(2, 2), (2, 2, 2, 2), (3, 2), (5, 4, 3, 2)])
def test_hardly_any_training_pictures_are_calibrated_with_care(splits, extractor, probe, counts, seed, monkeypatch):
    few, dealt, real = keep(splits, counts), [], module.cross_fit

    def watch(known, labels, folds, **settings):
        dealt.append(folds)
        return real(known, labels, folds, **settings)

    monkeypatch.setattr(module, "cross_fit", watch)
    found = calibrate(few, extractor, probe.head, penalty=1.0, aims=Aims(seed=seed))
    assert found.rule.pictures == len(few.train) == sum(counts)
    assert "learned from others only" in found.facts["source"]
    assert not found.rule.assured
    assert np.isfinite(found.familiarity.score(features(few.train, extractor))).all()
    for number in np.unique(dealt[0]):
        assert set(few.train.codes[dealt[0] != number]) == set(few.train.codes), "a head lacks a class"


def test_groups_of_many_classes_leave_no_head_without_a_class(splits, extractor, probe, monkeypatch):
    """The two groups with class "rare" are dealt into one fold, as the other classes of the second have it there."""
    others = ["e1", "e2", "e3", "e4"]
    groups = [["rare", *["z"] * 7], *[["z", "z", *others]] * 4, ["rare", *others]]
    labels = [name for group in groups for name in group]
    names = [f"group {number}" for number, group in enumerate(groups) for _ in group]
    index = splits.index.take(np.arange(len(labels)))
    table = index.table
    for column, values in (("label", labels), ("group", names)):
        table = table.set_column(table.column_names.index(column), column, pa.array(values, pa.string()))
    index = replace(index, table=table, classes=tuple(sorted(set(labels))))
    units = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    rare = index.codes == index.classes.index("rare")
    assert len(np.unique(deal_folds(units, index.codes, module.FOLDS, seed=0)[rare])) == 1
    dealt, real = [], module.cross_fit

    def watch(known, labels, folds, **settings):
        dealt.append(folds)
        return real(known, labels, folds, **settings)

    monkeypatch.setattr(module, "cross_fit", watch)
    calibrate(Splits(index, np.zeros(len(labels), np.int8)), extractor, probe.head, penalty=1.0)
    assert len(np.unique(dealt[0][rare])) == 2
    for unit in np.unique(units):
        assert len(np.unique(dealt[0][units == unit])) == 1, "a group is in one fold"


@pytest.mark.parametrize("counts", [(1, 1), (1, 1, 1, 1), (7, 1), (7, 7, 7, 1), (1,)])
def test_a_class_of_one_training_picture_is_calibrated_on_what_chose_the_penalty(splits, extractor, probe, counts):
    few = keep(splits, counts)
    found = calibrate(few, extractor, probe.head, penalty=1.0)
    count = len(splits.validation)
    assert found.facts["source"] == f"{count} validation pictures, which chose the penalty too"
    assert found.rule.pictures == count
    assert np.isfinite(found.familiarity.score(features(few.train, extractor))).all()


def test_a_class_of_copies_of_one_picture_is_calibrated_on_what_chose_the_penalty(splits, extractor, probe):
    rows = np.flatnonzero(splits.parts == 0)
    first = rows[splits.index.codes[rows] == 0][:1]
    rows = np.concatenate([np.repeat(first, 3), rows[splits.index.codes[rows] > 0], np.flatnonzero(splits.parts == 1)])
    index = splits.index.take(rows)
    parts = (np.arange(len(rows)) >= len(rows) - len(splits.validation)).astype(np.int8)
    found = calibrate(Splits(index, parts, radius=splits.radius), extractor, probe.head, penalty=1.0)
    assert found.facts["source"].endswith("validation pictures, which chose the penalty too")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [3, 4])
def test_a_folder_of_three_or_four_pictures_a_class_is_learned(tmp_path, pictures, extractor, count, seed):
    for folder in ("red", "blue"):
        (tmp_path / "few" / folder).mkdir(parents=True)
        for path in sorted((pictures / folder).iterdir())[:count]:
            path.rename(tmp_path / "few" / folder / path.name)
    few = split(scan(tmp_path / "few"), seed=seed)
    probe = fit_probe(few, extractor, tell=silent)
    found = calibrate(few, extractor, probe.head, penalty=probe.facts["penalty"], aims=Aims(seed=seed))
    known = features(few.test, extractor)
    verdicts = judge(found.rule, found.head.probabilities(known), found.familiarity.score(known))
    assert len(verdicts) == len(few.test) > 0
    cross_fitted = np.bincount(few.train.codes).min() > 1
    assert ("learned from others only" if cross_fitted else "chose the penalty") in found.facts["source"]


@pytest.mark.parametrize("values", [{"precision": 1.0}, {"precision": 0.0}, {"coverage": 1.5}])
def test_a_share_that_nothing_can_show_is_refused(values):
    ((name, value),) = values.items()
    with pytest.raises(RecipeError) as caught:
        Aims(**values)
    for words in (f"The {name} that is wanted is {value}.", "A share between 0 and 1, such as 0.99.", "Give another"):
        assert words in str(caught.value)
