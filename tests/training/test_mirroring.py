"""Mirrors are brought up to date beside the training: it never waits for them, and nothing is forgotten."""

import json
import threading
import time

import pytest
from tests.training.mirror_tools import RUN, Odd, begin, make_run, save

from telltale.errors import PlaceError
from telltale.progress import Note
from telltale.storage.folder import FolderPlace
from telltale.storage.place import Away
from telltale.training.events import CheckpointSaved, EpochDone
from telltale.training.holding import list_holdings
from telltale.training.mirroring import Mirrors, Pace, Standing

PACE = Pace(first=0.005, most=0.02)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "here" / "pets")


@pytest.fixture
def place(tmp_path):
    place = FolderPlace(str(tmp_path / "mirror"))
    place.open()
    return place


def epoch_of(mark):
    return CheckpointSaved(mark.epoch, mark.step, mark.name)


def pass_by(verb, name):
    """Nothing odd."""


def epochs(place):
    (holding,) = list_holdings(place)
    return [mark.epoch for mark in holding.marks[""]]


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.002)


def test_every_epoch_arrives_while_the_training_goes_on(run, place):
    store, told = begin(run), []
    mirrors = Mirrors([place], run, keep=2, tell=told.append, pace=PACE)
    for epoch in (1, 2, 3):
        mirrors.hear(epoch_of(save(store, epoch)))
        until(lambda epoch=epoch: mirrors.standings()[0].last.startswith(f"epoch-000{epoch}-"))
    assert mirrors.settle(10)
    mirrors.close()
    assert epochs(place) == [3, 2]
    assert mirrors.standings() == (Standing(place.url, store.marks()[0].name),)
    assert not [one for one in told if isinstance(one, Note)]


def test_a_mirror_that_hangs_costs_the_training_nothing(run, place):
    store, gate = begin(run), threading.Event()
    odd = Odd(place, lambda verb, name: gate.wait(30) and None)
    mirrors = Mirrors([odd], run, keep=2, tell=print, pace=PACE)
    start = time.perf_counter()
    for epoch in range(1, 6):
        mirrors.hear(epoch_of(save(store, epoch)))
        mirrors.hear(EpochDone(epoch, 1.0, 1.0, 0.5, 0.1, seconds=1.0, improved=True))
    assert time.perf_counter() - start < 5
    assert not mirrors.settle(0.05)
    gate.set()
    assert mirrors.settle(10)
    assert epochs(place)[:2] == [5, 4]
    mirrors.close()


def test_absence_is_said_once_and_so_is_the_return(run, place):
    store, told, away = begin(run), [], threading.Event()
    away.set()

    def refuse(verb, name):
        if away.is_set():
            raise Away("connection refused")

    mirrors = Mirrors([Odd(place, refuse)], run, keep=2, tell=told.append, pace=PACE)
    for epoch in range(1, 4):
        mirrors.hear(epoch_of(save(store, epoch)))
    until(lambda: mirrors._workers[0]._warned)
    assert not mirrors.settle(0.05)
    (standing,) = mirrors.standings()
    assert (standing.missing, standing.last, standing.error) == (2, "", "connection refused.")
    assert str(standing) == f"{place.url} has nothing yet, 2 checkpoints missing (connection refused.)"
    said = json.loads((run.folder / "mirrors.json").read_text())["mirrors"]
    assert said[0] == {"url": place.url, "last": "", "missing": 2, "result": False, "error": "connection refused."}
    away.clear()
    assert mirrors.settle(10)
    mirrors.close()
    assert epochs(place) == [3, 2]
    assert [one.text for one in told if isinstance(one, Note)] == [
        f"The mirror {place.url} is not reached: connection refused. What is missing is sent when it takes it again.",
        f"The mirror {place.url} is back, and has everything up to here.",
    ]
    assert json.loads((run.folder / "mirrors.json").read_text())["mirrors"][0]["missing"] == 0


def test_a_long_wait_is_said_and_can_be_ended(run, place, monkeypatch):
    monkeypatch.setattr("telltale.training.mirroring._PATIENCE", 0.05)
    told, gate = [], threading.Event()

    def tell(message):
        told.append(message.text)
        if message.text.startswith("Waiting for"):
            raise KeyboardInterrupt

    mirrors = Mirrors([Odd(place, lambda verb, name: gate.wait(30) and None)], run, keep=2, tell=tell, pace=PACE)
    mirrors.hear(epoch_of(save(begin(run), 1)))
    start = time.monotonic()
    assert not mirrors.settle(30)
    assert time.monotonic() - start < 10
    assert told == [
        f"Waiting for {place.url}, 30 s at most. Ctrl-C ends the wait.",
        "Not waiting for the mirrors any longer.",
    ]
    gate.set()
    mirrors.close()


