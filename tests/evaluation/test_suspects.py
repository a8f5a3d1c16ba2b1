"""Wrong labels come first, by confident learning, whatever the classes are called and however small they are."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings, strategies as st
from PIL import Image

from telltale.batches.preprocess import Preprocess
from telltale.data.index import scan
from telltale.errors import DataError
from telltale.evaluation.suspects import find_suspects, rank_suspects
from telltale.model.features import Extractor
from telltale.model.head import softmax

SIDE = 64


@st.composite
def judged(draw):
    """Probabilities float32 `[n, classes]` and labels; some classes may have none."""
    classes, count = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    logits = rng.normal(0, draw(st.sampled_from([0.1, 1.0, 6.0])), (count, classes)).astype(np.float32)
    return softmax(logits), rng.integers(0, classes, count).astype(np.int32)


def by_hand(probabilities, labels):
    """The rows off the diagonal of the confident joint, as the paper's loops find them."""
    classes = range(probabilities.shape[1])
    thresholds = {j: probabilities[labels == j, j].mean() for j in classes if (labels == j).any()}
    wrong = []
    for row, given_label in zip(probabilities, labels, strict=True):
        reached = [j for j in thresholds if row[j] >= thresholds[j] - 1e-6]
        confident = max(reached, key=lambda j: row[j], default=given_label)
        wrong.append(confident != given_label and row.max() > row[given_label])
    return np.array(wrong)


@settings(max_examples=150, deadline=None)
@given(judged())
def test_what_is_wrong_is_what_the_confident_joint_counts_off_its_diagonal(case):
    probabilities, labels = case
    ranking = rank_suspects(probabilities, labels)
    np.testing.assert_array_equal(ranking.wrong, by_hand(probabilities, labels))


@settings(max_examples=150, deadline=None)
@given(judged())
def test_a_ranking_is_all_rows_with_those_for_review_first(case):
    probabilities, labels = case
    ranking = rank_suspects(probabilities, labels)
    rows = np.arange(len(labels))
    assert sorted(ranking.order) == rows.tolist()
    assert (ranking.suggested != labels).all()
    others = probabilities.copy()
    others[rows, labels] = -1
    assert (others[rows, ranking.suggested] == others.max(axis=1)).all(), "the most probable other class"
    own = probabilities[rows, labels]
    for part in (ranking.order[: ranking.review], ranking.order[ranking.review :]):
        assert (np.diff(own[part]) >= 0).all()
    first = ranking.order[: ranking.review]
    assert ranking.wrong[first].all()
    assert (own[first] < 1 / len(np.unique(labels))).all()


@settings(max_examples=80, deadline=None)
@given(judged(), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(case, random):
    probabilities, labels = case
    own = probabilities[np.arange(len(labels)), labels]
    assume(len(np.unique(own)) == len(own) and len(np.unique(probabilities)) == probabilities.size)
    rows, names = list(range(len(labels))), list(range(probabilities.shape[1]))
    random.shuffle(rows)
    random.shuffle(names)
    one = rank_suspects(probabilities, labels)
    renamed = np.empty_like(probabilities)
    renamed[:, names] = probabilities
    other = rank_suspects(renamed[rows], np.array(names, np.int32)[labels[rows]])
    np.testing.assert_array_equal(np.array(rows)[other.order], one.order)
    np.testing.assert_array_equal(other.suggested, np.array(names)[one.suggested[rows]])
    assert other.review == one.review


def test_where_every_label_is_what_is_said_nothing_is_for_review():
    labels = np.arange(30, dtype=np.int32) % 3
    ranking = rank_suspects(np.eye(3, dtype=np.float32)[labels] * 0.7 + 0.1, labels)
    assert ranking.review == 0
    assert not ranking.wrong.any()


def test_planted_flips_come_first_in_a_rare_class_too():
    rng = np.random.default_rng(0)
    true = np.repeat([0, 1, 2], [400, 60, 9]).astype(np.int32)
    probabilities = softmax((np.eye(3)[true] * 4 + rng.normal(0, 1, (469, 3))).astype(np.float32))
    labels = true.copy()
    flipped = [*range(20), *range(400, 405), 460]
    labels[flipped] = (labels[flipped] + 1) % 3
    ranking = rank_suspects(probabilities, labels)
    assert set(flipped[:20]) <= set(ranking.order[:30].tolist())
    assert 460 in ranking.order[:30]
    assert ranking.suggested[460] == 2
    assert 0.7 * len(flipped) < ranking.review
    assert set(ranking.order[: ranking.review].tolist()) <= set(flipped)


@pytest.fixture
def extractor(backbone):
    return Extractor(backbone, Preprocess(SIDE, "crop", backbone.mean, backbone.std), "f32")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))


