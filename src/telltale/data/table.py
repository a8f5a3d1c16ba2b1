"""A table that names pictures and labels: CSV, TSV, JSONL or Parquet to four columns of text."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from telltale.errors import SourceError
from telltale.registry import suggest

NAMES: Final = {
    "image": (
        "filepath filepaths file_path image_path img_path path file_name filename filenames image_name img_name "
        "image_file image images img file picture photo image_id img_id id"
    ).split(),
    "label": (
        "class_name label_name category_name label labels class classes category breed species target diagnosis y "
        "class_id label_id category_id"
    ).split(),
    "split": "split subset partition set data_set dataset".split(),
    "group": "group group_id patient patient_id subject subject_id".split(),
}
"""Usual names of each column, the likeliest first; compared in lower case, with `_` for spaces and hyphens."""

FLAGS: Final = {"image": "--image-col", "label": "--label-col", "split": "--split-col", "group": "--group-col"}

_BOMS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_HEAD_BYTES: Final = 1 << 20
_JSON_BLOCK: Final = 16 << 20
"""A line of JSON must fit into one block."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of a table's columns; where one is empty, it is found by the usual names.

    >>> find_columns(["id", "breed"], Columns(), "labels.csv")
    Columns(image='id', label='breed', split='', group='')
    """

    image: str = ""
    """Path of the picture, with or without its ending."""
    label: str = ""
    """Its class."""
    split: str = ""
    """`train`, `validation` or `test`."""
    group: str = ""
    """Samples of one group stay on one side of a split."""

    def __bool__(self) -> bool:
        return any((self.image, self.label, self.split, self.group))


def find_columns(names: Sequence[str], wanted: Columns, table: str, *, guess: bool = True) -> Columns:
    """Which columns hold what; raises `SourceError` where image or label cannot be told.

    With `guess`, the other of exactly two columns is taken for what is missing.
    """
    found = {}
    for role in NAMES:
        given = getattr(wanted, role)
        if given and given not in names:
            raise explain_unknown(given, names, table)
        found[role] = given or find_usual(role, names)
    if guess and len(names) == 2 and bool(found["image"]) != bool(found["label"]):
        role = "label" if found["image"] else "image"
        found[role] = next(name for name in names if name not in (found["image"], found["label"]))
    for role, words in (("image", "names the pictures"), ("label", "says their class")):
        if not found[role]:
            raise SourceError(
                f"The table {table!r} has no column that {words}: its columns are {_shorten(names)}.",
                expected=f"One named {', '.join(NAMES[role][:4])} or the like, in the first line.",
                do=f"Name the column with {FLAGS[role]}.",
            )
    return Columns(**found)


def column_names(data: bytes, table: str) -> list[str]:
    """The names of the table's columns, in order."""
    kind = _kind(table)
    with _Explained(table):
        if kind == "parquet":
            return list(pq.read_schema(pa.BufferReader(data)).names)
        if kind == "json":
            return list(_read_json(data, pa.schema([])).column_names)
        return _read_header(_as_utf8(data, table), table)[0]


def read_rows(data: bytes, table: str, columns: Columns) -> pa.Table:
    """The rows as text: image, label, split and group, without spaces around, null where there is nothing.

    Numbers become text as they are written in a CSV (`007` stays `007`).
    """
    chosen = {role: getattr(columns, role) for role in NAMES if getattr(columns, role)}
    kind = _kind(table)
    with _Explained(table):
        if kind == "parquet":
            rows = pq.read_table(pa.BufferReader(data), columns=list(dict.fromkeys(chosen.values())))
        elif kind == "json":
            rows = _read_json(data, pa.schema([]))
        else:
            rows = _read_csv(_as_utf8(data, table), table, list(chosen.values()))
        if not rows.num_rows:
            raise SourceError(
                f"The table {table!r} has no rows.",
                expected="One row per picture below the names.",
                do="Check the file.",
            )
        columns_of_text = {role: as_text(rows.column(name), name, table) for role, name in chosen.items()}
    empty = pa.nulls(rows.num_rows, pa.string())
    return pa.table({role: columns_of_text.get(role, empty) for role in NAMES})


def check_complete(rows: pa.Table, table: str, columns: Columns) -> None:
    """Raise `SourceError` with the row numbers where a picture or a label is empty."""
    first = 2 if _kind(table) == "csv" else 1  # as a spreadsheet counts: the names are row 1
    for role in ("image", "label"):
        bad = pc.indices_nonzero(pc.is_null(rows.column(role))).to_pylist()
        if bad:
            more = f" and {len(bad) - 5:,} more" if len(bad) > 5 else ""
            shown = ", ".join(str(row + first) for row in bad[:5])
            raise SourceError(
                f"In {table!r} the column {getattr(columns, role)!r} is empty in {'row' if len(bad) == 1 else 'rows'} "
                f"{shown}{more}.",
                expected=f"A {'picture' if role == 'image' else 'label'} in every row.",
                do="Fill in those rows or delete them.",
            )


