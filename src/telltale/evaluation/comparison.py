"""`compare_all` and `compare_pair`: which of several classifiers is better on the same pictures, and is that sure?"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from telltale.evaluation.metrics import Floats, Interval, Ints, log_losses
from telltale.evaluation.paired_tests import (
    accuracy_difference,
    design_effect,
    flip_test,
    group_sums,
    holm,
    mean_difference,
    pictures_needed,
)
from telltale.values import to_plain
from telltale.words import enumerate_words, printable

SURE: Final = 0.05
"""A difference with a smaller p is called sure."""

KEPT: Final = 100
"""Pictures that two answer differently, of each pair."""

_LETTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Differing:
    """A picture that is `true`, what each of two called it, and with which probability."""

    path: str
    true: str
    first: str
    second: str
    first_probability: float
    second_probability: float


@dataclass(frozen=True, eq=False)
class Answered:
    """Labelled pictures that several classifiers have answered.

    `labels` int `[n]` are the numbers of their classes in `classes`; `paths` are their names. `groups` int `[n]`, from
    0, tells which belong together (patient, scene, burst) and are no independent witnesses; None: each stands alone.
    """

    classes: tuple[str, ...]
    labels: Ints
    paths: Sequence[str]
    groups: Ints | None = None


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same pictures: how often only one is right, and what that says."""

    names: tuple[str, str]
    pictures: int
    both: int
    """Pictures that both get right."""
    only_first: int
    only_second: int
    neither: int
    p: float
    """Of McNemar's exact test; of its like for groups where there are some (`flip_test`)."""
    accuracy: Interval
    """Accuracy of the second minus that of the first."""
    log_loss: Interval
    """Log loss of the second minus that of the first: below 0 the second is better."""
    clusters: int = 0
    """Groups that were counted as wholes; 0: every picture counts alone."""
    needed: int = 0
    """About how many pictures it would take to be sure of such a difference in 4 of 5 tests; 0: there is none."""
    corrected: float | None = None
    """`p` after Holm's correction, where this is one of several comparisons."""
    comparisons: int = 1
    """How many there are."""
    differing: tuple[Differing, ...] = ()
    """Up to 100 pictures that the two call by different names: those first that only one of them gets right, and among
    these where the two probabilities of the true class are furthest apart."""

    @property
    def chance(self) -> float:
        """`corrected` where there is one, else `p`: what decides."""
        return self.p if self.corrected is None else self.corrected

    @property
    def is_sure(self) -> bool:
        """Is one surely more often right than the other?"""
        return self.chance < SURE

    @property
    def verdict(self) -> str:
        """What this says, in sentences."""
        return describe_pair(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"verdict": self.verdict, "sure": self.is_sure, **to_plain(self)}


@dataclass(frozen=True, slots=True)
class Ranked:
    """A classifier's place: how often it is right, and which others are surely better or worse."""

    name: str
    right: int
    surely_better_than: tuple[str, ...] = ()
    surely_worse_than: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Every pair of some classifiers, and all of them ranked, the one first that is right most often."""

    pictures: int
    pairs: tuple[Paired, ...]
    ranking: tuple[Ranked, ...]

    @property
    def verdict(self) -> str:
        """What this says, in sentences."""
        return self.pairs[0].verdict if len(self.pairs) == 1 else describe_ranking(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict,
            "pictures": self.pictures,
            "ranking": to_plain(self.ranking),
            "pairs": [one.to_dict() for one in self.pairs],
        }


def compare_all(answered: Answered, answers: Mapping[str, Floats], *, seed: int = 0) -> Comparison:
    """Every pair of two or more classifiers that answered the same pictures; with Holm's correction for several pairs.

    `answers` are their probabilities `[n, classes]` by name; raises `ValueError` for shapes that do not go together.
    """
    for name, probabilities in answers.items():
        if probabilities.shape != (len(answered.labels), len(answered.classes)) or not len(answered.labels):
            raise ValueError(f"{name}: {probabilities.shape} for {len(answered.labels)} pictures")
    couples = list(itertools.combinations(answers, 2))
    pairs = [
        compare_pair(answered, {name: answers[name] for name in names}, comparisons=len(couples), seed=seed)
        for names in couples
    ]
    pairs = correct(pairs)
    return Comparison(len(answered.labels), tuple(pairs), _rank(answered, answers, pairs))


def correct(pairs: Sequence[Paired]) -> list[Paired]:
    """The pairs with Holm's correction for how many they are; a single one needs none."""
    if len(pairs) < 2:
        return list(pairs)
    chances = holm([pair.p for pair in pairs])
    return [
        replace(pair, corrected=chance, comparisons=len(pairs)) for pair, chance in zip(pairs, chances, strict=True)
    ]


