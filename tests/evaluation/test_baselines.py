"""Simple ways to answer learn from the training part, choose with validation, and are asked about the test part."""

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from telltale.batches.preprocess import Preprocess
from telltale.data.index import scan
from telltale.data.splits import Splits, split
from telltale.evaluation.baselines import MAJORITY, NEAREST, Baseline, judge_baselines, score_baselines
from telltale.evaluation.metrics import Interval, wilson
from telltale.evaluation.nearest import name_nearest
from telltale.evaluation.shortcuts import ADVICE, LEAK
from telltale.model.features import Extractor
from telltale.values import to_plain

SIDE = 64
HINTS = [MAJORITY, *LEAK]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))


def jpeg(pixels, quality=85):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def clouds(rng):
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return np.asarray(small.resize((48, 40), Image.Resampling.BICUBIC)).copy()


def told_by_quality(rng, kind):
    return jpeg(clouds(rng), quality=(80, 92)[kind])


def told_by_border(rng, kind):
    pixels = clouds(rng)
    for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:]):
        pixels[edge] = 128 if kind else int(rng.choice([0, 255]))
    return jpeg(pixels)


def write(root, draw, counts=(60, 60)):
    rng = np.random.default_rng(0)
    for kind, count in enumerate(counts):
        (root / f"class-{kind}").mkdir(parents=True)
        for number in range(count):
            (root / f"class-{kind}" / f"{number}.jpg").write_bytes(draw(rng, kind))
    return split(scan(root), seed=0)


@pytest.mark.parametrize(("draw", "tells"), [(told_by_quality, "file facts"), (told_by_border, "border")])
def test_a_baseline_finds_what_tells_the_class(draw, tells, tmp_path):
    found = {one.name: one for one in score_baselines(write(tmp_path / "pictures", draw), None)}
    assert list(found) == HINTS
    assert found[MAJORITY].accuracy.value == 0.5
    assert found[tells].accuracy.value > 0.8
    words = judge_baselines(tuple(found.values()), Interval(0.9, 0.8, 0.99))
    assert any(ADVICE[tells] in one for one in words)


def test_the_score_is_that_of_the_test_part_and_the_majority_that_of_the_training_part(tmp_path):
    index = scan(write(tmp_path / "pictures", told_by_quality, counts=(30, 20)).index.location)
    parts = np.zeros(len(index), np.int8)
    parts[:10], parts[10:16], parts[30:34], parts[34:44] = 2, 1, 1, 2  # training: 14 of class 0, 6 of class 1
    splits = Splits(index, parts)
    majority = score_baselines(splits, None)[0]
    assert majority.accuracy == wilson(np.array([10]), np.array([20]))[0]
    assert majority.says == "Always saying 'class-0' is right for 50.0 %."


def test_test_pictures_of_a_group_are_one_witness(tmp_path):
    splits = write(tmp_path / "pictures", told_by_quality, counts=(30, 30))
    index = splits.index
    place = index.table.column_names.index("group")
    groups = pa.array([f"patient {row // 5}" for row in range(len(index))])
    grouped = replace(index, table=index.table.set_column(place, "group", groups))
    parts = np.repeat(np.array([0, 1, 2, 0, 1, 2], np.int8), 10)
    alone, found = (score_baselines(Splits(one, parts), None)[0].accuracy for one in (index, grouped))
    assert found.value == alone.value == 0.5
    assert found.high - found.low > 1.2 * (alone.high - alone.low)


def test_labels_of_the_test_part_have_no_part_in_what_is_said(tmp_path):
    """Turned round, what was right is wrong: so many as before are right of the turned ones."""
    splits = write(tmp_path / "pictures", told_by_quality)
    names = splits.index.table.column("label").to_pylist()
    turned = [
        {"class-0": "class-1", "class-1": "class-0"}[name] if part == 2 else name
        for name, part in zip(names, splits.parts, strict=True)
    ]
    place = splits.index.table.column_names.index("label")
    table = splits.index.table.set_column(place, "label", [turned])
    other = Splits(type(splits.index)(table, *[getattr(splits.index, name) for name in _REST]), splits.parts)
    for one, two in zip(score_baselines(splits, None), score_baselines(other, None), strict=True):
        assert one.accuracy.value == pytest.approx(1 - two.accuracy.value)


_REST = ("classes", "location", "name", "layout")


def test_nearest_neighbours_come_with_a_network(pictures, backbone):
    extractor = Extractor(backbone, Preprocess(SIDE, "crop", backbone.mean, backbone.std), "f32")
    found = score_baselines(split(scan(pictures), seed=0), extractor)
    assert [one.name for one in found] == [*HINTS, NEAREST]
    assert found[-1].accuracy.value == 1.0, "pictures of one colour lie beside each other"
    assert "most similar training picture" in found[-1].says
    assert "by the same features, 100.0 % are right." in found[-1].says


def test_the_same_seed_gives_the_same(tmp_path):
    splits = write(tmp_path / "pictures", told_by_border)
    assert score_baselines(splits, None, seed=3) == score_baselines(splits, None, seed=3)


def test_one_class_has_only_a_majority_and_no_test_part_has_nothing(tmp_path):
    splits = write(tmp_path / "pictures", told_by_quality)
    alone = splits.index.take(np.arange(60))
    assert [one.name for one in score_baselines(Splits(alone, splits.parts[:60]), None)] == [MAJORITY]
    assert score_baselines(Splits(splits.index, np.zeros(120, np.int8)), None) == ()


def test_a_baseline_is_plain_values():
    one = Baseline("majority", Interval(0.5, 0.4, 0.6), "Always.")
    assert json.loads(json.dumps(to_plain(one))) == {
        "name": "majority",
        "accuracy": {"value": 0.5, "low": 0.4, "high": 0.6},
        "says": "Always.",
    }


HEAD = Interval(0.80, 0.75, 0.84)


@pytest.mark.parametrize(
    ("low", "warns"), [(0.85, True), (0.84, False), (0.70, False)], ids=["apart", "touching", "worse"]
)
def test_neighbours_are_called_better_only_where_that_is_sure(low, warns):
    said = judge_baselines((Baseline(NEAREST, Interval(low + 0.05, low, low + 0.08), ""),), HEAD)
    assert bool(said) == warns
    assert all("surely better: 90.0 % right, the trained head 80.0 %" in words for words in said)


def by_hand(known, labels, asked, count):
    middle = known.mean(axis=0)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (known - middle, asked - middle)]
    named = []
    for row in unit[1] @ unit[0].T:
        votes = np.zeros(labels.max() + 1)
        for place in np.argsort(-row)[:count]:
            votes[labels[place]] += max(row[place], 1e-6)
        named.append(votes.argmax())
    return named


def test_neighbours_vote_as_loops_count_them():
    rng = np.random.default_rng(0)
    known, asked = (rng.normal(3, 1, (count, 8)).astype(np.float32) for count in (50, 1100))
    labels = rng.integers(0, 4, 50).astype(np.int32)
    named = name_nearest(known, labels, asked, classes=4, counts=(1, 7, 50, 90))
    for row, count in zip(named, (1, 7, 50, 90), strict=True):
        assert (row == by_hand(known, labels, asked, count)).mean() > 0.999  # rounding may turn a tie