def draw(root, counts, seed=0):
    """Pictures of one colour and noise per class; folders with so many pictures."""
    rng = np.random.default_rng(seed)
    colours = {"blue": (40, 60, 200), "red": (200, 50, 40), "green": (40, 180, 60)}
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            ground = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((48, 48), 3)
            pixels = 0.6 * np.array(colours[name]) + 0.4 * np.asarray(ground)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def relabel(index, labels):
    """The index with these labels for these paths."""
    column = pa.array([labels.get(path, label) for path, label in _labels(index)], pa.string())
    return replace(index, table=index.table.set_column(index.table.column_names.index("label"), "label", column))


def _labels(index):
    return zip(index.paths, index.table.column("label").to_pylist(), strict=True)


def test_flipped_labels_of_drawn_pictures_are_found(extractor, tmp_path):
    index = scan(draw(tmp_path / "pictures", {"blue": 40, "green": 8, "red": 40}))
    flips = {"blue/3.png": "red", "blue/17.png": "red", "red/5.png": "blue", "red/30.png": "blue"}
    found = find_suspects(relabel(index, flips), extractor)
    assert {row.path for row in found.rows[:5]} >= set(flips)
    assert len(found.rows) == found.labelled == 88
    assert found.probabilities.shape == (88, 3)
    assert 4 <= found.review <= 8
    assert found.accuracy.low < 84 / 88 <= found.accuracy.high + 0.02
    for row in found.first(4):
        assert row.suggested == row.path.partition("/")[0]
        assert row.given == flips[row.path]
        assert 0.5 < row.confidence <= 1
    again = find_suspects(relabel(index, flips), extractor)
    assert again.rows == found.rows


def test_a_copy_with_the_wrong_label_cannot_vouch_for_it(extractor, tmp_path):
    root = draw(tmp_path / "pictures", {"blue": 30, "red": 30})
    for number in range(3):
        (root / "red" / f"copy-{number}.png").write_bytes((root / "blue" / "4.png").read_bytes())
    index = scan(root)
    found = find_suspects(index, extractor)
    assert {row.path for row in found.first(3)} == {f"red/copy-{number}.png" for number in range(3)}
    apart = find_suspects(index, extractor, units=np.arange(len(index)))
    chance = {row.path: row.confidence for row in apart.rows}
    assert chance["red/copy-0.png"] < min(row.confidence for row in found.first(3)), "units are what prevents it"


def test_unreadable_pictures_and_those_without_a_label_are_left_out(extractor, tmp_path):
    root = draw(tmp_path / "pictures", {"blue": 12, "red": 12})
    (root / "red" / "broken.png").write_bytes(b"no picture")
    index = relabel(scan(root), {"blue/0.png": None})
    found = find_suspects(index, extractor, units=np.arange(len(index)))
    assert found.labelled == 23
    assert {"red/broken.png", "blue/0.png"}.isdisjoint(row.path for row in found.rows)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"blue": 9}, "9 labelled pictures of 1 class are too few to look for wrong labels"),
        ({"blue": 1, "red": 1}, "2 labelled pictures of 2 classes are too few"),
    ],
    ids=["one class", "two pictures"],
)
def test_too_little_to_look_at_is_said(counts, words, extractor, tmp_path):
    with pytest.raises(DataError, match=words):
        find_suspects(scan(draw(tmp_path / "pictures", counts)), extractor)
