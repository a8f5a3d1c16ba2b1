"""`open_source`: a folder, an archive, a table or a URL of these becomes a `Source` of samples.

Three layouts are understood: class folders, split folders with class folders in them, and tables.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from telltale.data.archive import ENDINGS, FolderStore, Store, is_archive, open_store
from telltale.data.decoding import EXTENSIONS
from telltale.data.download import download, is_url
from telltale.data.labels import find_labels, label_pictures, read_table
from telltale.data.layout import TABLE_ENDINGS, Layout, list_files, read_class_folders
from telltale.data.store import explain_input, portable_name
from telltale.data.table import Columns
from telltale.errors import SourceError
from telltale.progress import Tell, silent

__all__ = ["Columns", "Source", "list_pictures", "open_source"]

_PLAIN_NAMES: Final = {"labels", "label", "metadata", "train", "index", "data", "annotations", "images"}
"""Names of tables that say nothing about what they describe: the folder's name says more."""


@dataclass(frozen=True)
class Source:
    """Where the pictures are, and what is said about each.

    `samples` has one row per picture: path (in `store`), label, split (`train`, `validation`, `test` or null) and
    group, all text. `location` is what the user gave; `store.location` is what `open_store` opens again.
    """

    location: str
    name: str
    store: Store
    samples: pa.Table
    classes: tuple[str, ...]
    layout: str
    notes: tuple[str, ...]


def open_source(location: str | Path, columns: Columns | None = None, *, tell: Tell = silent) -> Source:
    """The samples of a folder, a zip or tar, a table, or an http(s) URL of an archive or table.

    Pictures are listed, not read. A table counts before folders; notes say what was decided and what was left out.
    Raises `SourceError` where nothing says which picture is of which class.
    """
    wanted = columns or Columns()
    path = _fetch(location, tell)
    if path.suffix.lower() in TABLE_ENDINGS and not path.is_dir():
        store = open_store(path.parent)
        with explain_input(path):
            path.stat()
        table = read_table(store, portable_name(path.name), wanted)
        layout = label_pictures(store, list_files(store), [table], wanted)
    else:
        store = open_store(path, tell=tell)
        layout = _find_layout(store, wanted)
    labels = layout.samples.column("label")
    return Source(
        location=str(location),
        name=name_of(path),
        store=store,
        samples=layout.samples,
        classes=tuple(sorted(pc.unique(labels).drop_null().to_pylist())),
        layout=layout.words,
        notes=layout.notes,
    )


def list_pictures(location: str | Path, *, tell: Tell = silent) -> tuple[Store, list[str]]:
    """The pictures to predict, and where to read them: one file, all of a folder, or all of an archive, sorted.

    A single file is taken at its word: that it is no picture turns out when it is read.
    """
    path = _fetch(location, tell)
    with explain_input(path):
        path.stat()
        single = not path.is_dir() and (path.suffix.lower() in EXTENSIONS or not is_archive(path))
    if single:
        return FolderStore(path.parent), [portable_name(path.name)]
    store = open_store(path, tell=tell)
    return store, list_files(store).pictures.to_pylist()


def name_of(path: Path) -> str:
    """A name for the run's folder.

    >>> name_of(Path("photos/cats_and_dogs.zip")), name_of(Path("birds/labels.csv")), name_of(Path("My Pets.tar.gz"))
    ('cats_and_dogs', 'birds', 'My_Pets')
    """
    path = path.resolve() if path.name in ("", "..") else path
    ending = next((one for one in (*ENDINGS, *TABLE_ENDINGS) if path.name.lower().endswith(one)), "")
    stem = path.name[: len(path.name) - len(ending)]
    if ending in TABLE_ENDINGS and stem.lower() in _PLAIN_NAMES:
        stem = path.absolute().parent.name
    return re.sub(r"[^\w.-]+", "_", stem).strip("._") or "pictures"


def _fetch(location: str | Path, tell: Tell) -> Path:
    """The path on this machine, downloaded first where it is a URL."""
    if isinstance(location, str) and is_url(location):
        return download(location, tell=tell)
    if not str(location):
        raise SourceError(
            "The path is empty.", expected="A folder, an archive, a table or a URL.", do="Check the command."
        )
    return Path(os.path.expanduser(location))


def _find_layout(store: Store, wanted: Columns) -> Layout:
    listing = list_files(store)
    layout, notes = find_labels(store, listing, wanted)
    layout = layout or read_class_folders(listing)
    return Layout(layout.samples, layout.words, layout.notes + notes)
