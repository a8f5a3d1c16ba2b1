"""`most_confused`: which classes are taken for which others."""

from dataclasses import dataclass

import numpy as np

from telltale.evaluation.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Confusion:
    """`times` of the `support` pictures of the class `true` one was called `predicted`."""

    true: str
    predicted: str
    times: int
    support: int


def most_confused(evaluation: Evaluation, most: int = 10) -> tuple[Confusion, ...]:
    """The `most` frequent mistakes of more than one picture, most frequent first; of equal ones the larger share.

    >>> from telltale.evaluation.evaluation import score
    >>> said = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    >>> (one,) = most_confused(score(np.array([0, 0, 0, 1]), said, ["cat", "dog"]))
    >>> one
    Confusion(true='cat', predicted='dog', times=2, support=3)
    """
    wrong = evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong > 1)
    counts, support = wrong[rows, columns], evaluation.confusion.sum(axis=1)[rows]
    order = np.lexsort((-counts / np.maximum(support, 1), -counts))[:most]
    return tuple(
        Confusion(evaluation.classes[rows[at]], evaluation.classes[columns[at]], int(counts[at]), int(support[at]))
        for at in order.tolist()
    )
