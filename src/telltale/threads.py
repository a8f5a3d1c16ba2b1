"""Work on several threads with results in order and memory flat."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """`work(item)` for every item on `threads` threads, in the order of the items, at most a few items ahead.

    The heavy parts of our work (read, decode, resize, infer) release Python's lock, so threads suffice and nothing
    is copied between processes. The first exception ends the work and is raised here.

    >>> list(map_in_order(str.upper, ["a", "b"], threads=2))
    ['A', 'B']
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 3 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Inside the block a matrix product takes one thread, in all of this process.

    For many small ones, or one in each of several threads of ours: OpenBLAS's threads spin while they wait for each
    other. Five heads on 2,000 features of 1,280 numbers take 0.3 s of one core, and 0.5 s of two, or 2 s where another
    process wants a core too (benchmarks/RESULTS.md#evaluation).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def pieces(count: int, size: int) -> Iterator[range]:
    """`range(count)` in consecutive ranges of at most `size`.

    >>> list(pieces(5, 2))
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return (range(start, min(start + size, count)) for start in range(0, count, size))