def compare_pair(answered: Answered, answers: Mapping[str, Floats], *, comparisons: int = 1, seed: int = 0) -> Paired:
    """The two classifiers in `answers` (probabilities `[n, classes]` by name) compared on the same pictures.

    Equal probabilities: the class that comes first is said. `comparisons` is how many such pairs there are, for
    `needed`; `seed` is that of the bootstrap of the log loss.

    >>> sure, unsure = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.7, 0.3]])
    >>> answered = Answered(("cat", "dog"), np.array([0, 1]), ["1.jpg", "2.jpg"])
    >>> paired = compare_pair(answered, {"a": unsure, "b": sure})
    >>> paired.both, paired.only_first, paired.only_second, paired.p
    (1, 0, 1, 1.0)
    """
    (first, one), (second, two) = answers.items()
    labels, groups = answered.labels, answered.groups
    if groups is not None:
        groups = np.unique(groups, return_inverse=True)[1]
    before, after = one.argmax(axis=1) == labels, two.argmax(axis=1) == labels
    gains = after.astype(np.int64) - before
    losses = log_losses(labels, two) - log_losses(labels, one)
    differing, count = int((gains != 0).sum()), len(labels)
    effect = 1.0 if groups is None else design_effect(gains, groups)
    return Paired(
        names=(first, second),
        pictures=count,
        both=int((before & after).sum()),
        only_first=int((gains < 0).sum()),
        only_second=int((gains > 0).sum()),
        neither=int((~before & ~after).sum()),
        p=flip_test(group_sums(gains, groups)),
        accuracy=accuracy_difference(before, after, groups),
        log_loss=mean_difference(losses, groups, seed),
        clusters=0 if groups is None else int(groups.max()) + 1,
        needed=pictures_needed(differing / count, int(gains.sum()) / count, effect=effect, comparisons=comparisons),
        comparisons=comparisons,
        differing=_find_differing(answered, one, two),
    )


def _find_differing(answered: Answered, one: Floats, two: Floats) -> tuple[Differing, ...]:
    labels, rows = answered.labels, np.arange(len(answered.labels))
    said = one.argmax(axis=1), two.argmax(axis=1)
    found = np.flatnonzero(said[0] != said[1])
    apart = np.abs(one[rows, labels] - two[rows, labels])[found]
    wrong = (said[0] != labels)[found] & (said[1] != labels)[found]
    chosen = found[np.lexsort((-apart, wrong))][:KEPT]
    return tuple(
        Differing(
            answered.paths[row],
            answered.classes[labels[row]],
            answered.classes[said[0][row]],
            answered.classes[said[1][row]],
            float(one[row, said[0][row]]),
            float(two[row, said[1][row]]),
        )
        for row in chosen.tolist()
    )


def _rank(answered: Answered, answers: Mapping[str, Floats], pairs: Sequence[Paired]) -> tuple[Ranked, ...]:
    right = {name: int((one.argmax(axis=1) == answered.labels).sum()) for name, one in answers.items()}
    loss = {name: float(log_losses(answered.labels, one).mean()) for name, one in answers.items()}
    better: dict[str, list[str]] = {name: [] for name in answers}
    worse: dict[str, list[str]] = {name: [] for name in answers}
    for pair in pairs:
        if pair.is_sure:
            low, high = pair.names if pair.only_second > pair.only_first else pair.names[::-1]
            better[high].append(low)
            worse[low].append(high)
    order = sorted(answers, key=lambda name: (-right[name], loss[name]))
    return tuple(Ranked(name, right[name], tuple(better[name]), tuple(worse[name])) for name in order)


