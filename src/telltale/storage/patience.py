"""`patiently`: again after a pause where a place was away."""

import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

from telltale.storage.place import Away

T = TypeVar("T")


def patiently(work: Callable[[], T], *, tries: int, pause: float, most: float = 30.0, within: float = math.inf) -> T:
    """What `work` gives. After `Away` it is called again, at most `tries` times in all; the last `Away` is raised.

    The pauses are about `pause` seconds, doubled each time up to `most`, half as long to half as long again: many
    machines that lost one server must not all come back in one moment. Where the place asked for a longer pause, it
    gets that. No further attempt begins more than `within` seconds after the first.

    >>> answers = iter([7])
    >>> patiently(lambda: next(answers), tries=3, pause=0.1)
    7
    """
    start = time.monotonic()
    for attempt in range(1, tries):
        try:
            return work()
        except Away as away:
            rest = max(away.wait, min(most, pause * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))
            if time.monotonic() + rest - start > within:
                raise
        time.sleep(rest)
    return work()
