"""The verdict: every sentence follows from the numbers, and what was not measured is not claimed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.delivery.report_example import RULE, evaluated, full, judged, with_trust

from telltale.delivery.content import ReportContent
from telltale.delivery.verdict import judge
from telltale.evaluation.baselines import Baseline
from telltale.evaluation.calibration import CalibrationCheck
from telltale.evaluation.evaluation import Seen, score
from telltale.evaluation.metrics import Interval


def said(content, question):
    """What is said to a question: tone and words."""
    return next((one.tone, str(one)) for one in judge(content) if one.question == question)


def of(evaluation, **changes):
    return ReportContent("pets", {"test": evaluation}, **changes)


TRUST, FAILS, REFUSES = "Can it be trusted?", "Where does it fail?", "What does it refuse?"


@pytest.mark.parametrize(
    ("content", "tone", "words"),
    [
        (of(evaluated(wrong=5)), "good", "It can be trusted with pictures like these. Of 250 test pictures never used"),
        (of(evaluated(wrong=40)), "care", "It is mostly right on pictures like these; check what matters."),
        (of(evaluated(wrong=90)), "care", "It gives a first guess, and not an answer to rely on."),
        (of(evaluated(wrong=120)), "bad", "It cannot be trusted: always saying 'cats' may be right as often."),
        (of(evaluated(images=12, wrong=3)), "unknown", "There are too few pictures to trust it or not."),
        (of(evaluated(images=20, wrong=0)), "unknown", "It promises well, but there are too few pictures to trust it."),
        (of(replace(evaluated(wrong=5), seen=Seen(learned=3))), "care", "it knows 3 of the pictures from its training"),
        (of(replace(evaluated(wrong=5), seen=Seen(alike=250))), "bad", "it knows all of these pictures"),
        (
            of(evaluated(wrong=5), baselines=[Baseline("border", Interval(0.95, 0.9, 0.98), "")]),
            "bad",
            "It may have learned the wrong thing: the border of the pictures alone gives 95.0 % right answers",
        ),
        (of(replace(evaluated(wrong=5), looks=3)), "good", "They were looked at 3 times"),
    ],
    ids=["good", "mostly", "guess", "chance", "tiny", "small", "some seen", "all seen", "shortcut", "looks"],
)
def test_trust_follows_from_the_accuracy_its_interval_and_its_rivals(content, tone, words):
    assert said(content, TRUST)[0] == tone
    assert words in said(content, TRUST)[1]


def test_a_good_baseline_that_sees_the_picture_is_no_shortcut():
    neighbours = [Baseline("nearest neighbours", Interval(0.98, 0.95, 0.99), "")]
    assert said(of(evaluated(wrong=5), baselines=neighbours), TRUST)[0] == "good"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cats", "dogs"), "To tell 'cats' from 'dogs'."),
        (("a", "b", "c"), "To tell apart 'a', 'b' and 'c'."),
        (tuple(f"c{n:02d}" for n in range(20)), "To tell 20 classes apart, such as 'c00', 'c01' and 'c02'."),
    ],
)
def test_what_it_is_for_names_the_classes(classes, words):
    assert words in said(of(evaluated(classes)), "What is it for?")[1]


@pytest.mark.parametrize(
    ("error", "tone", "words"),
    [
        (0.012, "good", "can be taken at their word. On average they miss the share that is right by 1.2 points"),
        (0.06, "note", "are roughly right."),
        (0.2, "care", "should not be taken at their word."),
    ],
)
def test_how_sure_follows_from_the_calibration_error(error, tone, words):
    check = CalibrationCheck(1.3, 0.25, Interval(error, error - 0.01, error + 0.01), (), ())
    found = said(of(replace(evaluated(), calibration=check)), "How sure is it?")
    assert found[0] == tone and words in found[1]
    assert "before calibration it was 25.0 points" in found[1]


def test_prediction_sets_are_a_part_of_how_sure():
    words = "held it for 96.0 %, with 1.05 classes on average."
    assert words in said(judged(), "How sure is it?")[1]


def test_failures_name_the_weakest_class_and_the_most_frequent_mistake():
    tone, words = said(of(evaluated(("a", "b", "c"), images=300, wrong=10)), FAILS)
    assert tone == "care"
    assert "Most often on 'a'. Of 100 such pictures it recognised 96.0 %" in words
    assert "a difference that may be chance" in words
    assert "The most frequent mistake: 'a' called 'b', 4 of 100 times." in words


def test_failures_of_many_classes_name_three():
    words = said(of(evaluated(tuple(f"c{n:02d}" for n in range(20)), images=400, wrong=3)), FAILS)[1]
    assert "Most often on 'c00', 'c01' and 'c02'. Of their pictures it recognised 95.0 %, 95.0 % and 95.0 %." in words


def test_without_a_mistake_the_room_for_some_is_named():
    assert "Nowhere among these pictures. That leaves room for 1.5 %" in said(of(evaluated(wrong=0)), FAILS)[1]


def test_a_class_without_pictures_is_named():
    words = said(of(evaluated(("a", "b", "c"), images=2, wrong=0)), FAILS)[1]
    assert "Of 1 class there was no picture to test." in words


def test_without_a_rule_nothing_is_refused():
    assert said(full(), REFUSES) == (
        "care",
        "Nothing: it names one of its classes whatever it is shown. "
        "Also for a picture of something else, and when it is hardly sure.",
    )


def test_refusals_say_how_many_and_what_they_buy():
    tone, words = said(judged(), REFUSES)
    assert tone == "good"
    assert words.startswith(
        "It leaves 30 of 250 pictures unanswered. Of the 88.0 % that it answers it has 96.0 % right"
    )
    assert "20 it is not sure of and 10 it finds unlike all that it learned" in words


@pytest.mark.parametrize(
    ("assured", "high", "words"), [(False, 0.98, "could not be assured"), (True, 0.94, "was not reached")]
)
def test_a_wanted_precision_that_was_missed_is_said(assured, high, words):
    test = with_trust(evaluated())
    selective = replace(test.selective, accuracy=Interval(0.92, 0.9, high))
    content = of(replace(test, selective=selective), rule=replace(RULE, assured=assured))
    assert said(content, REFUSES)[0] == "care"
    assert f"The wanted 95.0 % {words}." in said(content, REFUSES)[1]


def test_a_rule_that_refuses_everything_is_bad():
    test = with_trust(evaluated())
    selective = replace(test.selective, accepted=0, unsure=250, unlike=0)
    assert said(of(replace(test, selective=selective), rule=RULE), REFUSES)[0] == "bad"


def test_what_would_help_is_the_learning_curve_or_the_class_with_least():
    question = "What would make it better?"
    assert said(judged(), question)[1].startswith("Perhaps more pictures. Twice as many pictures may add 1 point. Look")
    few = {"cats": {"train": 40}, "dogs": {"train": 900}}
    words = said(full(class_counts=few), question)[1]
    assert words.startswith("More pictures of 'cats' first. It learned from 40 pictures of them")
    assert "a wrong label among 20" in words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.002, 0.02, "More pictures."),
        (-0.01, 0.004, "More pictures of the same kind would add little, if anything."),
        (-0.01, 0.03, "Perhaps more pictures."),
        (-0.01, 0.008, "Perhaps more pictures."),
        (0.001, 0.004, "More pictures of the same kind would add little, if anything."),
    ],
)
def test_the_gain_of_more_pictures_decides_whether_they_are_advised(low, high, words):
    curve = replace(judged().curve, next_gain=Interval((low + high) / 2, low, high))
    assert said(judged(curve=curve), "What would make it better?")[1].startswith(words)


def test_there_are_four_to_six_sentences_and_the_first_is_about_trust():
    bare = of(evaluated(wrong=0))
    assert [len(judge(one)) for one in (bare, full(), judged())] == [4, 5, 6]
    assert judge(bare)[0].question == TRUST


def test_names_in_sentences_are_short_and_harmless():
    words = " ".join(map(str, judge(of(evaluated(("\x07" + "x" * 300, "dogs"))))))
    assert "\x07" not in words and "x" * 41 not in words


def test_what_may_be_chance_is_not_held_against_the_probabilities():
    content = judged()
    check = replace(content.evaluation.calibration, ece_after=Interval(0.1, 0.0, 0.15))
    tone, words = said(of(replace(content.evaluation, calibration=check)), "How sure is it?")
    assert (tone, words.partition(". ")[0]) == ("note", "Nothing speaks against its probabilities")
    assert "(0.0 to 15.0, so it may be chance)" in words
    few = replace(evaluated(images=90, wrong=5), calibration=check)
    assert said(of(few), "How sure is it?")[0] == "unknown"
    small = replace(few, calibration=replace(check, ece_after=Interval(0.01, 0.0, 0.05)))
    assert said(of(small), "How sure is it?")[1].startswith("Whether its probabilities are right cannot be told")


def test_a_border_that_is_far_from_the_classifier_is_no_alarm():
    border = [Baseline("majority", Interval(0.5, 0.44, 0.56), ""), Baseline("border", Interval(0.8, 0.6, 0.96), "")]
    assert said(of(evaluated(wrong=5), baselines=border), TRUST)[0] == "good"
    shortcut = [Baseline("border", Interval(1.0, 0.95, 1.0), "")]
    assert said(of(evaluated(images=20, wrong=0), baselines=shortcut), TRUST)[0] == "unknown"


def test_a_rule_that_was_not_tested_or_refuses_nothing_is_said_to_be_so():
    evaluation = evaluated(wrong=5)
    assert "was not tested on these pictures" in said(of(evaluation, rule=RULE), REFUSES)[1]
    always = said(of(evaluation, rule=replace(RULE, precision=0.0, threshold=0.0)), REFUSES)[1]
    assert always.startswith("Nothing: it was asked to answer always.")


def test_a_class_with_as_many_pictures_as_others_needs_no_more():
    counts = {name: {"train": 100} for name in ("cats", "dogs")}
    assert said(of(evaluated(wrong=20), class_counts=counts), "What would make it better?")[1].startswith("A look at")


def test_a_shortcut_is_named_with_its_figure_also_where_another_is_higher_but_harmless():
    baselines = [
        Baseline("majority", Interval(0.5, 0.44, 0.56), ""),
        Baseline("border", Interval(0.82, 0.77, 0.86), ""),
        Baseline("file facts", Interval(0.8, 0.75, 0.85), ""),
    ]
    tone, words = said(of(evaluated(wrong=5), baselines=baselines), TRUST)
    assert tone == "bad" and "the file facts alone give 80.0 % right answers." in words


def test_pictures_of_one_class_say_nothing_about_telling_classes_apart():
    evaluation = score(np.zeros(50, np.int64), np.eye(2)[np.zeros(50, np.int64)], ["cats", "dogs"])
    tone, words = said(of(evaluation), TRUST)
    assert tone == "unknown" and "All these pictures are of one class" in words and "always saying" not in words


def test_refusals_are_also_told_where_only_the_evaluation_knows_of_them():
    evaluation = with_trust(evaluated())
    assert said(of(evaluation), REFUSES)[1].startswith("It leaves 30 of 250 pictures unanswered.")
    asked = replace(evaluation, selective=replace(evaluation.selective, precision=0.0))
    assert "asked to answer always" in said(of(asked), REFUSES)[1]


def test_zeros_are_no_reason():
    test = with_trust(evaluated())
    words = said(of(replace(test, selective=replace(test.selective, unlike=0)), rule=RULE), REFUSES)[1]
    assert "; 20 it is not sure of." in words and "unlike" not in words


def test_where_every_validation_picture_is_right_nothing_is_said_of_more():
    curve = judged().curve
    last = replace(curve.points[-1], accuracy=1.0)
    perfect = replace(curve, points=(*curve.points[:-1], last), next_gain=Interval(0.0, 0.0, 0.0))
    assert said(judged(curve=perfect), "What would make it better?")[1].startswith("That cannot be seen here.")


def test_one_mistake_is_not_among_one():
    counts = {"cats": {"train": 100}, "dogs": {"train": 100}}
    words = said(of(evaluated(wrong=1), class_counts=counts), "What would make it better?")[1]
    assert "a wrong label is cheaper to mend" in words and "among" not in words


@pytest.mark.parametrize(
    ("pictures", "words"), [(79, "More pictures of 'cats' first."), (80, "A look at the mistakes on 'cats'.")]
)
def test_a_class_has_fewer_pictures_below_four_fifths_of_the_middle_one(pictures, words):
    counts = {"cats": {"train": pictures}, "dogs": {"train": 100}}
    assert said(of(evaluated(wrong=5), class_counts=counts), "What would make it better?")[1].startswith(words)


def test_a_rule_that_was_not_tested_says_only_what_it_does():
    rule = replace(RULE, unlike_above=math.inf)
    assert "unlike" not in said(of(evaluated(), rule=rule), REFUSES)[1]
    nothing = said(of(evaluated(), rule=replace(RULE, threshold=1.1)), REFUSES)[1]
    assert nothing.startswith("Everything: no answer is 95.0 % sure to be right.")
