"""The fix file: a CSV of labels to change, which a person edits and `apply_fixes` puts over the labels of a source.

    file,given,suggested,confidence
    cats/12.jpg,cats,dogs,0.9817

The picture gets the label in `suggested`. An empty cell there takes the picture out; the label in `given` again keeps
it as it is, and so does deleting the row. `confidence` is for people: nothing depends on it. Pictures are never
touched.

* `given` must still be the label of the picture (or `suggested` already): a file for other data is refused whole.
* `suggested` must be a class of the source. A new class is refused: a slip of the keyboard would make a class of one
  picture. Pictures of something else are taken out, or moved to a folder of their own.
* A spreadsheet runs a cell that starts with `=`, `+`, `-`, `@`, a tab or a return as a formula. Such text is written
  with an apostrophe before it, and so is text that starts with an apostrophe; reading takes one away again.
* Where a name is not ASCII the file starts with a byte-order mark: without it Excel shows `kÃ¤se` for `käse`.
* What Excel and its kind make of the file is read: byte-order marks, UTF-16, semicolons and tabs for commas, other line
  ends, `7` for the label `007`.
"""

import codecs
import csv
import io
import math
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telltale.data.source import Source
from telltale.data.store import explain_input, portable_name
from telltale.errors import SourceError
from telltale.files import write_atomic
from telltale.registry import suggest
from telltale.words import disarm, rearm

HEADER: Final = ("file", "given", "suggested", "confidence")
_NEEDED: Final = HEADER[:3]
_MOST_BYTES: Final = 1 << 30
_MOST_NAMES: Final = 10_000  # among which a similar one is looked for: 0.2 s


class Fix(Protocol):
    """A row of a fix file, such as a `Suspect`."""

    @property
    def path(self) -> str:
        """The picture, as the source names it."""

    @property
    def given(self) -> str:
        """The label that it has."""

    @property
    def suggested(self) -> str:
        """The label that it shall have."""

    @property
    def confidence(self) -> float:
        """How probable that label is, 0 to 1; NaN where that is not known."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row of the file says; `line` is the last line of the file that it stands on.

    `confidence` is NaN where the file has no number there.
    """

    line: int
    path: str
    given: str
    suggested: str
    confidence: float


def write_fixes(path: Path, rows: Iterable[Fix]) -> Path:
    """Write a fix file with these rows, in their order, whole or not at all."""
    text = io.StringIO(newline="")
    # Return and newline as line end: only then does Python 3.11 put quotes around a name that holds a return.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    for row in rows:
        cells = [disarm(cell) for cell in (row.path, row.given, row.suggested)]
        writer.writerow([*cells, "" if math.isnan(row.confidence) else f"{row.confidence:.4f}"])
    content = text.getvalue()
    return write_atomic(path, content.encode("utf-8" if content.isascii() else "utf-8-sig"))


def read_fixes(path: str | Path) -> list[Fix]:
    """The rows of the fix file at `path`, each picture once; raises `SourceError` where it is none."""
    name = portable_name(Path(path).name)
    return list(_merge(_read(Path(path), name), name))


def apply_fixes(source: Source, path: str | Path) -> Source:
    """The `source` with the labels that the fix file at `path` says, and a note of how many were changed.

    Raises `SourceError` where the file is no fix file, contradicts itself, names pictures or classes that the source
    does not have, or was made for other labels. Nothing is applied then. A class that loses all pictures is gone.
    """
    name = portable_name(Path(path).name)
    rows = _merge(_read(Path(path), name), name)
    at = _find(rows, source, name)
    classes = dict.fromkeys(source.classes)
    present = source.samples.column("label").take(pa.array(at, pa.int64())).to_pylist()
    labels: dict[int, str] = {}
    already = 0
    out = []
    for number, row, label in zip(at, rows, present, strict=True):
        wanted = _match(row.suggested, classes)
        if wanted is None:
            raise _explain_class(row, source.classes, name)
        if _match(row.given, classes) != (label or "") and wanted != label:
            raise _explain_given(row, label or "", name)
        if not wanted:
            out.append(number)
        elif wanted != label:
            labels[number] = wanted
        else:
            already += _match(row.given, classes) != wanted
    if out and len(out) == source.samples.num_rows:
        raise SourceError(
            f"The fix file {name!r} takes out all {len(out):,} pictures.",
            expected="A source that has pictures left.",
            do="Write a class into the column 'suggested'; an empty cell takes the picture out.",
        )
    return _apply(source, labels, out, _describe(name, len(labels), len(out), already))


def _apply(source: Source, labels: dict[int, str], out: list[int], note: str) -> Source:
    changed = np.zeros(source.samples.num_rows, np.bool_)
    changed[list(labels)] = True
    new = pa.array([labels[row] for row in sorted(labels)], pa.string())
    column = pc.replace_with_mask(source.samples.column("label").combine_chunks(), pa.array(changed), new)
    samples = source.samples.set_column(source.samples.column_names.index("label"), "label", column)
    kept = np.delete(np.arange(len(changed)), out)
    samples = samples.take(pa.array(kept)) if out else samples
    classes = tuple(sorted(pc.unique(samples.column("label")).drop_null().to_pylist()))
    return replace(source, samples=samples, classes=classes, notes=(*source.notes, note))


def _describe(name: str, changed: int, out: int, already: int) -> str:
    words = f"{name}: {changed:,} {'label' if changed == 1 else 'labels'} changed"
    words += f", {out:,} {'picture' if out == 1 else 'pictures'} left out" if out else ""
    return words + (f"; {already:,} had the suggested label already." if already else ".")


