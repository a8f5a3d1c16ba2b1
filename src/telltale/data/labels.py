"""Labels from tables: which table counts, which file each row means, and that no two rows disagree."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.layout import SAMPLES, SPLITS, Layout, Listing, has_class_folders, join, parent, place_folder
from telltale.data.store import FolderStore, Store
from telltale.data.table import FLAGS, Columns, check_complete, column_names, find_columns, read_rows
from telltale.errors import SourceError

PICTURE_FOLDERS: Final = "train training images image imgs img pictures photos data jpg jpeg png".split()
"""Folders where a table's pictures usually lie, the likeliest first."""

_MOST_TABLES: Final = 50
_MOST_FOLDERS: Final = 200
_OUTSIDE: Final = r"(^|/)\.\.(/|$)|^/|^[A-Za-z]:|^[A-Za-z][A-Za-z0-9+.-]*://"


@dataclass(frozen=True)
class LabelTable:
    """One table that was read: where it lies, its columns, its rows as text, the split that its name says."""

    path: str
    columns: Columns
    rows: pa.Table
    split: str = ""

    @property
    def folder(self) -> str:
        return parent(self.path)


def read_table(store: Store, path: str, wanted: Columns, *, guess: bool = True) -> LabelTable:
    """The table at `path`; raises `SourceError` where it cannot say pictures and labels."""
    try:
        data = store.read(path)
    except OSError as error:
        raise SourceError(
            f"The table {path!r} cannot be read ({error.strerror or error}).",
            expected="A table in CSV, TSV, JSONL or Parquet.",
            do="Check the file, or copy it again.",
        ) from error
    columns = find_columns(column_names(data, path), wanted, path, guess=guess)
    table = LabelTable(path, columns, read_rows(data, path, columns), split_of_name(path))
    if table.rows.num_rows in (table.rows.column("image").null_count, table.rows.column("label").null_count):
        check_complete(table.rows, path, columns)
    return table


def split_of_name(path: str) -> str:
    """The split that a table's name says, or its folder's; empty where none.

    >>> split_of_name("birds/train.csv"), split_of_name("test/labels.csv"), split_of_name("labels.csv")
    ('train', 'test', '')
    """
    words = (
        re.split(r"[^a-z]+", path.rpartition("/")[2].rpartition(".")[0].lower()) + parent(path).lower().split("/")[::-1]
    )
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def find_labels(store: Store, listing: Listing, wanted: Columns) -> tuple[Layout | None, tuple[str, ...]]:
    """The samples of the tables that qualify, or None; and a note for each table that does not.

    A table qualifies that has a column for pictures and one for labels, and names pictures that are there. Where there
    are class folders, both columns must have usual names: any two columns would do otherwise.
    """
    paths = _near_tables(listing)
    if not paths and wanted:
        raise SourceError(
            f"Columns are named, but there is no table in {listing.location!r}.",
            expected="A CSV, TSV, JSONL or Parquet file beside the pictures.",
            do=f"Give the table itself, or leave out {' and '.join(FLAGS.values())}.",
        )
    folders_say = has_class_folders(listing)
    for guess in (False,) if folders_say else (False, True):
        tables, problems = _qualify(store, listing, wanted, paths, guess)
        if tables:
            layout = label_pictures(store, listing, tables, wanted)
            return layout, tuple(f"{error.given} It is not used." for error in problems)
    if problems and (wanted or not folders_say):
        raise problems[0]
    return None, tuple(f"{error.given} The class folders are used." for error in problems)


def label_pictures(store: Store, listing: Listing, tables: Sequence[LabelTable], wanted: Columns) -> Layout:
    """The samples that the tables name, each picture once; raises `SourceError` where they contradict each other."""
    notes: list[str] = []
    parts = []
    for table in tables:
        check_complete(table.rows, table.path, table.columns)
        images = clean_paths(table.rows.column("image").combine_chunks(), store, table)
        splits, unread = read_splits(table, wanted)
        notes += unread
        paths, found = _find_pictures(images, splits, listing, table)
        notes += _describe_missing(images, found, table)
        columns = [paths, table.rows.column("label"), splits, table.rows.column("group")]
        parts.append(pa.table(columns, schema=SAMPLES))
        notes.append(
            f"{table.path}: pictures from column {table.columns.image!r}, labels from {table.columns.label!r}."
        )
    names = [table.path for table in tables]
    samples, twice = _merge(parts, names)
    if twice:
        notes.append(f"{twice:,} rows name a picture again, with the same label: each picture counts once.")
    words = ("table " if len(names) == 1 else "tables ") + ", ".join(name.rpartition("/")[2] for name in names)
    return Layout(_split_by_folder(samples, listing.root), words, tuple(notes))