def describe_pair(pair: Paired) -> str:
    """The verdict about two classifiers, in sentences."""
    names = [printable(name, _LETTERS) for name in pair.names]
    wins, losses, difference = pair.only_second, pair.only_first, pair.accuracy
    if wins < losses:
        wins, losses, names = losses, wins, names[::-1]
        difference = -difference
    better, worse = names[1], names[0]
    of = f"(of {pair.pictures:,})"
    if not wins:
        sentences = [f"{better} and {worse} are right on the same pictures: {pair.both:,} {of}."]
    elif wins == losses:
        sentences = [
            f"{better} is right on {_pictures(wins)} that {worse} gets wrong, and {worse} on as many that {better} "
            f"gets wrong {of}: no difference was seen, and one of {_ends(difference)} points may be there."
        ]
    else:
        margin = f"the difference of {_points(difference)}"
        counts = (
            f"right on {_pictures(wins)} that {worse} gets wrong, {worse} on {_count(losses)} that {better} gets wrong"
        )
        if pair.is_sure:
            sentences = [f"{better} is better: {counts} {of}.", f"T{margin[1:]} is hardly chance ({_chance(pair)})."]
        else:
            sentences = [f"{better} is {counts} {of}: {margin} may be chance ({_chance(pair)}).", _advise(pair)]
    loss = pair.log_loss
    if loss.low > 0 or loss.high < 0:
        name = printable(pair.names[0 if loss.low > 0 else 1], _LETTERS)
        low, high = sorted((abs(loss.low), abs(loss.high)))
        sentences.append(
            f"The probabilities of {name} are better: its log loss is lower by {Interval(abs(loss.value), low, high)}."
        )
    if pair.clusters:
        sentences.append(f"Pictures of a group count as one witness: there are {pair.clusters:,} groups.")
    return " ".join(sentences)


def _advise(pair: Paired) -> str:
    if pair.needed <= pair.pictures:
        return f"More test pictures{' of more groups' if pair.clusters else ''} may tell."
    return f"About {pair.needed:,} test pictures would be needed to be sure of such a difference."


def _chance(pair: Paired) -> str:
    """The probability in brackets."""
    words = say_chance(pair.chance)
    return words if pair.corrected is None else f"{words}, corrected for {pair.comparisons} comparisons"


def say_chance(p: float) -> str:
    """A p value for people.

    >>> say_chance(0.1435), say_chance(1.5e-5)
    ('p = 0.14', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def describe_ranking(comparison: Comparison) -> str:
    """The verdict about more than two classifiers, in sentences."""
    best, *others = comparison.ranking
    name = printable(best.name, _LETTERS)
    share = 100 * best.right / comparison.pictures
    lower = [printable(one.name, _LETTERS) for one in others if one.name in best.surely_better_than]
    close = [printable(one.name, _LETTERS) for one in others if one.name not in best.surely_better_than]
    if not close:
        sentences = [
            f"{name} is the best: {share:.1f} % of {comparison.pictures:,} pictures right, surely more than "
            f"{enumerate_words(lower)}."
        ]
    else:
        sentences = [
            f"{name} is right most often, on {share:.1f} % of {comparison.pictures:,} pictures, but not surely more "
            f"often than {enumerate_words(close)}."
        ]
        if lower:
            sentences.append(f"Surely less often right: {enumerate_words(lower)}.")
    sentences.append(f"McNemar's exact tests, corrected for {len(comparison.pairs)} comparisons (Holm).")
    return " ".join(sentences)


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _points(difference: Interval) -> str:
    """A difference of shares in points of percent."""
    return f"{100 * difference.value:.1f} points [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"


def _ends(difference: Interval) -> str:
    """How far apart two may still be.

    >>> _ends(Interval(0.0, -0.02, 0.02))
    'up to 2.0'
    """
    return f"up to {100 * max(abs(difference.low), abs(difference.high)):.1f}"


def _count(pictures: int) -> str:
    return f"{pictures:,}" if pictures else "none"
