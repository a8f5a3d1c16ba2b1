"""`Mirrors`: all second places of a run, each kept up to date in a thread of its own while the training goes on.

The training only says that there is something new. What is sent lies on this machine's disk, so nothing is held in
memory, and a mirror that is slow or away costs the training nothing: it is caught up when it answers again.
"""

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from telltale.errors import OutputError, PlaceError
from telltale.files import write_json
from telltale.progress import Note, Tell
from telltale.storage.place import Away, Place
from telltale.training.events import CheckpointSaved, Event, Listener, TrainingStarted
from telltale.training.mirror import Mirror
from telltale.training.run import Run

STANDINGS: Final = "mirrors.json"
"""File in the run folder that says what is where."""

_VERSION: Final = 1
_WORTH_A_WORD: Final = 3
"""Failures in a row before somebody is told: one lost connection is usual. A clear no is told at once."""

_PATIENCE: Final = 2.0
"""Seconds of waiting before it is said."""

_REMINDER: Final = 30.0
"""Seconds between that and saying it again."""

_NICE: Final = 10
"""How much a mirror's thread steps back behind the training where both want the processor."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait, in seconds, before a mirror that failed is tried again: `first`, doubled up to `most`."""

    first: float = 1.0
    most: float = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How one mirror stands: its newest whole checkpoint, how many it lacks, and what went wrong last, if anything."""

    url: str
    last: str = ""
    missing: int = 0
    result: bool = False
    """Is the finished run there, with its classifier and report?"""
    error: str = ""

    def __str__(self) -> str:
        what = (
            "everything" if self.result and not self.missing else f"up to {self.last}" if self.last else "nothing yet"
        )
        lacks = f", {self.missing} checkpoint{'s' * (self.missing != 1)} missing" if self.missing else ""
        return f"{self.url} has {what}{lacks}{f' ({self.error})' if self.error else ''}"


class Mirrors(Listener):
    """Keeps `places` up to date with the folder of `run`: a listener of the training's events."""

    def __init__(self, places: Sequence[Place], run: Run, *, keep: int, tell: Tell, pace: Pace = Pace()) -> None:
        self.run, self.tell = run, tell
        self._notes = queue.SimpleQueue[Note]()
        self._writing = threading.Lock()
        self._workers: list[_Worker] = []
        for number, place in enumerate(places):
            mirror = Mirror(place, run, keep=keep, number=number)
            self._workers.append(_Worker(mirror, pace, self._notes.put, self._write))

    def hear(self, event: Event) -> None:
        """Let the mirrors know that there is something to send, and pass on what they have to say."""
        if isinstance(event, CheckpointSaved | TrainingStarted):
            for worker in self._workers:
                worker.wake()
        self._pass_on()

    def standings(self) -> tuple[Standing, ...]:
        """How each mirror stands now."""
        return tuple(replace(one.standing, missing=len(one.mirror.missing())) for one in self._workers)

    def settle(self, wait: float, *, result: bool = False) -> bool:
        """Wait at most so many seconds until everything here is there too: is it?

        With `result` that includes the finished run folder.
        """
        for worker in self._workers:
            worker.wake(result=result, soon=True)
        try:
            self._wait(wait)
        except KeyboardInterrupt:
            self.tell(Note("Not waiting for the mirrors any longer.", warning=True))
        self._pass_on()
        return all(worker.settled for worker in self._workers)

    def _wait(self, seconds: float) -> None:
        """Wait until all are settled, at most so long; say so now and then."""
        start, said = time.monotonic(), _PATIENCE
        while behind := [one for one in self._workers if not one.settled and not one.hopeless]:
            passed = time.monotonic() - start
            if passed >= seconds:
                return
            if passed >= said:
                names = " and ".join(one.url for one in behind)
                self.tell(Note(f"Waiting for {names}, {seconds - passed:,.0f} s at most. Ctrl-C ends the wait."))
                said += _REMINDER
            behind[0].wait(min(0.2, seconds - passed))
            self._pass_on()

    def close(self) -> None:
        """Stop now. What is missing is sent when the training goes on."""
        for worker in self._workers:
            worker.let_go()
        self._pass_on()

    def _write(self) -> None:
        """Say in the run folder what is where."""
        content = {"mirrors": [asdict(one) for one in self.standings()]}
        with self._writing, contextlib.suppress(OutputError, OSError):  # a full disk: the same is printed
            write_json(self.run.folder / STANDINGS, "mirrors", _VERSION, content)

    def _pass_on(self) -> None:
        """Tell, in the training's thread, what the mirrors' threads have noted."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.tell(self._notes.get_nowait())


class _Worker:
    """One mirror and its thread; `note` takes what somebody should hear, `changed` is called after each attempt."""

    def __init__(self, mirror: Mirror, pace: Pace, note: Callable[[Note], None], changed: Callable[[], None]) -> None:
        self.mirror, self.pace, self.note, self.changed = mirror, pace, note, changed
        self.url = mirror.place.url
        self.standing = Standing(self.url)
        """How it stood after the last attempt, but for what is missing."""
        self._change = threading.Condition()
        self._asked = self._done = 0
        self._with_result = self._gone = self._warned = self._soon = False
        self._refused = -1
        self._wanted_rest, self._final = 0.0, False
        threading.Thread(target=self._work, name=f"mirror {self.url}", daemon=True).start()

    @property
    def settled(self) -> bool:
        """Is everything there that was here when it was last woken?"""
        return self._done == self._asked

    @property
    def hopeless(self) -> bool:
        """Was it refused since it was last woken, by a no that will stay one?"""
        return self._refused == self._asked

    def wake(self, *, result: bool = False, soon: bool = False) -> None:
        """There is something to send; with `result` the finished run folder, too; `soon`: somebody waits for it."""
        with self._change:
            self._asked += 1
            self._with_result |= result
            self._soon |= soon
            self._change.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait for the end of an attempt, at most so long."""
        with self._change:
            if not self.settled:
                self._change.wait(seconds)

    def let_go(self) -> None:
        """End at the next opportunity, whatever is missing."""
        with self._change:
            self._gone = True
            self._change.notify_all()

    def _work(self) -> None:
        _step_back()
        failures = 0
        while True:
            with self._change:
                self._change.wait_for(lambda: self._gone or not self.settled)
                if self._gone:
                    return
                asked, self._soon = self._asked, False
            failures = 0 if self._try() else failures + 1
            self._warn(failures)
            with contextlib.suppress(Exception):  # what is said of it must not end it
                self.changed()
            with self._change:
                if not failures:
                    self._done = asked
                elif self._final:
                    self._refused = asked
                self._change.notify_all()
                if failures:
                    # News do not shorten it: each would be another attempt at a server that asked to be left alone.
                    self._rest(failures)

    def _rest(self, failures: int) -> None:
        """Wait before the next attempt; `wake` with `soon` ends the wait, unless the server asked for it."""
        rest = min(self.pace.most, self.pace.first * 2 ** min(failures - 1, 30))
        if self._wanted_rest > rest:
            self._change.wait_for(lambda: self._gone, self._wanted_rest)
        else:
            self._change.wait_for(lambda: self._gone or self._soon, rest)

    def _try(self) -> bool:
        """Send what there is: did all of it arrive?"""
        error, result, self._wanted_rest, self._final = "", False, 0.0, False
        try:
            if self._with_result:
                self.mirror.send_result()
                result = True
            else:
                self.mirror.send()
        except Away as caught:
            error, self._wanted_rest = _words(caught), caught.wait
        except (PlaceError, OSError) as caught:
            error, self._final = _words(caught), isinstance(caught, PlaceError)
        except Exception as caught:  # a fault of ours must not go unseen, and not end the training
            error = f"{type(caught).__name__}: {_words(caught)}"
        self.standing = Standing(self.url, self.mirror.newest(), result=result, error=error)
        return not error

    def _warn(self, failures: int) -> None:
        """Say once that the mirror is not reached, and once that it is back."""
        if failures >= (1 if self._final else _WORTH_A_WORD) and not self._warned:
            how = "refuses" if self._final else "is not reached"
            what = "What is missing is sent when it takes it again."
            self.note(Note(f"The mirror {self.url} {how}: {self.standing.error} {what}", warning=True))
            self._warned = True
        if self._warned and not failures:
            self.note(Note(f"The mirror {self.url} is back, and has everything up to here."))
            self._warned = False


def _words(error: BaseException) -> str:
    """What went wrong, as a sentence."""
    text = f"{error.given} {error.do}" if isinstance(error, PlaceError) else str(error) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _step_back() -> None:
    """On Linux a thread can have a priority of its own: the training's threads go first."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