def clean_paths(images: Any, store: Store, table: LabelTable) -> Any:
    """The pictures' names with `/` between parts and relative to the table; `SourceError` where one leads outside."""
    images = pc.replace_substring(images, "\\", "/")
    images = pc.replace_substring_regex(images, r"^(\./+)+", "")
    if isinstance(store, FolderStore):
        for folder in {store.folder.absolute(), store.folder.resolve()}:
            root = Path(folder, table.folder).as_posix().rstrip("/") + "/"
            images = pc.if_else(pc.starts_with(images, root), pc.utf8_slice_codeunits(images, len(root)), images)
    outside = pc.match_substring_regex(images, _OUTSIDE)
    if pc.any(outside).as_py():
        raise SourceError(
            f"The table {table.path!r} names {images.filter(outside)[0].as_py()!r}, which is not below its own folder.",
            expected="Pictures named relative to the table, in its folder or below.",
            do="Move the table to a folder above the pictures and shorten the names.",
        )
    return images


def resolve(images: Any, listing: Listing, base: str, split: str = "") -> NDArray[np.int64]:
    """For each name the number of its picture in `listing`, -1 where there is none.

    Looked for in the table's folder, then in folders with usual names, then in all others, those of a test last;
    with the ending as given, then without one. A name with `é` as one sign finds a file with `é` as two, and back.
    """
    found = _resolve_as_written(images, listing, base, split)
    lost = np.flatnonzero(found < 0)
    if len(lost) and not pc.all(pc.string_is_ascii(images.take(pa.array(lost)))).as_py():
        folders = [unicodedata.normalize("NFC", folder) for folder in listing.folders]
        composed = replace(listing, pictures=pc.utf8_normalize(listing.pictures, "NFC"), folders=folders)
        names = pc.utf8_normalize(images.take(pa.array(lost)), "NFC")
        found[lost] = _resolve_as_written(names, composed, unicodedata.normalize("NFC", base), split)
    return found


def _resolve_as_written(images: Any, listing: Listing, base: str, split: str) -> NDArray[np.int64]:
    found = np.full(len(images), -1, np.int64)
    for folder in _search_order(listing, base, split):
        below = pc.starts_with(listing.pictures, f"{folder}/") if folder else None
        places = np.arange(len(listing.pictures)) if below is None else np.flatnonzero(below.to_numpy(False))
        for column in (listing.pictures, listing.stems):
            rows = np.flatnonzero(found < 0)
            if not len(rows):
                return found
            names = column if below is None else pc.utf8_slice_codeunits(column.filter(below), len(folder) + 1)
            at = pc.index_in(images.take(pa.array(rows)), value_set=names).fill_null(-1).to_numpy(False)
            found[rows[at >= 0]] = places[at[at >= 0]]
    return found


def _near_tables(listing: Listing) -> list[str]:
    """Tables at the top, beside what branches off, or one folder below; not what is to be handed in to a contest."""
    near = [path for path in listing.tables if {parent(path), parent(parent(path))} & set(listing.chain)]
    near = [path for path in near if "submission" not in path.rpartition("/")[2].lower()]
    return sorted(near, key=lambda path: ("label" not in path.lower(), path.count("/"), path))[:_MOST_TABLES]


def _qualify(
    store: Store, listing: Listing, wanted: Columns, paths: list[str], guess: bool
) -> tuple[list[LabelTable], list[SourceError]]:
    tables, problems = [], []
    for path in paths:
        try:
            table = read_table(store, path, wanted, guess=guess)
            images = table.rows.column("image").drop_null().combine_chunks()
            if (resolve(clean_paths(images, store, table), listing, table.folder, table.split) < 0).all():
                raise explain_all_missing(images, listing, table)
        except SourceError as error:
            problems.append(error)
        else:
            tables.append(table)
    return tables, problems


def read_splits(table: LabelTable, wanted: Columns) -> tuple[Any, list[str]]:
    """The split of every row, from its column, else from the table's name; and a note where the column says none."""
    name, rows = table.columns.split, table.rows.num_rows
    fallback = pa.array([table.split or None], pa.string()).take(pa.array(np.zeros(rows, np.int64)))
    if not name:
        return fallback, []
    encoded = table.rows.column("split").combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    strange = [value for value in values if value.lower() not in SPLITS]
    if not strange:
        splits = pa.array([SPLITS[value.lower()] for value in values], pa.string()).take(encoded.indices)
        return pc.coalesce(splits, fallback), []
    shown = ", ".join(repr(value) for value in strange[:3])
    if wanted.split:
        raise SourceError(
            f"In {table.path!r} the column {name!r} says {shown}.",
            expected=f"One of {', '.join(SPLITS)}.",
            do="Rename those values, or leave out --split-col.",
        )
    return fallback, [f"{table.path}: column {name!r} is not taken for the split, because it says {shown}."]


def _find_pictures(images: Any, splits: Any, listing: Listing, table: LabelTable) -> tuple[Any, NDArray[np.bool_]]:
    """Path of every row's picture, a guess where it is missing, and which were found; raises where all are missing."""
    numbers = np.full(len(images), -1, np.int64)
    for split in pc.unique(splits).to_pylist():
        same = pc.is_null(splits) if split is None else pc.equal(splits, split).fill_null(False)
        rows = np.flatnonzero(same.to_numpy(False))
        numbers[rows] = resolve(images.take(pa.array(rows)), listing, table.folder, split or "")
    found = numbers >= 0
    if not found.any():
        raise explain_all_missing(images, listing, table)
    paths = listing.pictures.take(pa.array(numbers, mask=~found))
    base = pa.scalar(f"{table.folder}/" if table.folder else "")
    return pc.coalesce(paths, pc.binary_join_element_wise(base, images, "")), found


