"""What a tracker is told: `About` at the start, each event, `Outcome` at the end; `Tracker` is who can be told so."""

import socket
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit

from telltale.training.about import About
from telltale.training.events import EpochDone, Event

Rows: TypeAlias = Sequence[Mapping[str, float]]
"""Rows of results.csv, one per epoch: epoch, train_loss, val_loss, val_accuracy, lr; epoch 0 is the probe before."""

Figure: TypeAlias = tuple[float, float, float]
"""A metric and the ends of its 95 % interval."""

End: TypeAlias = Literal["finished", "stopped", "failed"]

SCALARS: Final = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "val_accuracy": "accuracy/validation",
    "lr": "learning_rate",
}
"""Column of results.csv to what every tracker calls it."""

_PORTS: Final = {"http": 80, "https": 443}

_PATIENCE: Final = 3.0
"""Seconds for the look whether anybody is there."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended: whether well, and if so what it is worth, in figures and in pictures."""

    end: End = "finished"
    test: Mapping[str, Figure] = field(default_factory=dict)
    validation: Mapping[str, Figure] = field(default_factory=dict)
    confusion: bytes = b""
    """PNG of the test's confusion matrix."""
    samples: bytes = b""
    """PNG of test pictures with what they are and what they were called."""

    @property
    def figures(self) -> dict[str, float]:
        """Every figure by name: `test/accuracy`, and the ends of its interval as `test/accuracy_low` and `_high`."""
        found = dict[str, float]()
        for part, figures in {"test": self.test, "validation": self.validation}.items():
            for name, (value, low, high) in figures.items():
                # Beside the curve `accuracy/validation` of the epochs: these are of the final classifier.
                found |= {f"{part}/{name}": value, f"{part}/{name}_low": low, f"{part}/{name}_high": high}
        return found

    @property
    def pictures(self) -> dict[str, bytes]:
        """The pictures that there are, by name."""
        named = {"confusion_matrix": self.confusion, "samples": self.samples}
        return {name: picture for name, picture in named.items() if picture}


class Tracker(Protocol):
    """A program that shows how trainings go; all methods but `check` are called in one thread, which may wait in them.

    What is raised there is told to the user, and the tracker hears no more.
    """

    package: ClassVar[str]
    """The module that must be there."""

    def check(self) -> str:
        """Before anything is trained, in the user's thread: what can be seen not to work, as a sentence; else ''."""

    def begin(self, about: About, rows: Rows) -> str:
        """A session begins: `rows` are the epochs so far. Where it can be looked at, as a sentence, or ''."""

    def hear(self, event: Event) -> None:
        """Take note of one event of the training; single steps are not told."""

    def finish(self, outcome: Outcome) -> None:
        """The training has ended, well or not, or is to go on another day."""

    def close(self) -> None:
        """The session is over: nothing comes after this. May be called without the calls before."""


def row_of(event: EpochDone) -> dict[str, float]:
    """The row of results.csv that an event is about."""
    return {"epoch": event.epoch, **{name: getattr(event, name) for name in SCALARS}}


def scalars_of(row: Mapping[str, float]) -> dict[str, float]:
    """The figures of one epoch by their names in trackers; those that it lacks (the probe has no rate) are left out.

    >>> scalars_of({"epoch": 1, "train_loss": 0.5, "lr": 0.001})
    {'loss/train': 0.5, 'learning_rate': 0.001}
    """
    return {name: float(row[column]) for column, name in SCALARS.items() if column in row}


def find_fault(url: str) -> str:
    """Why nobody can be reached at an `http` or `https` address, as a sentence; '' where somebody can, or maybe.

    >>> find_fault("sqlite:///mlflow.db")
    ''
    """
    place = urlsplit(url)
    if place.scheme not in _PORTS or not place.hostname or _goes_through_proxy(place):
        return ""
    port = place.port or _PORTS[place.scheme]
    try:
        socket.create_connection((place.hostname, port), timeout=_PATIENCE).close()
    except OSError as error:
        return f"Nobody answers at {place.hostname}:{port} ({error.strerror or error})."
    return ""


def _goes_through_proxy(place: SplitResult) -> bool:
    """Would a request go to another machine than the one that is named?"""
    through = urllib.request.getproxies().get(place.scheme)
    return bool(through) and not urllib.request.proxy_bypass(place.hostname or "")
