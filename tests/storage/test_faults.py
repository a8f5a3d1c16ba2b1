"""Mirrors behind a line that fails in every way: the training does not wait, and in the end everything is there."""

import time

import pytest
from tests.storage.fault_proxy import BUSY, LATER, SKEWED, Fault
from tests.training.mirror_tools import begin, make_run, save

from telltale.errors import PlaceError
from telltale.progress import Note, silent
from telltale.storage.places import open_place
from telltale.training.events import CheckpointSaved
from telltale.training.holding import list_holdings, restore
from telltale.training.mirroring import Mirrors, Pace
from telltale.training.store import STATE, Store

# Connections that a server has dropped are left to the garbage collector by the libraries.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

PACE = Pace(first=0.02, most=0.1)
EPOCHS = 4
FAULTS = {
    "busy": BUSY,
    "rate limit": LATER,
    "reset in the request": Fault("reset-request"),
    "reset in the answer": Fault("reset-answer"),
    "stall": Fault("stall", seconds=0.15),
    "short range": Fault("short"),
    "truncated": Fault("truncate"),
    "flipped on the way back": Fault("flip"),
    "flipped on the way there": Fault("flip-request"),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("telltale.training.holding.PAUSE", 0.01)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "here" / "pets")


def train(run, mirrors, between=lambda epoch: None):
    """Save some epochs; the longest that the training waited for its mirrors, in seconds."""
    store, longest = begin(run), 0.0
    for epoch in range(1, EPOCHS + 1):
        mark = save(store, epoch, best=epoch == 2)
        start = time.perf_counter()
        mirrors.hear(CheckpointSaved(mark.epoch, mark.step, mark.name))
        longest = max(longest, time.perf_counter() - start)
        between(epoch)
    return longest


def check(anywhere, tmp_path):
    """Everything is in the mirror, and comes back."""
    (holding,) = list_holdings(open_place(anywhere.url))
    back = restore(holding, tmp_path / "empty", silent)
    assert Store(back.weights, back.id).newest(print).epoch == EPOCHS
    for folder in (tmp_path / "here" / "pets" / "weights").glob("epoch-*"):
        mirrored = [name for name in holding.names if folder.name in name]
        assert len(mirrored) == 3, "state, settings, manifest"


def fail(anywhere, run, tmp_path, faults):
    """Train while every few requests one of the faults happens."""
    mirrors = Mirrors([open_place(anywhere.url)], run, keep=2, tell=silent, pace=PACE)
    # gcsfs waits a second by itself after each.
    every, most = (3, 60) if not anywhere.url.startswith("gs") else (7, 60)
    numbers = {every * place + 2: faults[place % len(faults)] for place in range(most // every)}
    anywhere.proxy.rule = lambda request: numbers.get(request.number)
    longest = train(run, mirrors)
    assert mirrors.settle(60), mirrors.standings()
    mirrors.close()
    anywhere.proxy.clear()
    check(anywhere, tmp_path)
    assert longest < 0.2


def test_all_that_can_fail_in_turn(anywhere, run, tmp_path):
    fail(anywhere, run, tmp_path, list(FAULTS.values()))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_thing_fails_again_and_again(anywhere, run, tmp_path, fault):
    fail(anywhere, run, tmp_path, [fault])


@pytest.mark.parametrize("fault", [FAULTS[name] for name in ("short range", "truncated", "flipped on the way back")])
def test_what_comes_back_wrong_is_asked_for_again(anywhere, run, tmp_path, fault):
    mirrors = Mirrors([open_place(anywhere.url)], run, keep=2, tell=silent, pace=PACE)
    train(run, mirrors)
    assert mirrors.settle(60)
    mirrors.close()
    anywhere.proxy.add(fault, method="GET", path=STATE, times=2)
    check(anywhere, tmp_path)


def test_an_hour_of_absence(anywhere, run, tmp_path):
    """An hour of a day's training, as a part of a second of this one."""
    told = []
    mirrors = Mirrors([open_place(anywhere.url)], run, keep=2, tell=told.append, pace=PACE)

    def go(epoch):
        if epoch == 1:
            assert mirrors.settle(30)
            anywhere.proxy.go_away()
        if epoch == 3:
            time.sleep(0.3)
            anywhere.proxy.come_back()

    train(run, mirrors, go)
    assert mirrors.settle(60), mirrors.standings()
    mirrors.close()
    check(anywhere, tmp_path)


def test_away_to_the_end_is_said(anywhere, run):
    mirrors = Mirrors([open_place(anywhere.url, pause=0.01)], run, keep=2, tell=silent, pace=PACE)
    anywhere.proxy.go_away()
    train(run, mirrors)
    assert not mirrors.settle(0.5)
    mirrors.close()
    assert mirrors.standings()[0].missing == 3
    anywhere.proxy.come_back()


def test_a_clock_that_is_wrong_is_one_message(s3, run):
    s3.proxy.rule = lambda request: SKEWED
    with pytest.raises(PlaceError, match="does not accept this machine's clock"):
        open_place(s3.url, pause=0.01)


def test_credentials_that_are_withdrawn_meanwhile_are_said_and_the_training_goes_on(s3, run):
    told = []
    mirrors = Mirrors([open_place(s3.url)], run, keep=2, tell=told.append, pace=PACE)
    body = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>"
    s3.proxy.rule = lambda request: Fault("answer", 400, (("Content-Type", "application/xml"),), body)
    train(run, mirrors)
    time.sleep(0.3)
    assert not mirrors.settle(0.3)
    assert "they have expired or were withdrawn" in mirrors.standings()[0].error
    s3.proxy.clear()
    assert mirrors.settle(30), "whoever logs in anew while it trains loses nothing"
    mirrors.close()
    notes = [one.text for one in told if isinstance(one, Note)]
    assert len(notes) == 2
    assert notes[0].startswith(f"The mirror {s3.url} refuses: ")
    assert notes[1] == f"The mirror {s3.url} is back, and has everything up to here."
