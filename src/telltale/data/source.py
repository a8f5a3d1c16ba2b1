"""`open_source`: a folder, an archive, a table, shards, a data set or a URL of these becomes a `Source` of samples.

Understood are class folders, split folders with class folders in them, tables, the files beside each picture in
WebDataset shards, and the columns of Hugging Face data sets.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from telltale.data.archive import ENDINGS, Store, is_archive, is_remote, local_path, open_store
from telltale.data.class_names import settle_spelling
from telltale.data.decoding import EXTENSIONS
from telltale.data.download import download, is_url
from telltale.data.hub import is_hub
from telltale.data.labels import find_labels, label_pictures, read_table
from telltale.data.layout import (
    TABLE_ENDINGS,
    Layout,
    Listing,
    has_class_folders,
    read_class_folders,
    require_pictures,
    survey,
)
from telltale.data.remote_store import FsspecStore
from telltale.data.row_labels import label_rows
from telltale.data.row_store import RowStore
from telltale.data.shard_labels import read_sidecars
from telltale.data.shard_store import ShardStore, is_pattern, split_pattern
from telltale.data.store import FolderStore, explain_input, portable_name
from telltale.data.table import Columns
from telltale.data.tar_store import TarStore
from telltale.errors import SourceError
from telltale.progress import Tell, silent

__all__ = ["Columns", "Source", "list_pictures", "open_source"]

_PLAIN_NAMES: Final = {"labels", "label", "metadata", "train", "index", "data", "annotations", "images"}
"""Names of tables that say nothing about what they describe: the folder's name says more."""


@dataclass(frozen=True)
class Source:
    """Where the pictures are, and what is said about each.

    `samples` has one row per picture: path (in `store`), label, split (`train`, `validation`, `test` or null) and
    group, all text. `location` is what the user gave; `store.location` is what `open_store` opens again: a path, a
    URL, or a pattern that names shards.
    """

    location: str
    name: str
    store: Store
    samples: pa.Table
    classes: tuple[str, ...]
    layout: str
    notes: tuple[str, ...]


def open_source(location: str | Path, columns: Columns | None = None, *, tell: Tell = silent) -> Source:
    """The samples of a folder, an archive, a table, WebDataset shards or a Hugging Face data set.

    `location` is a path; an http(s) URL of an archive or table; a URL of another kind that fsspec reads (`s3://`,
    `gs://`, `file://`, …) of any of these; a pattern that names shards (`train-{000..012}.tar`); or `hf://user/name`.

    Pictures are listed, not read. A table counts before folders; notes say what was decided and what was left out.
    Class names that look the same are one class. Raises `SourceError` where nothing says which picture is of which
    class.
    """
    wanted = columns or Columns()
    place = _fetch(location, tell)
    if _is_table(place):
        folder, name = _split(place)
        store = open_store(folder)
        if isinstance(place, Path):
            with explain_input(place):
                place.stat()
        table = read_table(store, portable_name(name), wanted)
        listing = survey(store)
        require_pictures(listing)
        layout = label_pictures(store, listing, [table], wanted)
    else:
        store, layout = _find_layout(open_store(place, tell=tell), wanted, tell)
    samples, notes = settle_spelling(layout.samples)
    return Source(
        location=str(location),
        name=name_of(place),
        store=store,
        samples=samples,
        classes=tuple(sorted(pc.unique(samples.column("label")).drop_null().to_pylist())),
        layout=layout.words,
        notes=layout.notes + notes,
    )


def list_pictures(location: str | Path, *, tell: Tell = silent) -> tuple[Store, list[str]]:
    """The pictures to predict, and where to read them: one file, or all that a source holds, sorted.

    A single file is taken at its word: that it is no picture turns out when it is read.
    """
    place = _fetch(location, tell)
    if isinstance(place, Path):
        with explain_input(place):
            place.stat()
            single = not place.is_dir() and (place.suffix.lower() in EXTENSIONS or not is_archive(place))
    else:
        single = PurePosixPath(place).suffix.lower() in EXTENSIONS and is_remote(place)
    if single:
        folder, name = _split(place)
        return open_store(folder), [portable_name(name)]
    store, listing = _look(open_store(place, tell=tell))
    return store, listing.pictures.to_pylist()


