"""Pictures that belong together count for less, by as much as they are right and wrong together."""

import numpy as np
import pytest

from telltale.evaluation import clustered, means, metrics
from telltale.evaluation.clustered import Judged, number_clusters, share_right, shares
from telltale.evaluation.evaluation import Evaluation, score
from telltale.evaluation.wording import describe, tabulate


def width(interval):
    return interval.high - interval.low


def every_interval(evaluation):
    yield from evaluation.metrics.values()
    for one in evaluation.per_class:
        yield from (one.precision, one.recall, one.f1)


def draw(seed, images, classes, clusters, alike):
    """Labels, probabilities and clusters; a share `alike` of a cluster's pictures is right or wrong together."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, clusters, images)
    labels = generator.integers(0, classes, images)
    together = (generator.random(clusters) < 0.8)[numbers]
    right = np.where(generator.random(images) < alike, together, generator.random(images) < 0.8)
    said = np.where(right, labels, (labels + 1) % classes)
    probabilities = generator.dirichlet(np.ones(classes), images)
    probabilities[np.arange(images), said] += 1
    return labels, probabilities / 2, numbers


@pytest.mark.parametrize("seed", range(8))
def test_values_stay_and_intervals_only_widen(seed):
    generator = np.random.default_rng(seed)
    classes = int(generator.integers(2, 9))
    labels, probabilities, numbers = draw(seed, int(generator.integers(2, 300)), classes, 20, generator.random())
    names = [str(number) for number in range(classes)]
    alone, together = score(labels, probabilities, names), score(labels, probabilities, names, clusters=numbers)
    assert together.clusters == len(np.unique(numbers))
    for one, other in zip(every_interval(alone), every_interval(together), strict=True):
        assert other.value == one.value
        assert other.low <= one.low
        assert one.high <= other.high
        assert 0 <= other.low <= other.value + 1e-12
        assert other.value <= other.high + 1e-12


@pytest.mark.parametrize("numbers", [None, np.arange(60)[::-1] * 7])
def test_pictures_each_by_itself_are_no_clusters(numbers):
    labels, probabilities, _ = draw(0, 60, 3, 5, 0.0)
    alone, found = (score(labels, probabilities, ["a", "b", "c"], clusters=one) for one in (None, numbers))
    assert found.clusters == 0
    assert list(every_interval(found)) == list(every_interval(alone))
    assert "group" not in describe(found)


def test_a_class_whose_pictures_are_all_apart_has_its_plain_interval():
    labels, right, numbers = (
        np.array([0, 0, 0, 1, 1, 1, 1]),
        np.array([1, 1, 0, 1, 1, 0, 1], bool),
        [0, 1, 2, 3, 3, 4, 4],
    )
    first, second = shares(labels, right, np.array(numbers), 2)
    plain = metrics.wilson(np.array([2, 3]), np.array([3, 4]))
    assert first == plain[0]
    assert width(second) > width(plain[1])


def test_pictures_that_are_right_and_wrong_together_count_as_one():
    right, numbers = np.repeat(np.arange(40) < 30, 10), np.repeat(np.arange(40), 10)
    found, plain = share_right(right, numbers), share_right(np.arange(40) < 30, None)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.02)
    assert width(found) <= width(plain)


def test_clusters_that_do_not_matter_cost_little():
    generator = np.random.default_rng(0)
    right, numbers = generator.random(2000) < 0.8, np.repeat(np.arange(200), 10)
    assert width(share_right(right, numbers)) < 1.15 * width(share_right(right, None))


def test_means_and_log_loss_widen_like_the_accuracy():
    labels, probabilities, numbers = draw(0, 1000, 3, 50, 1.0)
    alone, together = (score(labels, probabilities, ["a", "b", "c"], clusters=one) for one in (None, numbers))
    wider = {name: width(together.metrics[name]) / width(alone.metrics[name]) for name in together.metrics}
    assert all(2.5 < value < 6 for value in wider.values()), wider


@pytest.mark.parametrize(("hits", "low", "high"), [(10, 0.2, 1.0), (5, 0.06, 0.95), (0, 0.0, 0.8)])
def test_one_cluster_is_as_sure_as_one_picture(hits, low, high):
    found = share_right(np.arange(10) < hits, np.zeros(10, np.int64))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    labels, said = np.arange(10) % 2, np.where(np.arange(10) < hits, np.arange(10) % 2, 1 - np.arange(10) % 2)
    evaluation = score(labels, np.eye(2)[said] * 0.8 + 0.1, ["a", "b"], clusters=np.zeros(10, np.int64))
    assert width(evaluation.metrics["balanced_accuracy"]) > 0.7
    assert width(evaluation.metrics["macro_f1"]) > 0.7
    loss = evaluation.metrics["log_loss"]
    assert (loss.low, round(loss.high, 2)) == (0.0, 36.04)


def test_no_mistake_in_few_clusters_is_not_certain():
    numbers = np.repeat(np.arange(25), 10)
    found, plain = share_right(np.ones(250, bool), numbers), share_right(np.ones(250, bool), None)
    assert plain.low > 0.98
    assert 0.9 < found.low < 0.97


def test_a_class_in_one_cluster_leaves_its_recall_open():
    labels = np.repeat([0, 1], [100, 20])
    numbers = np.r_[np.arange(100) // 2, np.full(20, 99)]
    evaluation = score(labels, np.eye(2)[labels] * 0.9 + 0.05, ["many", "one patient"], clusters=numbers)
    many, one = evaluation.per_class
    assert many.recall.low > 0.9
    assert one.recall.low < 0.25
    assert evaluation.metrics["balanced_accuracy"].low < 0.85


def test_f1_by_clusters_counts_false_alarms():
    """All false alarms in one cluster tell less about the next cluster than as many in ten."""
    labels, said = np.repeat([0, 1], 50), np.repeat([0, 1], 50)
    said[50:60] = 0
    together = Judged(labels, said, np.arange(100) // 10, 2)
    apart = Judged(labels, said, np.r_[np.arange(50) // 10, 5 + np.arange(50) % 5], 2)
    wide, narrow = (clustered.f1_scores(one, metrics.count(confuse(one)))[0] for one in (together, apart))
    assert wide.value == narrow.value
    assert width(wide) > 1.3 * width(narrow)


def confuse(judged):
    cells = np.bincount(judged.labels * judged.classes + judged.said, minlength=judged.classes**2)
    return cells.reshape(judged.classes, judged.classes)


def test_numbers_of_clusters_may_be_any():
    labels, probabilities, numbers = draw(1, 100, 2, 10, 0.5)
    names = np.random.default_rng(0).permutation(10**12 + np.arange(10))[numbers]
    one, other = (score(labels, probabilities, ["a", "b"], clusters=each) for each in (numbers, names))
    for first, second in zip(every_interval(one), every_interval(other), strict=True):
        assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-9)
    assert number_clusters(np.array([5, 5])).tolist() == [0, 0]


def test_clusters_that_do_not_go_with_the_labels_are_refused():
    with pytest.raises(ValueError, match="3 numbers of clusters do not go with 2 labels"):
        score(np.array([0, 1]), np.eye(2), ["a", "b"], clusters=np.zeros(3, np.int64))


def test_means_of_an_empty_set_admit_ignorance():
    nothing = np.zeros((2, 2), np.int64)
    for figure in (means.balanced_accuracy, means.macro_f1):
        assert figure(nothing) == metrics.Interval(0.0, 0.0, 1.0)


def test_an_evaluation_says_and_keeps_what_its_intervals_count(tmp_path):
    labels, probabilities, numbers = draw(0, 250, 2, 31, 0.5)
    evaluation = score(labels, probabilities, ["cat", "dog"], clusters=numbers)
    sentence = "The intervals count 31 groups, not 250 pictures."
    assert sentence in describe(evaluation)
    assert sentence in tabulate(evaluation).replace("\n", " ")
    assert Evaluation.load(evaluation.save(tmp_path / "evaluation.json")).clusters == 31
    assert "count 1 group, not 250 pictures" in describe(score(labels, probabilities, ["a", "b"], clusters=labels * 0))


def test_many_clusters_and_classes_need_little_memory():
    """Nothing is as large as clusters times classes, 200 MB here."""
    import tracemalloc

    generator = np.random.default_rng(0)
    labels, said = generator.integers(0, 1000, (2, 50_000))
    judged = Judged(labels, np.where(generator.random(50_000) < 0.9, labels, said), np.arange(50_000) // 2, 1000)
    tracemalloc.start()
    clustered.recalls(judged)
    means.macro_f1(confuse(judged), judged)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6
