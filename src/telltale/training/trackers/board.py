"""`Trackers`: every tracker of a training in a thread of its own, so that none can stop it or slow it down."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from telltale.progress import Advance, Note, Tell
from telltale.training.about import About
from telltale.training.events import Event, Listener, StepDone
from telltale.training.trackers.tracker import Outcome, Rows, Tracker

MOST_WAITING: Final = 1000
"""Messages that wait for one tracker: a thousand epochs and what else happens in them."""

WAIT: Final = 30.0
"""Seconds that the end waits for trackers that are behind."""


class Trackers(Listener):
    """Tells each of some trackers, by name, what it is told itself.

    `introduce` and `begin` come first, then `hear`, then `finish`, and `close` last, whatever happens between. None of
    them waits but `close`; none raises. What a tracker raises is told once, as a warning, and the training goes on
    without it.

    >>> with Trackers({}, tell=print) as trackers:
    ...     trackers.finish(Outcome())
    """

    def __init__(self, trackers: Mapping[str, Tracker], *, tell: Tell) -> None:
        self.tell = tell
        self._notes = queue.SimpleQueue[Note]()
        self._workers = [_Worker(name, one, self._notes.put) for name, one in trackers.items()]
        self._about: About | None = None
        self._finished = False

    def introduce(self, about: About) -> None:
        """Which training it is that `begin` begins."""
        self._about = about

    def begin(self, rows: Rows, epochs: int, *, step: int = 0) -> None:
        """A session begins after so many epochs; `rows` are those of results.csv."""
        about, known = self._about, [dict(row) for row in rows if row["epoch"] <= epochs]
        if about is not None:
            self._send(partial(_begin, about=about, rows=known))

    def hear(self, event: Event) -> None:
        """Pass on one event, but no single step, and tell what the trackers have to say."""
        if not isinstance(event, StepDone):
            self._send(lambda worker: worker.tracker.hear(event))
        self._pass_on()

    def finish(self, outcome: Outcome) -> None:
        """The training has ended, or is to go on another day. Only the first call counts."""
        if not self._finished:
            self._finished = True
            self._send(lambda worker: worker.tracker.finish(outcome))

    def close(self, wait: float = WAIT) -> None:
        """Wait at most so many seconds until the trackers know everything, and say what they do not know."""
        self.finish(Outcome("stopped"))
        until = time.monotonic() + wait
        for worker in self._workers:
            worker.end()
        total = len(self._workers)
        while (behind := [one for one in self._workers if not one.gone]) and time.monotonic() < until:
            done = total - len(behind)
            self.tell(Advance("trackers", done, total, "trackers", detail=f"waiting for {behind[0].name}"))
            behind[0].wait(min(0.2, max(0.0, until - time.monotonic())))
            self._pass_on()
        if self._workers:
            self.tell(Advance("trackers", total, total, "trackers"))
        self._pass_on()
        for worker in self._workers:
            if worker.missing:
                what = f"{worker.missing} message{'s' * (worker.missing != 1)} not delivered in {wait:.0f} s"
                self.tell(Note(f"{worker.name}: {what}; everything is in the run folder.", warning=True))

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            self.finish(Outcome("failed"))
        self.close()

    def _send(self, message: "_Message") -> None:
        for worker in self._workers:
            worker.put(message)

    def _pass_on(self) -> None:
        """Tell, in the training's thread, what the trackers' threads have noted."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.tell(self._notes.get_nowait())


class _Worker:
    """One tracker, its thread, and the messages that wait for it."""

    def __init__(self, name: str, tracker: Tracker, note: Callable[[Note], None]) -> None:
        self.name, self.tracker, self.note = name, tracker, note
        self._waiting = queue.Queue[_Message | None](MOST_WAITING)
        self._sent = self._done = 0
        self._left = threading.Event()
        self._dropped = self._ending = False
        threading.Thread(target=self._work, name=f"tracker {name}", daemon=True).start()

    @property
    def gone(self) -> bool:
        """Has its thread ended?"""
        return self._left.is_set()

    @property
    def missing(self) -> int:
        """Messages that it was to hear, and has not; that it is over is one of them."""
        return 0 if self._dropped else self._sent - self._done

    def put(self, message: "_Message") -> None:
        """Let a message wait; where too many do, the oldest of them is given up, and counts as missing."""
        if not self._dropped and not self._ending:
            self._sent += 1
            while True:
                with contextlib.suppress(queue.Full):
                    return self._waiting.put_nowait(message)
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()

    def end(self) -> None:
        """There are no more messages."""
        if not self._ending:
            self._ending = True
            self._sent += 1
            with contextlib.suppress(queue.Full):  # then there is another message to wake it
                self._waiting.put_nowait(None)

    def wait(self, seconds: float) -> None:
        """Wait for the end of the thread, at most so long."""
        self._left.wait(seconds)

    def _work(self) -> None:
        try:
            while not (self._ending and self._waiting.empty()):
                message = self._waiting.get()
                if message is not None:
                    message(self)
                    self._done += 1
            self.tracker.close()
            self._done += 1
        except BaseException as error:  # some libraries leave with SystemExit
            self._dropped = True
            rest = "everything is in the run folder" if self._ending else "the training goes on without it"
            self.note(Note(f"{self.name}: {_words(error)}; {rest}.", warning=True))
            with contextlib.suppress(BaseException):
                self.tracker.close()
        finally:
            self._left.set()


_Message = Callable[[_Worker], None]


def _begin(worker: _Worker, *, about: About, rows: Rows) -> None:
    """Begin a session, and note where to look at it."""
    where = worker.tracker.begin(about, rows)
    if where:
        worker.note(Note(f"{worker.name}: {where}"))


def _words(error: BaseException) -> str:
    """What went wrong, in one line without a full stop.

    >>> _words(ValueError("No such place.  Try another."))
    'No such place. Try another'
    """
    return (" ".join(str(error).split()) or type(error).__name__)[:500].rstrip(".")
