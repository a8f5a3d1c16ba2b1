"""`Rehearsal`: a training in a process of its own that waits after each step, so that it can be killed where one likes.

The process runs this file. One JSON object per line: in comes the task, then an empty line as leave for each step; out
comes what a `tell` hears, an error for the user as its kind and parts, or the end.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from telltale import errors
from telltale.data.source import Columns
from telltale.delivery.pipeline import resume, train
from telltale.errors import RecipeError, UserError
from telltale.progress import Advance, Note, Tell
from telltale.training.recipe import Recipe

_STEPS: Final = "train"
"""The stage whose advances are the steps of the training loop."""


@dataclass(frozen=True)
class Task:
    """What to train: `train` with these arguments into the folder `run`, or `resume` there."""

    run: str
    source: str
    columns: dict[str, str]
    settings: dict[str, Any]
    device: str
    resume: bool = False


class Rehearsal:
    """A training of `task` in a process of its own, which ends with the block at the latest."""

    def __init__(self, task: Task, tell: Tell) -> None:
        self.tell = tell
        # A session of its own, so that Ctrl-C in the terminal does not stop it in its own way.
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", __name__], start_new_session=True, **pipes
        )
        self._write(json.dumps(asdict(task)))

    def __enter__(self) -> "Rehearsal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def steps(self) -> Iterator[Advance]:
        """After each step how far it is; the next one begins when the next value is asked for.

        Raises what the training raises for the user, and `RecipeError` where the process ended before the training.
        """
        for message in self._messages():
            if isinstance(message, Advance) and message.stage == _STEPS:
                yield message
                self._write("")
            else:
                self.tell(message)
        if self.process.wait():
            raise RecipeError(
                f"The process of the training ended by itself with exit code {self.process.returncode}.",
                expected="A training that runs to its end.",
                do="See what it said above, or train without --prove-resume.",
            )

    def kill(self, seconds: float) -> Advance | None:
        """Let the next step begin, and kill the process after so many seconds: how far it came since, if it told."""
        self._write("")
        time.sleep(seconds)
        self.process.kill()
        told = [one for one in self._messages() if isinstance(one, Advance) and one.stage == _STEPS]
        return told[-1] if told else None

    def _messages(self) -> Iterator[Advance | Note]:
        for line in self.process.stdout or ():
            if not line.endswith("\n"):  # killed while it wrote
                return
            content = json.loads(line)
            if "error" in content:
                raise getattr(errors, content.pop("error"))(**content)
            yield Note(**content) if "text" in content else Advance(**content)

    def _write(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, and why is in what it wrote
            print(line, file=self.process.stdin, flush=True)


def main() -> None:
    """Do the task on standard input."""
    task = Task(**json.loads(sys.stdin.readline()))
    try:
        if task.resume:
            resume(task.run, device=task.device, tell=_tell)
        else:
            settings = task.settings | {"augment": tuple(task.settings["augment"])}
            recipe, columns = Recipe(**settings), Columns(**task.columns)
            train(task.source, recipe, columns=columns, output=task.run, device=task.device, tell=_tell)
    except UserError as error:
        parts = {"given": error.given, "expected": error.expected, "do": error.do}
        print(json.dumps({"error": type(error).__name__, **parts}), flush=True)


def _tell(message: Advance | Note) -> None:
    print(json.dumps(asdict(message)), flush=True)
    if isinstance(message, Advance) and message.stage == _STEPS and not sys.stdin.readline():
        raise SystemExit("The process that rehearses this training is gone.")


if __name__ == "__main__":
    main()
