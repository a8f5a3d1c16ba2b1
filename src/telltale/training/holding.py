"""`Holding`: what a mirror holds of one run (see mirror.py for how it lies there), and how it comes back from there."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from telltale.errors import BundleError, PlaceError
from telltale.files import MANIFEST, is_outside, make_folder, move, read_facts, read_manifest, sha256_file, write_atomic
from telltale.progress import Advance, Note, Tell
from telltale.storage.patience import patiently
from telltale.storage.place import Away, Place, Stored
from telltale.storage.transfer import fetch
from telltale.training.mirror import LIVE
from telltale.training.run import Run, identify
from telltale.training.store import Mark, find_whole, point, sort_marks

T = TypeVar("T")

TRIES: Final = 5
"""Attempts at what may pass, with a longer wait each time: about half a minute."""

PAUSE: Final = 1.0
"""Seconds before the second attempt."""

COPIES: Final = 3
"""Attempts at a file that arrives damaged."""

_ROOT: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)-(?P<id>[0-9a-f]{8})")
_PARCEL: Final = re.compile(
    rf"(?P<scope>(?:fold-\d+/)?)(?P<parcel>weights/epoch-[^/]+|start\.[0-9a-f]{{8}}|result-\d{{4,}}\.[0-9a-f]{{8}})/{MANIFEST}"
)


@dataclass
class Holding:
    """What `place` holds of the run `id`, below the folder `root` (empty: the place is that folder).

    `names` are all its files. Only parcels with a manifest are in `marks` (checkpoints by scope: empty or `fold-1/`),
    `starts` and `results`; whether they are whole is known when they are fetched.
    """

    place: Place
    root: str
    name: str
    id: str
    names: dict[str, Stored] = field(default_factory=dict)
    marks: dict[str, list[Mark]] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs that are done in the newest checkpoint."""
        return max((mark.epoch for marks in self.marks.values() for mark in marks), default=0)

    @property
    def finished(self) -> int:
        """Epochs of the newest finished result; -1 where there is none."""
        return max((int(name[len("result-") :].split(".")[0]) for name in self.results), default=-1)

    def __str__(self) -> str:
        epochs = max(self.epochs, self.finished)
        state = "finished" if self.finished >= self.epochs else "stopped" if epochs else "begun"
        return f"{self.name}-{self.id} ({state} after {epochs} epoch{'s' * (epochs != 1)})"


def list_holdings(place: Place) -> list[Holding]:
    """What `place` holds of each run; of one where the place is itself the folder of a run.

    Only folders that are called like runs are looked into: there may be millions of other files.
    """
    own = _ROOT.fullmatch(place.url.rstrip("/").rpartition("/")[2])
    holdings = [_look(place, "", own)] if own else []
    holdings += [
        _look(place, root[0], root) for root in map(_ROOT.fullmatch, persist(lambda: place.folders(), place)) if root
    ]
    return [one for one in holdings if one.marks or one.starts or one.results]


def _look(place: Place, root: str, named: re.Match[str]) -> Holding:
    holding = Holding(place, root, named["name"], named["id"])
    for name, stored in persist(lambda: place.list(root), place).items():
        rest = name.removeprefix(f"{root}/") if root else name
        if not is_outside(rest):
            _note(holding, rest, stored)
    holding.marks = {scope: sort_marks(marks) for scope, marks in holding.marks.items()}
    holding.results.sort(reverse=True)
    return holding


def _note(holding: Holding, name: str, stored: Stored) -> None:
    holding.names[name] = stored
    parcel = _PARCEL.fullmatch(name)
    if parcel is None:
        return
    if parcel["parcel"].startswith("weights/"):
        mark = Mark.parse(parcel["parcel"].removeprefix("weights/"))
        if mark and mark.run == holding.id:
            holding.marks.setdefault(parcel["scope"], []).append(mark)
    elif not parcel["scope"]:
        (holding.starts if parcel["parcel"].startswith("start.") else holding.results).append(parcel["parcel"])