def test_one_lost_connection_is_not_worth_a_word(run, place):
    store, told, calls = begin(run), [], []

    def refuse_twice(verb, name):
        calls.append(verb)
        if len(calls) in (2, 5):
            raise Away("reset")

    mirrors = Mirrors([Odd(place, refuse_twice)], run, keep=2, tell=told.append, pace=PACE)
    mirrors.hear(epoch_of(save(store, 1)))
    assert mirrors.settle(10)
    mirrors.close()
    assert not [one for one in told if isinstance(one, Note)]


def test_one_mirror_does_not_wait_for_another(run, tmp_path, place):
    store, gate = begin(run), threading.Event()
    other = FolderPlace(str(tmp_path / "other"))
    other.open()
    stuck = Odd(other, lambda verb, name: gate.wait(30) and None)
    mirrors = Mirrors([stuck, place], run, keep=2, tell=print, pace=PACE)
    mirrors.hear(epoch_of(save(store, 1)))
    until(lambda: mirrors.standings()[1].last)
    assert mirrors.standings()[0].last == ""
    gate.set()
    assert mirrors.settle(10)
    assert epochs(other) == epochs(place) == [1]
    mirrors.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PlaceError("No room is left in 'x'.", expected="Room.", do="Free some."),
            "No room is left in 'x'. Free some.",
        ),
        (OSError(107, "Transport endpoint is not connected"), "Transport endpoint is not connected."),
        (KeyError("what"), "KeyError: 'what'."),
    ],
    ids=["refusal", "system", "ours"],
)
def test_whatever_goes_wrong_the_training_goes_on(run, place, error, words):
    def fail(verb, name):
        raise error

    mirrors = Mirrors([Odd(place, fail)], run, keep=2, tell=print, pace=PACE)
    mirrors.hear(epoch_of(save(begin(run), 1)))
    assert not mirrors.settle(0.05)
    mirrors.close()
    assert words in mirrors.standings()[0].error


def test_a_clear_no_is_not_waited_for(run, place):
    def fail(verb, name):
        raise PlaceError("No room in 'x'.", expected="Room.", do="Free some.")

    mirrors = Mirrors([Odd(place, fail)], run, keep=2, tell=print, pace=Pace(first=5, most=5))
    mirrors.hear(epoch_of(save(begin(run), 1)))
    start = time.monotonic()
    assert not mirrors.settle(60)
    assert not mirrors.settle(60), "it is tried again, at once"
    assert time.monotonic() - start < 5
    mirrors.close()


def test_after_a_day_of_absence_it_is_still_tried(run, place):
    calls = []

    def refuse(verb, name):
        calls.append(verb)
        if len(calls) < 1100:
            raise Away("no route to host")

    mirrors = Mirrors([Odd(place, refuse)], run, keep=2, tell=lambda note: None, pace=Pace(first=1e-9, most=1e-6))
    mirrors.hear(epoch_of(save(begin(run), 1)))
    assert mirrors.settle(60)
    mirrors.close()
    assert epochs(place) == [1]


def test_whoever_waits_does_not_wait_for_a_long_rest(run, place):
    calls = []

    def refuse_once(verb, name):
        calls.append(verb)
        if len(calls) == 1:
            raise Away("reset")

    mirrors = Mirrors([Odd(place, refuse_once)], run, keep=2, tell=print, pace=Pace(first=60, most=60))
    mirrors.hear(epoch_of(save(begin(run), 1)))
    until(lambda: calls)
    start = time.monotonic()
    assert mirrors.settle(30)
    assert time.monotonic() - start < 10
    mirrors.close()


def test_a_server_that_asks_for_rest_gets_it(run, place):
    calls = []

    def later(verb, name):
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise Away("429", wait=0.3)

    mirrors = Mirrors([Odd(place, later)], run, keep=2, tell=print, pace=PACE)
    mirrors.hear(epoch_of(save(begin(run), 1)))
    assert mirrors.settle(10)
    mirrors.close()
    assert calls[1] - calls[0] >= 0.3


def test_the_result_comes_last(run, place):
    mirrors = Mirrors([place], run, keep=2, tell=print, pace=PACE)
    mirrors.hear(epoch_of(save(begin(run), 1)))
    assert mirrors.settle(10)
    assert not mirrors.standings()[0].result
    run.bundle.mkdir()
    (run.bundle / "classifier.json").write_text("{}")
    assert mirrors.settle(10, result=True)
    assert mirrors.standings()[0].result
    assert str(mirrors.standings()[0]) == f"{place.url} has everything"
    assert list((place.path / f"pets-{RUN}").glob("result-*/model.telltale/classifier.json"))
    mirrors.close()


def test_after_the_end_no_thread_is_left(run, place):
    mirrors = Mirrors([place], run, keep=2, tell=print, pace=PACE)
    mirrors.close()
    until(lambda: not [one for one in threading.enumerate() if one.name == f"mirror {place.url}"])
