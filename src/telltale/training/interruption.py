"""Ctrl-C and SIGTERM as a wish that a loop can ask for, so that it stops where nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def noted_signals() -> Iterator[Callable[[], bool]]:
    """Inside the block the first Ctrl-C or SIGTERM is only noted: the value says whether one has come.

    The second one interrupts at once. Outside the main thread signals cannot be noted, and nothing changes.

    >>> with noted_signals() as wants_stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     wants_stop()
    True
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        # Nothing but this: a handler runs between any two instructions, also in the middle of a backward pass.
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
