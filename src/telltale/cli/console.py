"""What a person sees: progress, notes, tables, and errors as three short lines."""

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

from telltale.errors import Interrupted, UserError
from telltale.progress import Advance, Note, Tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

INTERRUPTED: Final = 75
_EVERY: Final = 10.0
"""Seconds between two plain lines of progress where there is no terminal."""

_WORTH_A_LINE: Final = 1.0
"""A stage that took less is not worth a line of its own when it is done."""


def say(text: str = "") -> None:
    """One line for the reader, on standard error: standard output is for results that are piped on."""
    typer.echo(text, err=True)


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error that the user can mend into three lines and its exit code; Ctrl-C and SIGTERM into exit code 75."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except UserError as error:
        say(f"error: {error.given}\n  expected: {error.expected}\n  do: {error.do}")
        raise typer.Exit(error.exit_code) from error
    except Interrupted as error:
        say(f"\n{error.text}")
        say(f"next: telltale train --resume {shlex.quote(error.run)}   (as if it had not been stopped)")
        raise typer.Exit(INTERRUPTED) from error
    except KeyboardInterrupt as error:
        say("\nInterrupted. What was seen so far of the pictures and their features is kept for the next command.")
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # The reader of our output (head, a pager) has gone: nothing to say, and nobody to say it to.
        sys.stderr.close()
        raise typer.Exit(0) from error
    except OSError as error:
        say(f"error: {error.strerror or error}{f': {error.filename!r}' if error.filename else ''}")
        say("  expected: a system that can read, write and start what is needed.\n  do: check disk, memory and rights.")
        raise typer.Exit(1) from error


@contextmanager
def progress(*, beside_output: bool = False) -> Iterator[Tell]:
    """A `tell` for long work: a bar with rate and remaining time on a terminal, plain lines elsewhere.

    `beside_output` says that results go to standard output meanwhile: no bar where both are the same terminal.
    """
    if sys.stderr.isatty() and not (beside_output and sys.stdout.isatty()):
        with _bars() as tell:
            yield tell
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    """Progress as rich bars; a stage that is done becomes one line of text."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __call__(self, message: Advance | Note) -> None:
        if isinstance(message, Note):
            from rich.text import Text

            self._bars.console.print(Text(message.text, style="yellow" if message.warning else ""))
            return
        if message.stage not in self._tasks:
            task = self._bars.add_task(message.stage, total=message.total, rate="")
            self._tasks[message.stage] = task, time.perf_counter()
        task, start = self._tasks[message.stage]
        rate = message.done / max(time.perf_counter() - start, 1e-3)
        speed = message.detail or f"{rate:,.0f} {message.unit}/s"
        self._bars.update(task, completed=message.done, total=message.total, rate=speed)
        if message.done == message.total:
            self._bars.remove_task(self._tasks.pop(message.stage)[0])
            took = time.perf_counter() - start
            if took >= _WORTH_A_LINE:
                self._bars.console.print(_done(message, took))


class _Lines:
    """Progress as plain lines: one when a stage is done, and one every few seconds before."""

    def __init__(self) -> None:
        self._stages: dict[str, list[float]] = {}

    def __call__(self, message: Advance | Note) -> None:
        if isinstance(message, Note):
            say(f"{'warning: ' if message.warning else ''}{message.text}")
            return
        now = time.perf_counter()
        start, last = self._stages.setdefault(message.stage, [now, now])
        if message.done == message.total:
            del self._stages[message.stage]
            if now - start >= _WORTH_A_LINE:
                say(_done(message, now - start))
        elif now - last >= _EVERY:
            self._stages[message.stage][1] = now
            of = f" of {message.total:,}" if message.total else ""
            detail = f" ({message.detail})" if message.detail else ""
            say(f"{message.stage}: {message.done:,}{of} {message.unit}{detail}")


def _done(message: Advance, seconds: float) -> str:
    """The line of a finished stage.

    >>> _done(Advance("predict", 10, 10), 2.0)
    'predict: 10 images in 2.0 s (5/s)'
    """
    rate = message.done / max(seconds, 1e-3)
    return f"{message.stage}: {message.done:,} {message.unit} in {seconds:.1f} s ({rate:,.0f}/s)"
