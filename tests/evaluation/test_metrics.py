"""Every figure equals scikit-learn's, every interval covers the truth, and the cost stays small."""

import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference

from telltale.evaluation import means, metrics
from telltale.evaluation.clustered import share_right


@st.composite
def predictions(draw):
    """Labels and probabilities, often with ties, absent classes and classes that are never said."""
    classes = draw(st.integers(2, 9))
    images = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    used = draw(st.integers(1, classes))
    labels = generator.permutation(classes)[:used][generator.integers(0, used, images)]
    probabilities = generator.integers(0, draw(st.sampled_from([2, 5, 10**6])), (images, classes)).astype(float)
    if draw(st.booleans()):
        probabilities[:, generator.integers(classes)] = 0
    probabilities[np.arange(images), generator.integers(0, classes, images)] += 1
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, probabilities.astype(draw(st.sampled_from([np.float32, np.float64])))


def figures(labels, probabilities):
    confusion = metrics.confusion_matrix(labels, probabilities)
    return metrics.count(confusion), means.balanced_accuracy(confusion), means.macro_f1(confusion)


def exactly(value):
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(predictions())
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_figures_equal_scikit_learn(case):
    labels, probabilities = case
    classes, said = list(range(probabilities.shape[1])), probabilities.argmax(axis=1)
    counts, balanced, macro = figures(labels, probabilities)
    expected = reference.confusion_matrix(labels, said, labels=classes)
    assert metrics.confusion_matrix(labels, probabilities).tolist() == expected.tolist()
    per_class = reference.precision_recall_fscore_support(labels, said, labels=classes, zero_division=0)
    for ours, theirs in zip(
        (metrics.share(counts.hits, counts.said), metrics.share(counts.hits, counts.support), metrics.f1(counts)),
        per_class[:3],
        strict=True,
    ):
        assert ours == exactly(theirs)
    assert counts.support.tolist() == per_class[3].tolist()
    assert share_right(labels == said).value == exactly(reference.accuracy_score(labels, said))
    assert balanced.value == exactly(reference.balanced_accuracy_score(labels, said))
    present = sorted(set(labels.tolist()))
    expected = reference.f1_score(labels, said, labels=present, average="macro", zero_division=0)
    assert macro.value == exactly(expected)
    expected = reference.log_loss(labels, probabilities, labels=classes)
    # Rows of float32 do not sum to 1, and scikit-learn divides by their sum.
    close = 1e-9 if probabilities.dtype == np.float64 else 1e-5
    found = metrics.log_loss(metrics.log_losses(labels, probabilities)).value
    assert found == pytest.approx(expected, rel=close, abs=close)


@settings(max_examples=60, deadline=None)
@given(predictions(), st.integers(1, 6))
@pytest.mark.filterwarnings("ignore:'k'")
def test_top_k_equals_scikit_learn(case, k):
    labels, probabilities = case
    classes = probabilities.shape[1]
    ours = share_right(metrics.among_top(labels, probabilities, k)).value
    if classes > 2:  # scikit-learn breaks ties towards the last class, we towards the first as argmax does: mirrored
        mirrored = probabilities[:, ::-1]
        theirs = reference.top_k_accuracy_score(classes - 1 - labels, mirrored, k=k, labels=list(range(classes)))
        assert ours == exactly(theirs)
    if k == 1:
        assert ours == exactly((probabilities.argmax(axis=1) == labels).mean())


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_intervals_hold_their_value_and_stay_in_range(case):
    labels, probabilities = case
    counts, *means = figures(labels, probabilities)
    shares = [*metrics.f1_intervals(counts), *metrics.wilson(counts.hits, counts.said)]
    right = [metrics.among_top(labels, probabilities, k) for k in (1, 2)]
    for one in [*shares, *means, *(share_right(one) for one in right)]:
        assert 0 <= one.low <= one.value + 1e-12
        assert one.value - 1e-12 <= one.high <= 1


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (1, 1), (0, 20), (1, 29), (15, 148), (81, 263), (20, 20)])
def test_wilson_equals_scipy(hits, total):
    ours = metrics.wilson(np.array([hits]), np.array([total]))[0]
    theirs = binomtest(hits, total).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_of_nothing_knows_nothing():
    assert metrics.wilson(np.array([0]), np.array([0])) == [metrics.Interval(0.0, 0.0, 1.0)]


def test_empty_set_gives_zeros_that_admit_ignorance():
    labels, probabilities = np.empty(0, np.int64), np.empty((0, 3))
    counts, balanced, macro = figures(labels, probabilities)
    nothing = metrics.Interval(0.0, 0.0, 1.0)
    first = share_right(metrics.among_top(labels, probabilities, 1))
    assert [first, balanced, macro, *metrics.f1_intervals(counts)] == [nothing] * 6
    assert share_right(metrics.among_top(labels, probabilities, 5)) == nothing
    loss = metrics.log_loss(metrics.log_losses(labels, probabilities))
    assert (loss.value, loss.low, round(loss.high, 2)) == (0.0, 0.0, 36.04)