def name_of(place: str | Path) -> str:
    """A name for the run's folder.

    >>> name_of(Path("photos/cats_and_dogs.zip")), name_of(Path("birds/labels.csv")), name_of(Path("My Pets.tar.gz"))
    ('cats_and_dogs', 'birds', 'My_Pets')
    >>> name_of("s3://bucket/pets/"), name_of("birds/train-{000..012}.tar"), name_of("hf://user/flowers@main")
    ('pets', 'birds', 'flowers')
    """
    if isinstance(place, Path):
        path = place.resolve() if place.name in ("", "..") else place
    else:
        folder = split_pattern(place)[0] if is_pattern(place) else place
        path = Path(re.split("[@#]", folder)[0] if is_hub(place) else folder)
    ending = next((one for one in (*ENDINGS, *TABLE_ENDINGS) if path.name.lower().endswith(one)), "")
    stem = path.name[: len(path.name) - len(ending)]
    if ending in TABLE_ENDINGS and stem.lower() in _PLAIN_NAMES:
        stem = path.absolute().parent.name
    return re.sub(r"[^\w.-]+", "_", stem).strip("._") or "pictures"


def _fetch(location: str | Path, tell: Tell) -> str | Path:
    """The path on this machine, downloaded first for http(s); the text itself where it is no path."""
    text = str(location)
    if not text:
        raise SourceError(
            "The path is empty.", expected="A folder, an archive, a table or a URL.", do="Check the command."
        )
    if is_hub(text) or is_remote(text):
        return text
    if is_url(text) and text.lower().startswith(("http://", "https://")):
        return download(text, tell=tell)
    path = local_path(location)
    return str(path) if is_pattern(str(path)) and not os.path.lexists(path) else path


def _is_table(place: str | Path) -> bool:
    path = PurePosixPath(str(place))
    return path.suffix.lower() in TABLE_ENDINGS and not (isinstance(place, Path) and place.is_dir())


def _split(place: str | Path) -> tuple[str | Path, str]:
    """The folder of a file, and its name."""
    if isinstance(place, Path):
        return place.parent, place.name
    folder, _, name = place.rstrip("/").rpartition("/")
    return folder, name


def _find_layout(store: Store, wanted: Columns, tell: Tell) -> tuple[Store, Layout]:
    """What says the class of each picture, and the store to read from: shards where the folder holds nothing else."""
    if isinstance(store, RowStore):
        return store, label_rows(store, wanted)
    store, listing = _look(store)
    if isinstance(store, ShardStore):
        layout = read_sidecars(store, store.beside, wanted, tell=tell)
        if layout is None:
            raise SourceError(
                f"The tars in {store.location!r} hold pictures, but nothing beside them that says their class.",
                expected="WebDataset shards: KEY.cls or KEY.json beside each KEY.jpg.",
                do="Give one of the tars by its own name where each holds class folders, or unpack them.",
            )
        return store, layout
    if isinstance(store, TarStore) and not has_class_folders(listing):
        layout = read_sidecars(store, open_store(_split(_as_place(store.location))[0]), wanted, tell=tell)
        if layout is not None:
            return store, layout
    found, notes = find_labels(store, listing, wanted)
    found = found or read_class_folders(listing)
    return store, Layout(found.samples, found.words, found.notes + notes)


def _as_place(location: str) -> str | Path:
    return location if is_remote(location) else Path(location)


def _look(store: Store) -> tuple[Store, Listing]:
    """What a store holds; of a folder that has tars and no pictures, what these hold."""
    listing = survey(store)
    whole = isinstance(store, FsspecStore) or (isinstance(store, FolderStore) and store.location == str(store.folder))
    if whole and not len(listing.pictures) and any(path.endswith(".tar") for path in listing.others):
        store = open_store(f"{store.location}/**/*.tar")
        listing = survey(store)
    require_pictures(listing)
    return store, listing
