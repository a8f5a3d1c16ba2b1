"""Whatever a tracker does, the training neither stops nor waits, and somebody is told."""

import threading
import time
from pathlib import Path

import pytest
from tests.training.trackers.session import OUTCOME, about, play, row

from telltale.progress import Note
from telltale.training.events import EpochDone
from telltale.training.trackers import board
from telltale.training.trackers.board import Trackers
from telltale.training.trackers.tracker import Outcome

DONE = [EpochDone(**row(epoch), seconds=1.0, improved=True) for epoch in range(60)]


class Notebook:
    """Writes down what it is told."""

    package = "telltale"

    def __init__(self):
        self.heard = []
        self.threads = set()

    def _note(self, *words):
        self.threads.add(threading.current_thread().name)
        self.heard.append(words)

    def check(self):
        return ""

    def begin(self, about, rows):
        self._note("begin", about.id, [row["epoch"] for row in rows])
        return "a notebook"

    def hear(self, event):
        self._note(type(event).__name__, getattr(event, "epoch", None))

    def finish(self, outcome):
        self._note("finish", outcome.end)

    def close(self):
        self._note("close")


class Raising(Notebook):
    """Fails at one of its methods."""

    def __init__(self, where, error=None):
        super().__init__()
        self.where, self.error = where, error or ConnectionError("no route to host\nat all.")

    def _note(self, *words):
        super()._note(*words)
        if words[0] == self.where:
            raise self.error


class Hanging(Notebook):
    """Hangs in one of its methods, until the test is over."""

    def __init__(self, where, gate):
        super().__init__()
        self.where, self.gate = where, gate

    def _note(self, *words):
        super()._note(*words)
        if words[0] == self.where:
            self.gate.wait(60)


class Slow(Notebook):
    """Takes its time for everything."""

    def _note(self, *words):
        time.sleep(0.01)
        super()._note(*words)


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


def texts(told):
    return [one.text for one in told if isinstance(one, Note)]


def begin(trackers):
    trackers.introduce(about(Path("runs/pets")))
    trackers.begin([row(0)], 0)


def test_a_tracker_hears_all_but_single_steps_in_order_in_a_thread_of_its_own():
    notebook, told = Notebook(), []
    play(Trackers({"notebook": notebook}, tell=told.append), about(Path("runs/pets")), 2, 3, outcome=OUTCOME)
    epoch = ["MemoryShort", "CheckpointSaved", "EpochDone"]
    events = ["begin", "TrainingStarted", *epoch, *epoch, "TrainingStopped", "finish", "close"]
    assert [words[0] for words in notebook.heard] == events
    assert notebook.heard[0] == ("begin", "0a1b2c3d", [0, 1])
    assert notebook.heard[-2] == ("finish", "finished")
    assert notebook.threads == {"tracker notebook"}
    assert texts(told) == ["notebook: a notebook"]


def test_rows_of_lost_epochs_are_not_told():
    notebook = Notebook()
    with Trackers({"notebook": notebook}, tell=print) as trackers:
        trackers.introduce(about(Path("runs/pets")))
        trackers.begin([row(epoch) for epoch in range(6)], 2)
    assert notebook.heard[0] == ("begin", "0a1b2c3d", [0, 1, 2])


@pytest.mark.parametrize(
    ("error", "end"), [(None, "stopped"), (KeyboardInterrupt(), "stopped"), (ValueError(), "failed")]
)
def test_an_end_that_nobody_announced_is_told_too(error, end):
    notebook = Notebook()
    try:
        with Trackers({"notebook": notebook}, tell=print):
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert notebook.heard == [("finish", end), ("close",)]


def test_only_the_first_end_counts():
    notebook = Notebook()
    with Trackers({"notebook": notebook}, tell=print) as trackers:
        trackers.finish(Outcome("failed"))
        trackers.finish(OUTCOME)
        trackers.close()
    assert notebook.heard == [("finish", "failed"), ("close",)]


@pytest.mark.parametrize("where", ["begin", "EpochDone", "finish", "close"])
def test_what_a_tracker_raises_is_told_once_and_the_others_go_on(where):
    raising, notebook, told = Raising(where), Notebook(), []
    play(
        Trackers({"raising": raising, "notebook": notebook}, tell=told.append), about(Path("x")), 1, 3, outcome=OUTCOME
    )
    warnings = [one for one in told if isinstance(one, Note) and one.warning]
    assert len(warnings) == 1
    assert warnings[0].text.startswith("raising: no route to host at all; ")
    assert warnings[0].text.endswith(("the training goes on without it.", "everything is in the run folder."))
    assert raising.heard[-1] == ("close",)
    assert [words[0] for words in raising.heard].count(where) == 1 + (where == "close")
    assert notebook.heard[-1] == ("close",)


def test_a_tracker_that_leaves_the_program_leaves_alone():
    told = []
    play(Trackers({"raising": Raising("begin", SystemExit(1))}, tell=told.append), about(Path("x")), 1, 1)
    (text,) = texts(told)
    assert text.startswith("raising: 1; ")


def test_the_warning_comes_from_the_thread_of_the_training():
    told = []
    trackers = Trackers({"raising": Raising("begin")}, tell=lambda one: told.append(threading.current_thread()))
    begin(trackers)
    while not told:
        trackers.hear(DONE[1])
        time.sleep(0.001)
    trackers.close()
    assert set(told) == {threading.main_thread()}


@pytest.mark.parametrize("kind", ["raising", "hanging", "slow"])
def test_hearing_takes_no_time(kind, gate):
    tracker = {"raising": Raising("EpochDone"), "hanging": Hanging("EpochDone", gate), "slow": Slow()}[kind]
    trackers = Trackers({kind: tracker}, tell=lambda one: None)
    begin(trackers)
    took = []
    for event in DONE:
        start = time.perf_counter()
        trackers.hear(event)
        took.append(time.perf_counter() - start)
    gate.set()
    assert sorted(took)[len(took) // 2] < 0.005  # a slow one takes 0.01 s for each
    assert sum(took) < 0.3
    trackers.close()
    if kind == "slow":
        assert len(tracker.heard) == len(DONE) + 3, "begin, finish and close, and nothing is lost"


@pytest.mark.parametrize("where", ["begin", "finish", "close"])
def test_the_end_waits_a_while_and_says_what_was_not_delivered(where, gate):
    told = []
    trackers = Trackers({"hanging": Hanging(where, gate)}, tell=told.append)
    begin(trackers)
    trackers.hear(DONE[1])
    start = time.perf_counter()
    trackers.close(wait=0.2)
    assert 0.15 < time.perf_counter() - start < 5
    missing = {"begin": "4 messages", "finish": "2 messages", "close": "1 message"}[where]
    assert texts(told)[-1] == f"hanging: {missing} not delivered in 0 s; everything is in the run folder."


def test_what_waits_is_limited(gate, monkeypatch):
    monkeypatch.setattr(board, "MOST_WAITING", 5)
    hanging, told = Hanging("begin", gate), []
    trackers = Trackers({"hanging": hanging}, tell=told.append)
    begin(trackers)
    while not hanging.heard:
        time.sleep(0.001)
    for event in DONE:
        trackers.hear(event)
    gate.set()
    trackers.close(wait=10)
    assert [words[0] for words in hanging.heard] == ["begin", *["EpochDone"] * 4, "finish", "close"]
    assert [words[1] for words in hanging.heard[1:5]] == [56, 57, 58, 59]
    assert texts(told)[-1] == "hanging: 56 messages not delivered in 10 s; everything is in the run folder."