def restore(holding: Holding, folder: Path, tell: Tell) -> Run:
    """Bring the run back into `folder`: what it began with, and the newest checkpoint that arrives whole.

    A folder that holds the same run already gets only what is newer there. Damaged checkpoints are told of, and the one
    before is taken. Raises `BundleError` where nothing whole is left, `PlaceError` where the place stops answering.
    """
    run = Run(make_folder(folder))
    if not (folder / "run.json").is_file():
        identify(run, holding.id, name=holding.name)
    if not (folder / "recipe.toml").is_file():
        _restore_start(holding, folder, tell)
    for scope, marks in sorted(holding.marks.items()):
        mark = _restore_newest(holding, scope, marks, folder, tell)
        if mark is not None:
            settings = folder / scope / "weights" / mark.name / "recipe.toml"
            write_atomic(folder / scope / "recipe.toml", settings.read_bytes())
    for scope in {"", *holding.marks}:
        for name in LIVE:
            _restore_live(holding, f"{scope}{name}", folder)
    if holding.results and holding.finished >= holding.epochs and not run.bundle.is_dir():
        _restore_result(holding, folder, tell)
    if not (folder / "recipe.toml").is_file() or not (folder / "index.arrow").is_file():
        raise BundleError(
            f"{holding.place.url} holds nothing whole of {holding}.",
            expected="What the training began with: its settings, pictures and parts.",
            do="Try another mirror, or start a new training.",
        )
    return run


def _restore_newest(holding: Holding, scope: str, marks: list[Mark], folder: Path, tell: Tell) -> Mark | None:
    """The newest checkpoint of a scope, from there or, where that is as new, from here."""
    weights = make_folder(folder / scope / "weights")
    here = find_whole(weights, holding.id, lambda text: None)
    for mark in marks:
        if here is not None and here.place >= mark.place:
            return here
        try:
            with fetched(holding, f"{scope}weights/{mark.name}", weights / f".{mark.name}.tmp", tell) as temporary:
                shutil.rmtree(weights / mark.name, ignore_errors=True)
                move(temporary, weights / mark.name)
        except BundleError as error:
            tell(Note(f"{holding.place.url}: {error.given} The checkpoint before it is used.", warning=True))
        else:
            facts = read_facts(weights / mark.name / MANIFEST)
            point(weights, mark, facts, best=bool(facts.get("best")))
            tell(Note(f"Fetched {mark.name} from {holding.place.url}: it matches its manifest."))
            return mark
    if here is None and marks:
        raise BundleError(
            f"No checkpoint in {holding.place.url} is whole; the newest is {marks[0].name}.",
            expected="At least one whose files match their manifest.",
            do="Try another mirror, or start a new training.",
        )
    return here


def _restore_start(holding: Holding, folder: Path, tell: Tell) -> None:
    for name in holding.starts:
        try:
            with fetched(holding, name, folder / f".{name}.tmp", tell) as temporary:
                for path in sorted(temporary.iterdir()):
                    if path.name != MANIFEST:
                        path.replace(folder / path.name)
                return
        except BundleError as error:
            tell(Note(f"{holding.place.url}: {error.given}", warning=True))


def _restore_result(holding: Holding, folder: Path, tell: Tell) -> None:
    """The finished run; a damaged one is told of: the training then ends once more from its last checkpoint."""
    name = holding.results[0]
    try:
        with fetched(holding, name, folder / f".{name}.tmp", tell) as temporary:
            (temporary / MANIFEST).unlink()
            bundle = temporary / "model.telltale"
            if bundle.is_dir():  # last, for it says that the run is finished
                shutil.rmtree(folder / ".model.telltale.tmp", ignore_errors=True)
                bundle.replace(folder / ".model.telltale.tmp")
            shutil.copytree(temporary, folder, dirs_exist_ok=True)
            move(folder / ".model.telltale.tmp", folder / "model.telltale")
    except BundleError as error:
        tell(Note(f"{holding.place.url}: {error.given}", warning=True))