def test_one_image_leaves_nearly_everything_open():
    _, balanced, macro = figures(np.array([1]), np.array([[0.2, 0.8]]))
    for one in (share_right(np.array([True])), balanced, macro):
        assert one.value == 1.0
        assert one.low < 0.4
    loss = metrics.log_loss(metrics.log_losses(np.array([1]), np.array([[0.2, 0.8]])))
    assert (loss.value, loss.low, round(loss.high)) == (pytest.approx(-np.log(0.8)), 0.0, 36)


def test_a_faultless_score_is_not_certain():
    counts, balanced, macro = figures(np.arange(40) % 2, np.eye(2)[np.arange(40) % 2])
    for one in (balanced, macro, *metrics.f1_intervals(counts)):
        assert one.high == 1.0
        assert 0.8 < one.low < 0.97


def test_tiny_class_widens_balanced_accuracy():
    labels = np.array([0] * 200 + [1] * 3)
    probabilities = np.eye(2)[np.where(np.arange(203) < 100, 1, labels)]
    _, balanced, _ = figures(labels, probabilities)
    assert balanced.value == pytest.approx(0.75)
    assert balanced.low < 0.55


@pytest.mark.parametrize(
    ("shares", "recalls", "images"),
    [([0.5, 0.5], [0.97, 0.95], 250), ([0.9, 0.1], [0.95, 0.7], 300), ([0.05] * 20, [0.8] * 20, 300)],
    ids=["balanced", "rare class", "many classes"],
)
def test_intervals_cover_the_truth(shares, recalls, images):
    """Of 150 repeated experiments at least 85 % cover (95 % are promised; chance and few classes cost some)."""
    shares, recalls, classes = np.array(shares), np.array(recalls), len(shares)
    wrong = (1 - recalls)[:, None] * (1 - np.eye(classes)) / (classes - 1)
    cells = shares[:, None] * (np.diag(recalls) + wrong)
    f1 = 2 * np.diag(cells) / (shares + cells.sum(axis=0))
    truth = [np.diag(cells).sum(), recalls.mean(), f1.mean(), f1[0]]
    generator, covered = np.random.default_rng(0), np.zeros(4)
    for _ in range(150):
        confusion = generator.multinomial(images, cells.ravel()).reshape(classes, classes)
        counts = metrics.count(confusion)
        found = [
            metrics.wilson(np.array([np.trace(confusion)]), np.array([images]))[0],
            means.balanced_accuracy(confusion),
            means.macro_f1(confusion),
            metrics.f1_intervals(counts)[0],
        ]
        covered += [one.low <= true <= one.high for one, true in zip(found, truth, strict=True)]
    assert (covered / 150).min() >= 0.85


def test_intervals_of_means_are_those_of_a_bootstrap_where_that_is_good():
    """1,000 pictures of 3 classes, drawn again 1,000 times: the ends of the intervals are the draws' quantiles."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 1000)
    said = np.where(generator.random(1000) < 0.7, labels, generator.integers(0, 3, 1000))
    confusion = metrics.confusion_matrix(labels, np.eye(3)[said])
    drawn = generator.multinomial(1000, confusion.ravel() / 1000, size=1000).reshape(-1, 3, 3)
    counts = [metrics.count(one) for one in drawn]
    for found, figure in (
        (means.balanced_accuracy(confusion), lambda counts: metrics.share(counts.hits, counts.support)),
        (means.macro_f1(confusion), metrics.f1),
    ):
        ends = np.quantile([figure(one).mean() for one in counts], [0.025, 0.975])
        assert (found.low, found.high) == pytest.approx(tuple(ends), abs=0.005)


@pytest.mark.parametrize("images", [500, 20_000])
def test_the_interval_of_the_log_loss_is_that_of_a_bootstrap_where_that_is_good(images):
    generator = np.random.default_rng(0)
    losses = generator.exponential(size=images)
    found = metrics.log_loss(losses)
    ends = np.quantile([generator.choice(losses, images).mean() for _ in range(1000)], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(ends), abs=0.15 * (found.high - found.low))


def test_few_large_losses_may_be_more():
    losses = np.r_[np.full(247, 0.01), 3.0, 4.0, 5.0]
    found = metrics.log_loss(losses)
    assert found.high - found.value > 2 * (found.value - found.low) > 0


def test_log_loss_is_clipped_by_the_type():
    wrong = np.array([[1.0, 0.0]])
    assert metrics.log_losses(np.array([1]), wrong)[0] == pytest.approx(36.04, abs=0.01)
    assert metrics.log_losses(np.array([1]), wrong.astype(np.float32))[0] == pytest.approx(15.94, abs=0.01)


def test_scoring_small_sets_is_quick():
    generator = np.random.default_rng(0)
    labels, probabilities = generator.integers(0, 2, 250), generator.dirichlet([1, 1], 250)

    def seconds():
        start = time.perf_counter()
        figures(labels, probabilities)
        metrics.log_loss(metrics.log_losses(labels, probabilities))
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.03


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_a_difference_of_shares_is_newcombes(first, second, low, high):
    """Table II of Newcombe (1998), method 10."""
    shares = [metrics.wilson(np.array([hits]), np.array([of]))[0] for hits, of in (first, second)]
    found = metrics.subtract(*shares)
    assert found.value == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert metrics.subtract(*shares[::-1]).low == pytest.approx(-found.high)
