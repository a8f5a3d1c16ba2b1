"""`judge`: what the figures of a training mean, in sentences for somebody who has not trained it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telltale.delivery.content import ReportContent
from telltale.evaluation.baselines import MAJORITY, Baseline, judge_baselines
from telltale.evaluation.confusions import most_confused
from telltale.evaluation.evaluation import ClassScore, Evaluation
from telltale.evaluation.learning_curve import LearningCurve
from telltale.evaluation.learning_verdict import HARDLY
from telltale.evaluation.metrics import Interval
from telltale.evaluation.selective import Selective
from telltale.words import enumerate_words, printable

GOOD: Final = "good"
NOTE: Final = "note"
CARE: Final = "care"
BAD: Final = "bad"
UNKNOWN: Final = "unknown"

RELIABLE: Final = 0.9
MOSTLY: Final = 0.7
"""Lower end of the accuracy's interval from which a classifier can be trusted, and from which it is mostly right."""

FEWEST: Final = 30
WIDEST: Final = 0.25
"""Fewer pictures, or an interval that is wider, say nothing."""

AT_ITS_WORD: Final = 0.03
ROUGHLY: Final = 0.08
"""Calibration error (ECE) up to which probabilities can be taken at their word, and up to which they are a hint."""

FEWEST_CALIBRATED: Final = 100
"""Pictures below which the calibration error is mostly chance: of 90 that are perfectly calibrated it is 0.1."""

SHORTCUTS: Final = ("file facts", "border")
"""Baselines that see nothing of what the picture shows: where they do as well, the data gives the answer away."""

FEWER: Final = 0.8
"""Share of the middle class's training pictures below which a class has clearly fewer."""

