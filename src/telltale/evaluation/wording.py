"""An `Evaluation` in words: the verdict in sentences, the metrics and the classes as a table."""

import textwrap
from typing import Final

from telltale.evaluation.scores import NAMES, Scores
from telltale.words import columns, enumerate_words, fit, printable

SHOWN_CLASSES: Final = 20


def tabulate(evaluation: Scores, pictures: str = "pictures") -> str:
    """The verdict, what it answers, the metrics and the classes as text for 80 columns; `pictures` as in `describe`."""
    verdict = textwrap.wrap(" ".join([describe(evaluation, pictures), *describe_refusals(evaluation)]), 80)
    return "\n".join([*verdict, "", *_metric_lines(evaluation), "", *_class_lines(evaluation)])


def describe(evaluation: Scores, pictures: str = "pictures") -> str:
    """The verdict in sentences; `pictures` says of what kind they are, such as "test pictures".

    >>> import numpy as np
    >>> from telltale.evaluation.evaluation import score
    >>> print(describe(score(np.array([0, 1]), np.eye(2), ["cat", "dog"])))
    On 2 pictures: 100.0 % right, 95 % interval 34.2 to 100.0 %. Always saying 'cat' would be 50.0 % right. \
That is not surely better than always saying the same.
    """
    right = evaluation.metrics["accuracy"]
    if evaluation.images == 1:
        pictures = pictures.replace("pictures", "picture", 1)
    sentences = [
        f"On {evaluation.images:,} {pictures}: {_percent(right.value)} % right, "
        f"95 % interval {_percent(right.low)} to {_percent(right.high)} %.",
        *_compare_with_majority(evaluation),
    ]
    if evaluation.clusters:
        one = "group" if evaluation.clusters == 1 else "groups"
        sentences.append(f"The intervals count {evaluation.clusters:,} {one}, not {evaluation.images:,} pictures.")
    if evaluation.unreadable:
        sentences.append(f"{evaluation.unreadable:,} more could not be read and are not counted.")
    sentences += _describe_seen(evaluation)
    if evaluation.looks > 1:
        sentences.append(
            f"This run has scored them {evaluation.looks} times: what was chosen after the first may fit them."
        )
    return " ".join(sentences)


def _compare_with_majority(evaluation: Scores) -> list[str]:
    """What always saying the most frequent class would reach; nothing where all pictures are of one class."""
    if sum(one.support > 0 for one in evaluation.per_class) == 1:
        return []
    right, always = evaluation.metrics["accuracy"], f"Always saying {printable(evaluation.majority, 40)!r}"
    said = [f"{always} would be {_percent(evaluation.baseline)} % right."]
    if right.high < evaluation.baseline:
        said.append("That is worse than always saying the same.")
    elif right.low <= evaluation.baseline:
        said.append("That is not surely better than always saying the same.")
    return said


def describe_refusals(evaluation: Scores) -> list[str]:
    """What the reject rule does, in a sentence; none where there is no rule, or none that refuses anything."""
    found = evaluation.selective
    if found is None or not found.precision:
        return []
    unlike = f"{found.unlike:,} {'is' if found.unlike == 1 else 'are'} unlike what it knows"
    unsure = f"{found.unsure:,} it is not sure of"
    counts = [text for text, there in ((unsure, found.unsure), (unlike, found.unlike)) if there]
    refused = f"{enumerate_words(counts) if counts else 'none is refused'}."
    if not found.accepted:
        return [f"It answers none of them: {refused}"]
    covered, right = found.coverage, found.accuracy
    share = f"It answers {_percent(covered.value)} % of them ({_percent(covered.low)} to {_percent(covered.high)} %)"
    good = f"right in {_percent(right.value)} % of its answers ({_percent(right.low)} to {_percent(right.high)} %)"
    return [f"{share}, and is {good}; {refused}"]


def _describe_seen(evaluation: Scores) -> list[str]:
    """A warning where the classifier knows some of the pictures from its training."""
    seen = evaluation.seen
    kinds = {
        "were learned from": seen.learned,
        "look like one that was": seen.alike,
        "chose between its settings": seen.chose,
    }
    known = [f"{count:,} {words}" for words, count in kinds.items() if count]
    if not known:
        return []
    right = seen.accuracy_on_new
    rest = f"on the new ones it is {_percent(right.value)} % right" if right else "none of the others is new"
    return [f"Not all are new: {' and '.join(known)}; {rest}."]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _metric_lines(evaluation: Scores) -> list[str]:
    lines = [f"{'':<20}{'value':>7}   95 % interval"]
    for name, words in NAMES.items():
        if name in evaluation.metrics:
            figure = evaluation.metrics[name]
            lines.append(f"{words:<20}{figure.value:>7.3f}   {figure.low:.3f} to {figure.high:.3f}")
    if evaluation.calibration is not None:
        error = evaluation.calibration.ece_after
        lines.append(f"{'calibration error':<20}{error.value:>7.3f}   {error.low:.3f} to {error.high:.3f}")
    return lines


def _class_lines(evaluation: Scores) -> list[str]:
    """A line for each class; of many only those with the lowest recall, lowest first."""
    shown, rest = list(evaluation.per_class), ""
    if len(shown) > SHOWN_CLASSES:
        present = sorted((one for one in shown if one.support), key=lambda one: (one.recall.value, -one.support))
        rest = f"The {min(SHOWN_CLASSES, len(present))} of {len(shown)} classes with the lowest recall, lowest first."
        shown = present[:SHOWN_CLASSES]
    width = max([5, *(min(26, columns(printable(one.name))) for one in shown)])
    lines = [f"{'class':<{width}}  {'pictures':>8}  {'precision':>9}  {'recall':>6} {'95 % interval':<15}  {'F1':>5}"]
    for one in shown:
        lines.append(
            f"{fit(one.name, width)}  {one.support:>8,}  {one.precision.value:>9.3f}"
            f"  {one.recall.value:>6.3f} {f'[{one.recall.low:.3f}, {one.recall.high:.3f}]':<15}  {one.f1.value:>5.3f}"
        )
    return [rest, "", *lines] if rest else lines