def explain_all_missing(images: Any, listing: Listing, table: LabelTable) -> SourceError:
    """None of a table's pictures is there: which, and where they were looked for."""
    named = ", ".join(repr(name) for name in images.slice(0, 3).to_pylist())
    places = [join(listing.location, folder) for folder in _search_order(listing, table.folder, "")[:3]]
    return SourceError(
        f"None of the {len(images):,} pictures that {table.path!r} names is there: {named}.",
        expected=f"Pictures by these names, with or without their ending, in {', '.join(map(repr, places))}.",
        do="Put the table beside the pictures, or name another column with --image-col.",
    )


def _describe_missing(images: Any, found: NDArray[np.bool_], table: LabelTable) -> list[str]:
    lost = np.flatnonzero(~found)
    if not len(lost):
        return []
    first = images[int(lost[0])].as_py()
    return [f"{len(lost):,} of {len(images):,} pictures that {table.path!r} names are missing, such as {first!r}."]


def _search_order(listing: Listing, base: str, split: str) -> list[str]:
    """Folders in which a table's names may start, the likeliest first."""
    folders = {base}
    for folder in listing.folders:
        while folder not in folders:
            folders.add(folder)
            folder = parent(folder)

    def rank(folder: str) -> tuple[bool, int, int, str]:
        inside = not base or folder == base or folder.startswith(f"{base}/")
        parts = (folder[len(base) :] if inside else folder).lower().strip("/").split("/")
        splits = {SPLITS[part] for part in parts if part in SPLITS}
        usual = [PICTURE_FOLDERS.index(part) for part in parts if part in PICTURE_FOLDERS]
        if folder == base:
            likely = 0
        elif split and split in splits:
            likely = 1
        else:
            likely = 90 if "test" in splits else 2 + min(usual, default=50)
        return (not inside, likely, folder.count("/"), folder)

    return sorted(folders, key=rank)[:_MOST_FOLDERS]


def _merge(parts: list[pa.Table], names: list[str]) -> tuple[pa.Table, int]:
    """All rows, each picture once in the order of first mention, and how many were dropped."""
    rows = pa.concat_tables(parts).combine_chunks()
    pictures = rows.column("path").combine_chunks().dictionary_encode()
    if len(pictures.dictionary) == rows.num_rows:
        return rows, 0
    codes = pictures.indices.to_numpy()
    columns = {"path": pictures.dictionary}
    for name in ("label", "split", "group"):
        values = rows.column(name).combine_chunks()
        kept, contradicting = _keep_first(codes, values, len(pictures.dictionary))
        if len(contradicting) and name != "group":
            other = int(contradicting[0])
            origin = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
            pair = [(names[origin[row]], values[row].as_py()) for row in (int(kept[codes[other]]), other)]
            raise _explain_contradiction(name, pictures[other].as_py(), pair)
        columns[name] = values.take(pa.array(kept, mask=kept < 0))
    return pa.table(columns, schema=SAMPLES), rows.num_rows - len(pictures.dictionary)


def _keep_first(codes: NDArray[np.int32], values: Any, pictures: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each picture the first row that says a value (-1: none), and the rows that say another one."""
    numbers = values.dictionary_encode().indices.fill_null(-1).to_numpy(False)
    said = np.flatnonzero(numbers >= 0)
    kept = np.full(pictures, -1, np.int64)
    kept[codes[said[::-1]]] = said[::-1]  # backwards: of several, the first is written last
    return kept, said[numbers[said] != numbers[kept[codes[said]]]]


def _explain_contradiction(name: str, path: str, pair: list[tuple[str, str]]) -> SourceError:
    (table, first), (other_table, other) = pair
    where = (
        f"{table!r} and {other_table!r} disagree" if table != other_table else f"The table {table!r} contradicts itself"
    )
    return SourceError(
        f"{where}: the {name} of {path!r} is {first!r} in one row and {other!r} in another.",
        expected=f"One {name} per picture.",
        do="Correct the rows, or give the one table that is right.",
    )


def _split_by_folder(samples: pa.Table, root: str) -> pa.Table:
    """Where no table says a split, but the pictures lie in several split folders: these say it."""
    if samples.column("split").null_count < samples.num_rows:
        return samples
    folders = (
        pc.replace_substring_regex(samples.column("path"), r"(^|/)[^/]*$", "").combine_chunks().dictionary_encode()
    )
    splits = [place_folder(folder, root)[0] or None for folder in folders.dictionary.to_pylist()]
    if len(set(splits) - {None}) < 2:
        return samples
    return samples.set_column(2, "split", pa.array(splits, pa.string()).take(folders.indices))