_LETTERS: Final = 40
_WEAKEST: Final = 3


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that a reader wants to know: what is claimed, and the figures that it rests on."""

    question: str
    claim: str
    reason: str
    tone: str
    """good, note, care, bad or unknown: how it bears on the use of the classifier."""

    def __str__(self) -> str:
        return f"{self.claim} {self.reason}".strip()


def judge(content: ReportContent) -> list[Sentence]:
    """Four to six sentences: can it be trusted, for what, how sure, where it fails, what it refuses, what would help.

    Nothing is claimed that no number of `content` says; what was not measured is said to be unknown or is left out.
    """
    evaluation = content.evaluation
    found = [
        _judge_trust(content),
        _judge_use(content),
        _judge_calibration(evaluation),
        _judge_failures(evaluation),
        _judge_refusals(content),
        _judge_remedies(content),
    ]
    return [one for one in found if one is not None]


def _judge_trust(content: ReportContent) -> Sentence:
    evaluation = content.evaluation
    right = evaluation.metrics["accuracy"]
    claim, tone = _claim_trust(evaluation, content.baselines)
    reason = (
        f"Of {count(evaluation.images, content.pictures)}, {percent(right.value)} % were called right; "
        f"for many more such pictures the share would lie between {percent(right.low)} and {percent(right.high)} %."
    )
    if evaluation.looks > 1:
        reason += f" They were looked at {evaluation.looks} times: what was chosen after the first look may fit them."
    return Sentence("Can it be trusted?", claim, reason, tone)


def _claim_trust(evaluation: Evaluation, baselines: Sequence[Baseline]) -> tuple[str, str]:
    right, seen = evaluation.metrics["accuracy"], evaluation.seen
    known = seen.learned + seen.alike + seen.chose
    if _classes_asked(evaluation) == 1:
        return "All these pictures are of one class: how well it tells classes apart is unknown.", UNKNOWN
    if right.low <= evaluation.baseline:
        if right.high - right.low > WIDEST or evaluation.images < FEWEST:
            return "There are too few pictures to trust it or not.", UNKNOWN
        return f"It cannot be trusted: always saying {name(evaluation.majority)} may be right as often.", BAD
    if known and known < evaluation.images:
        return f"These figures flatter it: it knows {known:,} of the pictures from its training.", CARE
    if seen.learned + seen.alike:
        return "These figures say little: it knows all of these pictures from its training.", BAD
    if evaluation.images < FEWEST:
        return "It promises well, but there are too few pictures to trust it.", UNKNOWN
    rival = _find_shortcut(baselines, right)
    if rival is not None:
        words = "the file facts alone give" if rival.name != "border" else "the border of the pictures alone gives"
        return f"It may have learned the wrong thing: {words} {percent(rival.accuracy.value)} % right answers.", BAD
    if right.low >= RELIABLE:
        return "It can be trusted with pictures like these.", GOOD
    if right.low >= MOSTLY:
        return "It is mostly right on pictures like these; check what matters.", CARE
    return "It gives a first guess, and not an answer to rely on.", CARE


def _find_shortcut(baselines: Sequence[Baseline], right: Interval) -> Baseline | None:
    """The best of those that see nothing of what the picture shows and still come near the classifier."""
    majorities = [one for one in baselines if one.name == MAJORITY]
    near = [one for one in baselines if one.name in SHORTCUTS and judge_baselines((*majorities, one), right)]
    return max(near, key=lambda one: one.accuracy.value, default=None)


def _classes_asked(evaluation: Evaluation) -> int:
    """Classes of which there is a picture."""
    return sum(one.support > 0 for one in evaluation.per_class)


def _judge_use(content: ReportContent) -> Sentence:
    classes = content.evaluation.classes
    names = [name(one) for one in classes]
    if len(names) == 2:
        claim = f"To tell {names[0]} from {names[1]}."
    elif len(names) <= 5:
        claim = f"To tell apart {enumerate_words(names)}."
    else:
        claim = f"To tell {len(names):,} classes apart, such as {enumerate_words(names[:3])}."
    reason = (
        "It was tested on pictures from the same source as those it learned from; how it does on others is unknown."
    )
    return Sentence("What is it for?", claim, reason, NOTE)


def _judge_calibration(evaluation: Evaluation) -> Sentence | None:
    check, sets = evaluation.calibration, evaluation.sets
    if check is None:
        return None
    error = check.ece_after
    if evaluation.images < FEWEST_CALIBRATED:
        claim, tone = "Whether its probabilities are right cannot be told from so few pictures.", UNKNOWN
    elif error.value <= AT_ITS_WORD:
        claim, tone = "Its probabilities can be taken at their word.", GOOD
    elif error.low <= 0:
        claim, tone = "Nothing speaks against its probabilities.", NOTE
    elif error.value <= ROUGHLY:
        claim, tone = "Its probabilities are roughly right.", NOTE
    else:
        claim, tone = "Its probabilities should not be taken at their word.", CARE
    reason = f"On average they miss the share that is right by {points(error.value)} "
    reason += f"({100 * error.low:.1f} to {100 * error.high:.1f}{', so it may be chance' if error.low <= 0 else ''})"
    if check.temperature != 1:
        reason += f"; before calibration it was {points(check.ece_before)}"
    reason += "."
    if sets is not None:
        reason += (
            f" The set of classes that is to hold the right one for {percent(sets.nominal)} % of the pictures "
            f"held it for {percent(sets.coverage.value)} %, with {sets.mean_size:.2f} classes on average."
        )
    return Sentence("How sure is it?", claim, reason, tone)


def _judge_failures(evaluation: Evaluation) -> Sentence:
    question, right = "Where does it fail?", evaluation.metrics["accuracy"]
    known = sorted((one for one in evaluation.per_class if one.support), key=lambda one: one.recall.value)
    untested = len(evaluation.per_class) - len(known)
    rest = f" Of {count(untested, 'classes', 'class')} there was no picture to test." if untested else ""
    if not evaluation.wrong:
        reason = f"That leaves room for {percent(1 - right.low)} % of mistakes among many more pictures."
        return Sentence(question, "Nowhere among these pictures.", reason + rest, CARE if untested else GOOD)
    if len(known) > 5:
        weakest = [one for one in known[:_WEAKEST] if one.recall.value < 1]
        claim = f"Most often on {enumerate_words([name(one.name) for one in weakest])}."
        shares = enumerate_words([f"{percent(one.recall.value)} %" for one in weakest])
        reason = f"Of their pictures it recognised {shares}." + _describe_pair(evaluation) + rest
        return Sentence(question, claim, reason, CARE)
    first, others = known[0], known[1:]
    claim = f"Most often on {name(first.name)}."
    reason = f"Of {count(first.support, 'such pictures', 'such picture')} it recognised {percent(first.recall.value)} %"
    reason += f" ({span(first.recall)} %)" + _describe_others(first, others) + "."
    return Sentence(question, claim, reason + _describe_pair(evaluation) + rest, CARE)


def _describe_others(first: ClassScore, others: Sequence[ClassScore]) -> str:
    """How the other classes do, and whether the weakest is surely weaker than the best."""
    if not others:
        return ""
    best = others[-1]
    chance = ", a difference that may be chance" if first.recall.high >= best.recall.low else ""
    return f", of {name(best.name)} {percent(best.recall.value)} %{chance}"


def _describe_pair(evaluation: Evaluation) -> str:
    """The most frequent mistake, where it happened more than once."""
    for one in most_confused(evaluation, 1):
        times = f"{one.times:,} of {one.support:,} times"
        return f" The most frequent mistake: {name(one.true)} called {name(one.predicted)}, {times}."
    return ""


def _judge_refusals(content: ReportContent) -> Sentence:
    question, rule, selective = "What does it refuse?", content.rule, content.evaluation.selective
    if (rule is not None and not rule.precision) or (selective is not None and not selective.precision):
        return Sentence(question, "Nothing: it was asked to answer always.", "--precision 0 asks for that.", CARE)
    if rule is not None and selective is None:
        unlike = ", and pictures unlike all that it learned" if math.isfinite(rule.unlike_above) else ""
        claim = f"Answers below a probability of {rule.threshold:.3f}{unlike}."
        if rule.threshold > 1:
            claim = f"Everything: no answer is {percent(rule.precision)} % sure to be right."
        return Sentence(question, claim, "How many that are was not tested on these pictures.", NOTE)
    if selective is None:
        claim = "Nothing: it names one of its classes whatever it is shown."
        return Sentence(question, claim, "Also for a picture of something else, and when it is hardly sure.", CARE)
    refused = selective.unsure + selective.unlike
    total = refused + selective.accepted
    if not selective.accepted:
        claim = f"Everything: no answer is {percent(selective.precision)} % sure to be right."
        return Sentence(question, claim, f"It was asked {count(total, 'times', 'time')}.", BAD)
    claim = f"It leaves {refused:,} of {count(total)} unanswered." if refused else "None of these pictures."
    reason = (
        f"Of the {percent(selective.coverage.value)} % that it answers it has {percent(selective.accuracy.value)} %"
    )
    reason += f" right ({span(selective.accuracy)} %)" + _describe_refused(selective) + "."
    reached, assured = selective.accuracy.high >= selective.precision, rule is None or rule.assured
    if not assured or not reached:
        reason += f" The wanted {percent(selective.precision)} % "
        reason += "could not be assured." if not assured else "was not reached."
    return Sentence(question, claim, reason, GOOD if assured and reached else CARE)


def _describe_refused(selective: Selective) -> str:
    counts = {"it is not sure of": selective.unsure, "it finds unlike all that it learned": selective.unlike}
    named = [f"{number:,} {words}" for words, number in counts.items() if number]
    return f"; {enumerate_words(named)}" if named else ""


def _judge_remedies(content: ReportContent) -> Sentence | None:
    question = "What would make it better?"
    evaluation, curve = content.evaluation, content.curve
    wrong = evaluation.wrong
    among = f"among {wrong:,} " if wrong > 1 else ""
    look = f"Look through the mistakes first: a wrong label {among}is cheaper to mend than pictures to find."
    if curve is not None:
        reason = f"{curve.verdict} {look if wrong else ''}".strip()
        return Sentence(question, _claim_gain(curve), reason, NOTE)
    learned = {one: counts.get("train", 0) for one, counts in content.class_counts.items()}
    weak = min((one for one in evaluation.per_class if one.support), key=lambda one: one.recall.value)
    if weak.recall.value == 1 or not learned.get(weak.name):
        return None
    middle = sorted(learned.values())[len(learned) // 2]
    if learned[weak.name] >= FEWER * middle:
        return Sentence(question, f"A look at the mistakes on {name(weak.name)}.", look, NOTE)
    claim = f"More pictures of {name(weak.name)} first."
    reason = f"It learned from {count(learned[weak.name])} of them, where the middle class has {middle:,}. {look}"
    return Sentence(question, claim, reason, NOTE)


def _claim_gain(curve: LearningCurve) -> str:
    """What twice the pictures would add, in words: the same cases, in the same order, as in the curve's verdict."""
    gain = curve.next_gain
    if curve.points and curve.points[-1].accuracy >= 1:
        return "That cannot be seen here."
    if gain is not None and gain.high < HARDLY:
        return "More pictures of the same kind would add little, if anything."
    return "More pictures." if gain is not None and gain.low > 0 else "Perhaps more pictures."


def name(text: str, letters: int = _LETTERS) -> str:
    """A class as it stands in a sentence."""
    return repr(printable(text, letters))


def percent(share: float) -> str:
    """A share as it stands in a sentence, before the sign.

    >>> percent(0.96), percent(0.99964), percent(1.0)
    ('96.0', '99.96', '100.0')
    """
    digits = 2 if 0.9995 <= share < 1 or 0 < share < 0.0005 else 1
    return f"{100 * share:.{digits}f}"


def points(share: float) -> str:
    """A difference of shares.

    >>> points(0.012)
    '1.2 points'
    """
    return f"{100 * share:.1f} points"


def span(interval: Interval) -> str:
    """The ends of an interval of a share."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def count(number: int, many: str = "pictures", one: str = "") -> str:
    """A number of things.

    >>> count(1), count(2000), count(1, "classes", "class")
    ('1 picture', '2,000 pictures', '1 class')
    """
    return f"{number:,} {(one or many.replace('pictures', 'picture', 1)) if number == 1 else many}"
