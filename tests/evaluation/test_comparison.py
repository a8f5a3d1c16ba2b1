"""Comparing classifiers on the same pictures: counts, words, ranking, and the pictures that tell most."""

import json

import numpy as np
import pytest

from telltale.evaluation.comparison import KEPT, Answered, compare_all, compare_pair

CLASSES = ("cat", "dog")


def answered(count=250, **changes):
    """Pictures of cats and dogs in turn."""
    labels = np.arange(count) % 2
    return Answered(CLASSES, labels, [f"{row}.jpg" for row in range(count)], **changes)


def answer(wrong, count=250, sure=0.9):
    """Probabilities of a classifier that gets the rows in `wrong` wrong, and is `sure` of each answer."""
    said = np.arange(count) % 2
    said[list(wrong)] ^= 1
    return np.where(np.eye(2)[said] > 0, sure, 1 - sure).astype(np.float32)


def pair(first, second, **changes):
    return compare_pair(answered(**changes), {"a": answer(first), "b": answer(second)})


def test_what_only_one_gets_right_is_counted():
    found = pair(range(12), range(7, 15))
    assert (found.both, found.only_first, found.only_second, found.neither) == (235, 3, 7, 5)
    assert found.pictures == 250
    assert found.accuracy.value == pytest.approx(4 / 250)
    assert found.accuracy.low < 0 < found.accuracy.high
    assert found.log_loss.value == pytest.approx((np.log(0.1) - np.log(0.9)) * 4 / 250, abs=1e-6)


def test_a_difference_that_may_be_chance_is_called_so_with_the_pictures_that_would_tell():
    assert pair(range(12), range(20, 25)).verdict == (
        "b is right on 12 pictures that a gets wrong, a on 5 that b gets wrong (of 250): the difference of 2.8 points "
        "[-0.5, 6.4] may be chance (p = 0.14). About 680 test pictures would be needed to be sure of such a difference."
    )


def test_a_sure_difference_is_called_so_whichever_comes_first():
    words = "is better: right on 20 pictures that"
    found = pair(range(20), range(30, 33))
    assert found.is_sure
    assert found.verdict.startswith(f"b {words} a gets wrong, a on 3 that b gets wrong (of 250). The difference of 6.8")
    assert "is hardly chance (p < 0.001)" in found.verdict
    turned = pair(range(30, 33), range(20))
    assert turned.verdict.startswith(
        f"a {words} b gets wrong, b on 3 that a gets wrong (of 250). The difference of 6.8"
    )
    assert "[-" not in turned.verdict.split("points")[1].split("is hardly")[0]
    assert "The probabilities of a are better: its log loss is lower by 0.149 [0.0" in turned.verdict


def test_no_difference_is_not_called_one():
    same = pair(range(3), range(3))
    assert same.verdict == "b and a are right on the same pictures: 247 (of 250)."
    assert (same.p, same.needed, same.differing) == (1.0, 0, ())
    even = pair(range(3), range(5, 8))
    assert "no difference was seen, and one of up to 2.4 points may be there" in even.verdict


def test_better_probabilities_are_told_where_both_are_right_equally_often():
    answers = {"a": answer(range(3), sure=0.7), "b": answer(range(3), sure=0.95)}
    found = compare_pair(answered(), answers)
    assert "The probabilities of b are better: its log loss is lower by 0." in found.verdict
    assert found.log_loss.high < 0


def test_a_few_groups_that_agree_ask_for_more_groups():
    found = pair(range(0, 250, 10), (), groups=np.arange(250) // 50)
    assert (found.p, found.is_sure) == (0.0625, False)  # all 5 groups are for b: one of 16 ways to flip them
    assert "may be chance (p = 0.062). More test pictures of more groups may tell." in found.verdict


def test_pictures_of_a_group_are_one_witness():
    alone, grouped = pair(range(20), range(30, 33)), pair(range(20), range(30, 33), groups=np.arange(250) // 10 + 7)
    assert (alone.clusters, grouped.clusters) == (0, 25)
    assert grouped.p == 0.5  # 2 groups for, 1 against: 10 + 10 - 3
    assert grouped.accuracy.low < 0 < alone.accuracy.low
    assert grouped.needed > alone.needed
    assert "Pictures of a group count as one witness: there are 25 groups." in grouped.verdict


def test_pictures_that_only_one_gets_right_come_first_and_the_most_telling_of_them_before():
    classes, labels = ("a", "b", "c"), np.zeros(5, int)
    first = np.array([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    second = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.9, 0.0, 0.1]])
    found = compare_pair(Answered(classes, labels, list("vwxyz")), {"one": first, "two": second})
    assert [one.path for one in found.differing] == ["z", "y", "w", "x"]
    told = found.differing[0]
    assert (told.true, told.first, told.second) == ("a", "b", "a")
    assert (told.first_probability, told.second_probability) == pytest.approx((0.8, 0.9))


def test_at_most_a_hundred_differing_pictures_are_kept():
    assert len(pair(range(120), ()).differing) == KEPT


def test_several_are_compared_in_pairs_with_a_correction_and_ranked():
    answers = {"bad": answer(range(60)), "good": answer(range(2)), "close": answer(range(10, 18))}
    found = compare_all(answered(), answers)
    assert [one.names for one in found.pairs] == [("bad", "good"), ("bad", "close"), ("good", "close")]
    assert [one.corrected >= one.p for one in found.pairs] == [True] * 3
    assert [one.name for one in found.ranking] == ["good", "close", "bad"]
    assert found.ranking[2].surely_worse_than == ("good", "close")
    assert found.ranking[0].surely_better_than == ("bad",)
    assert found.verdict == (
        "good is right most often, on 99.2 % of 250 pictures, but not surely more often than close. Surely less often "
        "right: bad. McNemar's exact tests, corrected for 3 comparisons (Holm)."
    )
    assert "corrected for 3 comparisons" in found.pairs[2].verdict


def test_the_best_of_several_is_called_so_where_it_is_sure():
    answers = {"a": answer(range(60)), "b": answer(()), "c": answer(range(70, 120))}
    assert compare_all(answered(), answers).verdict.startswith(
        "b is the best: 100.0 % of 250 pictures right, surely more than c and a."
    )


def test_a_difference_can_be_sure_alone_and_not_among_several():
    answers = {"a": answer(range(8)), "b": answer((20,)), "c": answer((21,)), "d": answer((22,))}
    alone = compare_all(answered(), {name: answers[name] for name in "ab"}).pairs[0]
    among = compare_all(answered(), answers).pairs[0]
    assert alone.is_sure
    assert not among.is_sure
    assert among.p == alone.p
    assert among.needed > alone.needed


def test_everything_goes_into_json():
    found = compare_all(answered(), {"a": answer((1,)), "b": answer((2,))})
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["verdict"] == found.verdict
    assert content["pairs"][0]["names"] == ["a", "b"]
    assert content["pairs"][0]["differing"][0]["path"] in ("1.jpg", "2.jpg")
    single = compare_all(answered(1), {"a": answer((), 1), "b": answer((0,), 1)})
    json.dumps(single.to_dict(), allow_nan=False)


def test_names_from_outside_are_harmless_in_words():
    found = compare_pair(answered(), {"a\x1b[2J": answer(()), "b": answer(range(9))})
    assert "\x1b" not in found.verdict


def test_shapes_that_do_not_go_together_are_our_mistake():
    with pytest.raises(ValueError, match=r"b: \(10, 2\) for 250 pictures"):
        compare_all(answered(), {"a": answer(()), "b": answer((), 10)})
