"""`sample_evenly`: fewer pictures where there are too many, with rare classes left whole."""

import numpy as np
from numpy.typing import NDArray


def sample_evenly(labels: NDArray[np.int32], most: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Row numbers, in order, of at most `most` samples: all of small classes, equally many of the others.

    >>> sample_evenly(np.array([0, 0, 0, 0, 1, 1, 1, 1, 2]), 5).size
    5
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    counts = np.bincount(labels)
    ascending = np.sort(counts)
    # If the classes before one are taken whole, each of the others may have so many.
    shares = (most - np.cumsum(ascending) + ascending) // np.arange(len(counts), 0, -1)
    share = max(1, int(shares[np.argmax(ascending > shares)]))
    shuffled = np.random.default_rng([seed, 3]).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[place < share])
