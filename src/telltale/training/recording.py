"""`recorded`: a training is written down in its log, its trackers and its mirrors, which were tried before it began."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from telltale.data.download import is_url
from telltale.errors import PlaceError
from telltale.progress import Note, Tell
from telltale.storage.folder import FolderPlace
from telltale.storage.place import Place
from telltale.storage.places import check_round_trip, open_place
from telltale.training.log import EVENTS, EventLog
from telltale.training.mirroring import Mirrors, Standing
from telltale.training.recipe import Recipe, read_time
from telltale.training.run import Run
from telltale.training.trackers import open_trackers
from telltale.training.trackers.board import WAIT, Trackers
from telltale.training.trackers.tracker import Outcome

GRACE: Final = 20.0
"""Seconds that a stopped training waits for its mirrors: machines that are taken away leave about 30."""

LAST_MOMENT: Final = 5.0
"""Seconds at least for the report, whatever the checkpoints before it took."""


def open_mirrors(urls: Sequence[str], tell: Tell) -> list[Place]:
    """The places behind these URLs, each with a small file written, read back and deleted; else `PlaceError`."""
    if not urls:
        return []
    known = [url if is_url(url) else os.path.abspath(url) for url in urls]
    for number, one in enumerate(known):
        if one in known[:number]:
            raise PlaceError(
                f"The mirror {urls[number]} was given twice.", expected="Different places.", do="Leave one of them out."
            )
    with ThreadPoolExecutor(len(urls)) as pool:
        opened = list(pool.map(_open, urls))
    for place, seconds in opened:
        same = isinstance(place, FolderPlace) and place.path.stat().st_dev == Path.cwd().stat().st_dev
        disk = " It lies on the same disk as this folder." if same else ""
        tell(Note(f"Mirror {place.url}: written, read and deleted a small file in {seconds:.1f} s.{disk}"))
    return [place for place, _ in opened]


def check_apart(places: Sequence[Place], folder: Path, what: str) -> None:
    """Raise `PlaceError` where a mirror lies in `folder`: what it holds would become a part of that."""
    for place in places:
        if isinstance(place, FolderPlace) and place.path.is_relative_to(os.path.abspath(folder)):
            raise PlaceError(
                f"The mirror {place.url} lies in {what}, {str(folder)!r}.",
                expected="A place of its own: what is sent there would become a part of what is sent.",
                do="Give another --mirror, best on another disk.",
            )


def _open(url: str) -> tuple[Place, float]:
    place = open_place(url)
    return place, check_round_trip(place)


@dataclass(frozen=True)
class Recording:
    """What listens to the training in `run` and is told how it ended."""

    run: Run
    log: EventLog
    trackers: Trackers
    mirrors: Mirrors
    wait: float

    def settle(self) -> tuple[Standing, ...]:
        """Every checkpoint is in every mirror now, or the wait for them is over: how they stand."""
        self.mirrors.settle(self.wait)
        return self.mirrors.standings()

    def tell_outcome(self, outcome: Outcome) -> None:
        """The training is over, and this is what it is worth."""
        for part, figures in {"test": outcome.test, "validation": outcome.validation}.items():
            if figures:
                self.log.record("Evaluation", part=part, metrics=figures)
        self.trackers.finish(outcome)

    def finish(self) -> tuple[Standing, ...]:
        """The run folder is complete: bring it to the mirrors that have everything else, and say how all stand."""
        behind = any(one.missing or one.error for one in self.mirrors.standings())
        self.mirrors.settle(LAST_MOMENT if behind else max(self.wait, LAST_MOMENT), result=True)
        return self.mirrors.standings()


@contextlib.contextmanager
def recorded(run: Run, recipe: Recipe, places: Sequence[Place], tell: Tell) -> Iterator[Recording]:
    """Inside the block everything that happens in `run` is brought to `places`; a stop waits a little for them."""
    log = EventLog(run.folder / EVENTS, tell=tell)
    mirrors = Mirrors(places, run, keep=recipe.keep, tell=tell)
    trackers, patience = open_trackers(recipe.trackers, tell=tell), WAIT
    try:
        heard = replace(run, listeners=(log, trackers, mirrors))
        yield Recording(heard, log, trackers, mirrors, read_time(recipe.mirror_wait))
    except KeyboardInterrupt:
        trackers.finish(Outcome("stopped"))
        patience = LAST_MOMENT
        if places and not mirrors.settle(GRACE):
            tell_lacking(mirrors.standings(), tell)
        raise
    except BaseException:
        trackers.finish(Outcome("failed"))
        mirrors.settle(GRACE)
        raise
    finally:
        trackers.close(patience)
        mirrors.close()


def tell_lacking(standings: Sequence[Standing], tell: Tell) -> None:
    """Warn of the mirrors that do not have everything."""
    for one in standings:
        if one.missing or one.error:
            tell(Note(f"Not everything is in a mirror: {one}", warning=True))