def find_usual(role: str, names: Sequence[str]) -> str:
    """The name that usually stands for a role (`image`, `label`, `split`, `group`); empty where there is none.

    >>> find_usual("label", ["id", "Breed"])
    'Breed'
    """
    known = {re.sub(r"[\s\-]+", "_", name.strip().lower()): name for name in reversed(names)}
    return next((known[usual] for usual in NAMES[role] if usual in known), "")


def explain_unknown(given: str, names: Sequence[str], table: str) -> SourceError:
    """The error for the name of a column that is not there."""
    close = suggest(given, names)
    return SourceError(
        f"The table {table!r} has no column {given!r}.",
        expected=f"Did you mean {close[0]!r}?" if close else "One of its columns.",
        do=f"Its columns are {_shorten(names)}.",
    )


def _shorten(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _kind(table: str) -> str:
    ending = PurePosixPath(table).suffix.lower()
    return {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"}.get(ending, "csv")


class _Explained:
    """Turns what Arrow raises on a broken table into one `SourceError`."""

    def __init__(self, table: str) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | csv.Error | OSError):
            raise SourceError(
                f"The table {self._table!r} cannot be read ({_first_line(error)}).",
                expected="CSV or TSV with the names of the columns in the first line, JSON Lines, or Parquet.",
                do="Check the file in an editor, or save it again.",
            ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _as_utf8(data: bytes, table: str) -> bytes:
    """Without a byte-order mark; UTF-16, which Excel writes as "Unicode text", becomes UTF-8."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    encoding = _BOMS.get(data[:2], "utf-8")
    if encoding == "utf-8":
        return data
    try:
        return data.decode(encoding).encode()
    except UnicodeError as error:
        raise _explain_encoding(table) from error


def _explain_encoding(table: str) -> SourceError:
    return SourceError(
        f"The table {table!r} is not UTF-8.",
        expected="Text in UTF-8, as spreadsheets save it under 'CSV UTF-8'.",
        do="Save it again in that encoding.",
    )


def _read_header(data: bytes, table: str) -> tuple[list[str], str, int]:
    """Names of the columns, the separator, and how many lines come before the first row."""
    lines = data[:_HEAD_BYTES].splitlines()
    number = next((number for number, line in enumerate(lines) if line.strip()), -1)
    if number < 0:
        raise SourceError(
            f"The table {table!r} is empty.",
            expected="The names of the columns in the first line, one row per picture below.",
            do="Check the file.",
        )
    try:
        line = lines[number].decode()
    except UnicodeDecodeError as error:
        raise _explain_encoding(table) from error
    bare = re.sub(r'"[^"]*"', "", line)
    separator = max("\t,;|" if table.lower().endswith(".tsv") else ",;\t|", key=bare.count)
    return next(csv.reader([line], delimiter=separator)), separator, number + 1


def _read_csv(data: bytes, table: str, chosen: list[str]) -> pa.Table:
    names, separator, skip = _read_header(data, table)
    # By number: a name may be there twice, and only the chosen columns are converted.
    numbers = {name: str(names.index(name)) for name in chosen}
    wanted = list(dict.fromkeys(numbers.values()))
    try:
        rows = pa.csv.read_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(column_names=[str(number) for number in range(len(names))], skip_rows=skip),
            pa.csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
            pa.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _explain_encoding(table) from error
        raise
    back = {number: name for name, number in numbers.items()}
    return rows.rename_columns([back[number] for number in rows.column_names])


def _read_json(data: bytes, schema: pa.Schema) -> pa.Table:
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    rows = pa.json.read_json(
        pa.BufferReader(data),
        pa.json.ReadOptions(block_size=_JSON_BLOCK),
        pa.json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
    )
    # Arrow takes text that looks like a date for one; a picture's name must stay what it is.
    dates = [(field.name, pa.string()) for field in rows.schema if pa.types.is_temporal(field.type)]
    return _read_json(data, pa.schema(dates)) if dates and not len(schema) else rows


def as_text(column: Any, name: str, table: str) -> Any:
    """A column's values as text without spaces around, null where none is left; `SourceError` for dates and lists."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        # pandas makes 1 to 1.0 in a column with gaps
        with_gaps = pc.if_else(pc.is_finite(column), column, None)
        if pc.all(pc.equal(pc.round(with_gaps), with_gaps)).as_py() in (True, None):
            column = with_gaps.cast(pa.int64())
    elif not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise SourceError(
            f"In {table!r} the column {name!r} holds {kind}.",
            expected="Text or whole numbers.",
            do="Choose another column, or write its values as text.",
        )
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), None, text)
