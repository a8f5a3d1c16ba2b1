"""`inspect` runs all checks on an `Index` and makes `Findings`: which picture has what, the gravest first."""

import csv
import io
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telltale.data.checks import CHECKS, FEW, Check
from telltale.data.decoding import decode
from telltale.data.duplicates import Duplicates, find_duplicates
from telltale.data.index import Index
from telltale.data.leaks import GROUP, LOOKS, PIXELS
from telltale.data.markup import Markup, embed, lay_out, lay_table, paragraph
from telltale.data.statistics import WIDTH, Statistics, count_words, summarise
from telltale.data.subject import LIKENESSES, Floats, Rows, Subject
from telltale.errors import ImageError, UserError
from telltale.files import write_atomic
from telltale.words import columns, disarm, printable, shorten

FOUND: Final = pa.schema(
    [
        ("check", pa.string()),
        ("row", pa.int64()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("value", pa.float32()),
        ("other", pa.string()),
        ("detail", pa.string()),
    ]
)
"""Columns of what was found."""

LEAK: Final = "duplicate across given splits"

LISTED: Final = 20
"""Rows of each check that `to_dict` gives."""

_LIKE: Final = {PIXELS: "has the same pixels as", LOOKS: "looks like", GROUP: "is of the same group as"}
_SHOWN: Final = "path label split width height format mode orientation frames brightness low high error detail".split()
EXAMPLES: Final = 2
"""Pictures of each check that the terminal shows."""

DETAIL_LINES: Final = 3
"""Lines that the words about one picture may take there: names can be long."""

PICTURES: Final = 2
"""Pictures of each check that a notebook shows: at most 38 for all checks, 0.1 s."""

NOTHING: Final = "No check found anything."

_INDENT: Final = " " * 11
_ROOM: Final = WIDTH - len(_INDENT)
_PIECE: Final = 65_536
"""Rows that are put into words at once: memory stays flat where millions are found."""


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """What the checks found in the pictures of an `Index`.

    `table` has a row for each picture that a check reports, with the columns of `FOUND`: the check, the row in the
    index, path, label, the measure of the check, the path of the picture that it is a copy of (null where that does not
    apply), and words for people. The rows are in the order of `CHECKS`, and of each check the worst come first.
    `usual` has the checks that so many pictures would be reported by that it is how this collection is, with their
    number: they are said once and have no rows.
    """

    index: Index
    duplicates: Duplicates
    table: pa.Table
    usual: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def statistics(self) -> Statistics:
        """What the pictures are like."""
        return summarise(self.index)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Pictures that each check reports, in the order of `CHECKS`; 0 where it has nothing to report."""
        found = {one["values"]: one["counts"] for one in pc.value_counts(self.table.column("check")).to_pylist()}
        return {check.name: found.get(check.name, 0) for check in CHECKS}

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence for each check that is said once."""
        return tuple(
            f"{name}: {count:,} of {self.statistics.usable:,} pictures. That is how this collection is, so they are "
            "not listed one by one."
            for name, count in self.usual.items()
        )

    def of(self, check: str) -> pa.Table:
        """The rows of one check."""
        return self.table.filter(pc.equal(self.table.column("check"), check))

    def save(self, path: str | Path) -> Path:
        """Write as CSV, UTF-8: file, label, check, value, other, detail, one line for each row of `table`.

        A name that a spreadsheet would run as a formula stands behind an apostrophe (`disarm`).
        """
        return write_atomic(Path(path), self._write)

    def _write(self, file: BinaryIO) -> None:
        lines = io.TextIOWrapper(file, "utf-8", newline="")
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(["file", "label", "check", "value", "other", "detail"])
        for batch in self.table.to_batches(max_chunksize=_PIECE):
            for row in batch.to_pylist():
                value = "" if np.isnan(row["value"]) else f"{row['value']:.4g}"
                names = [disarm(row[name] or "") for name in ("path", "label")]
                rows.writerow([*names, row["check"], value, disarm(row["other"] or ""), row["detail"]])
        lines.flush()
        lines.detach()

    def __str__(self) -> str:
        return "\n".join([*self.statistics.describe(self.index.location), "", *_describe(self)])

    def _repr_html_(self) -> str:
        return lay_out(
            count_words(self.statistics.pictures, self.statistics.classes),
            *(paragraph(line) for line in self.statistics.sentences()),
            *(block for check in CHECKS if self.counts[check.name] for block in _show(self, check)),
            *(paragraph(remark) for remark in self.remarks),
            paragraph("" if len(self) or self.usual else NOTHING),
        )

    def to_dict(self, rows: int = LISTED) -> dict[str, Any]:
        """Plain values for JSON: the statistics, the first `rows` of each check, and all pairs that leak."""
        return {
            "location": self.index.location,
            "layout": self.index.layout,
            "statistics": self.statistics.to_dict(),
            "checks": [
                {
                    "name": check.name,
                    "says": check.says,
                    "pictures": self.counts[check.name] or self.usual.get(check.name, 0),
                    "usual": check.name in self.usual,
                    "found": [_plain(row) for row in self.of(check.name).slice(0, rows).to_pylist()],
                }
                for check in CHECKS
            ],
            "leaks": [_plain(row) for row in self.of(LEAK).to_pylist()],
        }


def inspect(index: Index, *, mirrored: bool = False, duplicates: Duplicates | None = None) -> Findings:
    """The `Findings` of all checks on `index`, from what `scan` has collected; no picture is read.

    With `mirrored`, pictures that were flipped left to right count as near-duplicates too. `duplicates` are those of
    this index, where they were found before.
    """
    if duplicates is None:
        duplicates = find_duplicates(index, mirrored=mirrored)
    subject = Subject(index, duplicates)
    pieces, usual = [FOUND.empty_table()], {}
    for check in CHECKS:
        rows, values = check.find(subject)
        if len(rows) > FEW and len(rows) > check.usual * subject.readable.sum():
            usual[check.name] = len(rows)
            continue
        for start in range(0, len(rows), _PIECE):
            part = slice(start, start + _PIECE)
            pieces.append(_tabulate(subject, check, rows[part], values[part]))
    return Findings(index, duplicates, pa.concat_tables(pieces), usual)


def _tabulate(subject: Subject, check: Check, rows: Rows, values: Floats) -> pa.Table:
    """What is found about these rows, with words."""
    fields = subject.index.table.select(_SHOWN).take(pa.array(rows)).to_pylist()
    width, height, _ = subject.common_size
    for one, value in zip(fields, values.tolist(), strict=True):
        one |= {"value": value, "reason": one["error"], "explanation": one["detail"], "common": f"{width} x {height}"}
        one["ending"] = "." + one["path"].rpartition(".")[2]
    others = list(_partners(subject, check, rows)) if check.partners else [{}] * len(rows)
    columns = [
        [check.name] * len(rows),
        rows,
        [one["path"] for one in fields],
        [one["label"] for one in fields],
        values,
        [other.get("other") for other in others],
        [check.detail.format_map(one | other) for one, other in zip(fields, others, strict=True)],
    ]
    return pa.table([pa.array(values, one.type) for values, one in zip(columns, FOUND, strict=True)], schema=FOUND)


def _partners(subject: Subject, check: Check, rows: Rows) -> Iterator[dict[str, Any]]:
    """Path, label, part and likeness of the picture that each of these rows is a copy of."""
    if check.partners is None:
        return
    partners = check.partners(subject)
    table = subject.index.table.select(["path", "label", "split"]).take(pa.array(partners.other[rows]))
    for other, likeness in zip(table.to_pylist(), partners.likeness[rows].tolist(), strict=True):
        named = {"other": other["path"], "other_label": other["label"], "other_split": other["split"]}
        yield named | {"likeness": _LIKE[LIKENESSES[likeness]]}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `FOUND` for JSON: without the check, and without a value that is not a number."""
    value = row["value"]
    known = {} if np.isnan(value) else {"value": float(f"{value:.4g}")}
    return {name: row[name] for name in row if name not in ("check", "value")} | known


def _describe(findings: Findings) -> list[str]:
    """Each check that found something: how often, what it means, and the two worst; then what was not found."""
    lines = []
    for check in CHECKS:
        count = findings.counts[check.name]
        if not count:
            continue
        lines += [f"{count:>9,}  {check.name}", *_indent(check.says)]
        for row in findings.of(check.name).slice(0, EXAMPLES).to_pylist():
            lines += _describe_one(printable(row["path"]), printable(row["detail"]))
    for remark in findings.remarks:
        lines += textwrap.wrap(remark, WIDTH)
    silent = [name for name, count in findings.counts.items() if not count and name not in findings.usual]
    if len(silent) == len(CHECKS):
        return [NOTHING]
    return [*lines, *textwrap.wrap(f"Not found: {', '.join(silent)}.", WIDTH)]


def _describe_one(path: str, detail: str) -> list[str]:
    """A picture and what is wrong with it, on one line where they fit."""
    if columns(path) + columns(detail) <= _ROOM - 4:
        return [f"{_INDENT}- {path}: {detail}"]
    texts = [path, *textwrap.wrap(detail, _ROOM - 2)[:DETAIL_LINES]]
    return [f"{_INDENT}{'  ' if at else '- '}{shorten(text, _ROOM - 2)}" for at, text in enumerate(texts)]


def _indent(text: str) -> list[str]:
    return [_INDENT + line for line in textwrap.wrap(text, _ROOM)]


def _picture(index: Index, path: str) -> str:
    """The picture, small; empty where it cannot be read."""
    try:
        return embed(decode(index.store.read(path)).pixels)
    except (OSError, ImageError, UserError):
        return ""


def _show(findings: Findings, check: Check) -> Iterator[Markup]:
    """The same for a notebook, with the pictures."""
    rows = findings.of(check.name).slice(0, PICTURES).to_pylist()
    yield paragraph(f"{findings.counts[check.name]:,} {check.name}. {check.says}")
    yield lay_table(
        [[_picture(findings.index, row["path"]), printable(row["path"]), printable(row["detail"])] for row in rows]
    )