@contextmanager
def fetch_start(holding: Holding) -> Iterator[Path | None]:
    """Inside the block a folder with the small files that the run began with; None where they are not whole there."""
    with tempfile.TemporaryDirectory(prefix="telltale-") as temporary:
        for start in holding.starts:
            folder = make_folder(Path(temporary, start))
            try:
                _fetch_manifest(holding, start, folder)
                listed = read_manifest(folder / MANIFEST)
                for name in ("recipe.toml", "source.json"):
                    _fetch_file(holding, f"{start}/{name}", folder / name, listed.get(name, (0, "")))
            except BundleError:
                continue
            yield folder
            return
        yield None


def _restore_live(holding: Holding, name: str, folder: Path) -> None:
    """A table of the training so far, where there is none here; without it, it is made from the checkpoint."""
    stored = holding.names.get(name)
    if stored is not None and not (folder / name).exists():
        target = make_folder((folder / name).parent) / Path(name).name
        place, path = holding.place, _join(holding.root, name)
        persist(lambda: fetch(place, path, target, stored.size), place)


@contextmanager
def fetched(holding: Holding, parcel: str, temporary: Path, tell: Tell) -> Iterator[Path]:
    """Inside the block the parcel lies whole in the folder `temporary`, which is gone afterwards.

    `BundleError` where it does not match its manifest however often it is asked for.
    """
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        make_folder(temporary)
        _fetch_manifest(holding, parcel, temporary)
        listed = read_manifest(temporary / MANIFEST)
        for number, (name, (size, digest)) in enumerate(sorted(listed.items()), start=1):
            target = make_folder((temporary / name).parent) / Path(name).name
            _fetch_file(holding, f"{parcel}/{name}", target, (size, digest))
            tell(Advance(f"fetch {parcel.rpartition('/')[2]}", number, len(listed), "files"))
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fetch_manifest(holding: Holding, parcel: str, temporary: Path) -> None:
    """The manifest, asked for again where it does not match its own hash."""
    stored, target = holding.names[f"{parcel}/{MANIFEST}"], temporary / MANIFEST
    for attempt in range(1, COPIES + 1):
        path = _join(holding.root, f"{parcel}/{MANIFEST}")
        persist(lambda path=path: fetch(holding.place, path, target, stored.size), holding.place)  # type: ignore[misc]
        try:
            read_manifest(target)
        except BundleError as error:
            if attempt == COPIES:
                given = f"The manifest of {parcel} is damaged."
                raise BundleError(given, expected=error.expected, do=error.do) from error
        else:
            return


def _fetch_file(holding: Holding, name: str, target: Path, wanted: tuple[int, str]) -> None:
    """One file, asked for again where it arrives damaged."""
    size, digest = wanted
    path, stored = _join(holding.root, name), holding.names.get(name)
    if stored is not None and stored.size == size:
        for _ in range(COPIES):
            persist(lambda: fetch(holding.place, path, target, size), holding.place)
            if sha256_file(target) == digest:
                return
    raise BundleError(
        f"{name} is missing or damaged: it does not match its manifest.",
        expected=f"{size} bytes with SHA-256 {digest[:12]}…",
        do="Try another mirror.",
    )


def persist(work: Callable[[], T], place: Place) -> T:
    """What `work` gives, tried for about half a minute; `PlaceError` where the place does not answer for so long.

    `BundleError` where somebody has removed a file since it was listed.
    """
    try:
        return patiently(work, tries=TRIES, pause=PAUSE)
    except FileNotFoundError as error:
        raise BundleError(
            f"A file of a checkpoint in {place.url} has vanished ({error.filename or error}).",
            expected="A mirror that nobody else changes meanwhile.",
            do="Run the same command again.",
        ) from error
    except Away as error:
        raise PlaceError(
            f"{place.url} does not answer ({error}).",
            expected="A place that can be reached: there is something to fetch from it.",
            do="Check the connection, then run the same command again.",
        ) from error


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name