def _read(path: Path, name: str) -> list[_Row]:
    """The rows below the header."""
    with explain_input(path):
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MOST_BYTES else b""
    if size > _MOST_BYTES:
        raise _explain_header(name, f"it has {size:,} bytes")
    text = _decode(data, name)
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        filled = [(lines.line_num, cells) for cells in lines if any(cells)]
    except csv.Error as error:
        raise _explain_header(name, str(error)) from error
    names = [cell.strip().lower() for cell in filled[0][1]] if filled else []
    if not set(_NEEDED) <= set(names):
        raise _explain_header(name, f"its first line is {header[:80]!r}" if header else "it is empty")
    places = [names.index(one) for one in _NEEDED]
    rows = []
    for line, cells in filled[1:]:
        if len(cells) <= max(places) or any(cells[len(names) :]):
            raise SourceError(
                f"Line {line} of the fix file {name!r} has {len(cells)} cells, its header {len(names)}.",
                expected="One cell per column; text with a comma in quotes.",
                do="Correct that line, or save the file again from a spreadsheet.",
            )
        file, given, suggested = (rearm(cells[place]) for place in places)
        confidence = dict(zip(names, cells, strict=False)).get(HEADER[3], "")
        rows.append(_Row(line, file, given, suggested, _number(confidence)))
    return rows


def _number(cell: str) -> float:
    """What the cell says, also with a decimal comma; NaN where that is no number."""
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return math.nan


def _decode(data: bytes, name: str) -> str:
    """The text, whatever a spreadsheet saved it as."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        raise SourceError(
            f"The fix file {name!r} is not UTF-8.",
            expected="Text in UTF-8, as spreadsheets save it under 'CSV UTF-8'.",
            do="Save it again in that encoding.",
        ) from error


def _explain_header(name: str, why: str) -> SourceError:
    return SourceError(
        f"{name!r} is not a fix file: {why}.",
        expected=f"A CSV that starts with the line {','.join(HEADER)}.",
        do="Give the labels-fix.csv that Telltale wrote, edited or not.",
    )


def _merge(rows: list[_Row], name: str) -> list[_Row]:
    """Each picture once; raises where two rows want different things of one."""
    found: dict[str, _Row] = {}
    for row in rows:
        first = found.setdefault(row.path, row)
        if (first.given.strip(), first.suggested.strip()) != (row.given.strip(), row.suggested.strip()):
            raise SourceError(
                f"The fix file {name!r} names {row.path!r} twice: in line {first.line} {_say(first)}, in line "
                f"{row.line} {_say(row)}.",
                expected="One row per picture.",
                do="Delete the row that is wrong.",
            )
    return list(found.values())


def _say(row: _Row) -> str:
    return f"{row.given!r} becomes {row.suggested!r}" if row.suggested.strip() else f"{row.given!r} is taken out"


def _find(rows: list[_Row], source: Source, name: str) -> list[int]:
    """Row of each picture in the source; raises where there is none."""
    paths = source.samples.column("path")
    files = pa.array([row.path for row in rows], pa.string())
    at = pc.index_in(files, value_set=paths.combine_chunks())
    # Some editors write every line end as two characters, also inside of a name.
    at = pc.coalesce(at, pc.index_in(pc.replace_substring(files, "\r\n", "\n"), value_set=paths.combine_chunks()))
    unknown = files.filter(pc.is_null(at)).to_pylist()
    if unknown:
        close = suggest(unknown[0], paths.to_pylist(), 1) if len(paths) <= _MOST_NAMES else []
        raise SourceError(
            f"The fix file {name!r} names {_count(unknown)} that {source.location!r} does not have.",
            expected=f"Did you mean {close[0]!r}?" if close else "Pictures by the names that the source gives them.",
            do="Give the fix file that was made for this source, or delete those rows.",
        )
    return at.to_pylist()  # type: ignore[no-any-return]


def _count(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")
    return f"the picture {shown}" if len(names) == 1 else f"{len(names):,} pictures ({shown})"


def _match(text: str, classes: Collection[str]) -> str | None:
    """The class that is meant; empty where the cell is, None where there is none."""
    for one in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", text.strip())):
        if one in classes or not one:
            return one
    # Spreadsheets take 007 for a number.
    same = [name for name in classes if text.strip().isdecimal() and name.isdecimal() and int(name) == int(text)]
    return same[0] if len(same) == 1 else None


def _explain_class(row: _Row, classes: Sequence[str], name: str) -> SourceError:
    close = suggest(row.suggested, classes)
    known = ", ".join(classes[:8]) + (f" and {len(classes) - 8:,} more" if len(classes) > 8 else "")
    return SourceError(
        f"Line {row.line} of the fix file {name!r} gives {row.path!r} the label {row.suggested!r}: no class of the "
        "source.",
        expected=f"Did you mean {close[0]!r}?" if close else f"One of {known}.",
        do="Write one of the classes; an empty cell takes the picture out.",
    )


def _explain_given(row: _Row, label: str, name: str) -> SourceError:
    return SourceError(
        f"Line {row.line} of the fix file {name!r} says that {row.path!r} is labelled {row.given!r}, but its label is "
        f"{label!r}.",
        expected="The labels that the source has now: the file was made for others, or the column 'given' was edited.",
        do="Look for suspects again, or set that cell right.",
    )
