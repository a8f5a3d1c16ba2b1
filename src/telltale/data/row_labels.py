"""Labels of a Hugging Face data set: which column says the class, and what its numbers mean."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from telltale.data.labels import LabelTable, read_splits
from telltale.data.layout import SAMPLES, SPLITS, Layout
from telltale.data.row_store import WHOLE, RowStore, picture_columns
from telltale.data.table import FLAGS, NAMES, Columns, as_text, explain_unknown, find_usual
from telltale.errors import SourceError


def label_rows(store: RowStore, wanted: Columns) -> Layout:
    """The samples of a data set's rows; `SourceError` where no column holds pictures or says their class.

    Rows without a label (-1, as test splits on the hub often have) and splits by unusual names beside usual ones are
    left out, and a note says how many.
    """
    known = {part: split_of_part(part) for part in store.parts}
    used = [part for part in store.parts if known[part] or not any(known.values())]
    notes, tables = [], []
    for part in used:
        columns, more = _find_columns(store, part, wanted)
        rows, unread = _read_part(store, part, columns, wanted)
        tables.append(rows)
        notes += [*more, *unread]
    samples = pa.concat_tables(tables)
    lost = samples.column("label").null_count
    if lost:
        notes.append(f"{lost:,} {'row has no label and is' if lost == 1 else 'rows have no label and are'} left out.")
        samples = samples.filter(pc.is_valid(samples.column("label")))
    notes += [
        f"{len(store.parts[part]):,} rows of the split {part!r} are left out: it is none of train, validation, test."
        for part in store.parts
        if part not in used
    ]
    words = ", ".join(used) if used != [WHOLE] else f"{samples.num_rows:,} rows"
    return Layout(samples, f"Hugging Face data set, {words}", tuple(dict.fromkeys(notes)))


def split_of_part(part: str) -> str:
    """The split that the name of a part says; empty where none.

    >>> split_of_part("train"), split_of_part("Validation"), split_of_part("rows")
    ('train', 'validation', '')
    """
    return SPLITS.get(part.lower(), "")


def _find_columns(store: RowStore, part: str, wanted: Columns) -> tuple[Columns, list[str]]:
    rows = store.parts[part]
    names = list(rows.column_names)
    for role in NAMES:
        if getattr(wanted, role) and getattr(wanted, role) not in names:
            raise explain_unknown(getattr(wanted, role), names, store.location)
    pictures = picture_columns(rows)
    image = wanted.image or store.default(part)
    if image not in pictures:
        raise SourceError(
            f"The data set {store.location!r} has no column with pictures"
            + (f" named {wanted.image!r}" if wanted.image else "")
            + f": its columns are {', '.join(map(repr, names))}.",
            expected="A column of the kind Image, or of bytes.",
            do="Name it with --image-col, or choose another data set.",
        )
    others = [name for name in names if name not in pictures]
    classes = [name for name in others if class_names(rows, name) is not None]
    label = wanted.label or find_usual("label", classes) or (classes[0] if classes else find_usual("label", others))
    if not label:
        raise SourceError(
            f"The data set {store.location!r} has no column that says the class of a picture: "
            f"its columns are {', '.join(map(repr, names))}.",
            expected=f"One of the kind ClassLabel, or named {', '.join(NAMES['label'][:4])} or the like.",
            do=f"Name the column with {FLAGS['label']}.",
        )
    notes = [f"Pictures from column {image!r}, labels from {label!r}."]
    if len(classes) > 1 and not wanted.label:
        also = ", ".join(repr(name) for name in classes if name != label)
        notes.append(f"There are labels in {also} too: choose with {FLAGS['label']}.")
    split = wanted.split or ("" if split_of_part(part) else find_usual("split", others))
    return Columns(image, label, split, wanted.group or find_usual("group", others)), notes


def class_names(rows: Any, column: str) -> list[str] | None:
    """The names behind the numbers of a `ClassLabel` column; None for a column of another kind."""
    feature = rows.features[column]
    return list(feature.names) if type(feature).__name__ == "ClassLabel" and feature.names else None


def _read_part(store: RowStore, part: str, columns: Columns, wanted: Columns) -> tuple[pa.Table, list[str]]:
    chosen = {role: getattr(columns, role) for role in ("label", "split", "group") if getattr(columns, role)}
    rows = store.parts[part]
    table = rows.select_columns(list(dict.fromkeys(chosen.values()))).with_format("arrow")[:]
    texts = {
        role: _named(table.column(name), class_names(rows, name), name, store.location) for role, name in chosen.items()
    }
    empty = pa.nulls(table.num_rows, pa.string())
    said = pa.table({role: texts.get(role, empty) for role in ("label", "split", "group")})
    splits, notes = read_splits(LabelTable(store.location, columns, said, split_of_part(part)), wanted)
    paths = pa.array(store.name_rows(part, columns.image), pa.string())
    notes = [re.sub(r"^.*?: column", "Column", note) for note in notes]
    return pa.table([paths, said.column("label"), splits, said.column("group")], schema=SAMPLES), notes


def _named(column: Any, names: list[str] | None, name: str, location: str) -> Any:
    if names is None:
        return as_text(column, name, location)
    inside = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    numbers = pc.if_else(inside, column, None).cast(pa.int64())
    return pa.array(names, pa.string()).take(numbers.combine_chunks())
