"""A fix file changes labels, survives a spreadsheet, and refuses whole what it does not understand."""

import csv
import hashlib
import io
import os
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from telltale.data.fixes import HEADER, apply_fixes, read_fixes, write_fixes
from telltale.data.index import scan
from telltale.data.source import Source, open_source
from telltale.data.store import FolderStore
from telltale.errors import OutputError, SourceError


@dataclass(frozen=True)
class Row:
    """What `write_fixes` needs of a suspect."""

    path: str
    given: str
    suggested: str
    confidence: float = 0.9


PETS = {"cats/1.jpg": "cats", "cats/2.jpg": "cats", "dogs/1.jpg": "dogs", "dogs/2.jpg": "dogs", "emus/1.jpg": "emus"}


def make(labels, folder="pets"):
    """A source of these paths and labels; its pictures are not looked at."""
    columns = {"path": list(labels), "label": list(labels.values()), "split": [None] * len(labels)}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    table = table.append_column("group", pa.nulls(len(labels), pa.string()))
    store = FolderStore(folder)
    return Source(str(folder), "pets", store, table, tuple(sorted(set(labels.values()))), "class folders", ("seen",))


def labels_of(source):
    return dict(zip(source.samples["path"].to_pylist(), source.samples["label"].to_pylist(), strict=True))


def write(folder, text, name="labels-fix.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_labels_change_and_pictures_are_left_out(tmp_path):
    rows = [Row("cats/2.jpg", "cats", "dogs"), Row("dogs/1.jpg", "dogs", ""), Row("dogs/2.jpg", "dogs", "dogs")]
    source = make(PETS)
    fixed = apply_fixes(source, write_fixes(tmp_path / "labels-fix.csv", rows))
    assert labels_of(fixed) == {k: v for k, v in PETS.items() if k != "dogs/1.jpg"} | {"cats/2.jpg": "dogs"}
    assert fixed.classes == ("cats", "dogs", "emus")
    assert fixed.notes == ("seen", "labels-fix.csv: 1 label changed, 1 picture left out.")
    assert fixed.samples.schema == source.samples.schema
    assert labels_of(source) == PETS, "the source that was given stays as it was"


@pytest.mark.parametrize("suggested", ["cats", ""], ids=["moved", "taken out"])
def test_a_class_that_loses_all_its_pictures_is_gone(suggested, tmp_path):
    fixed = apply_fixes(make(PETS), write_fixes(tmp_path / "f.csv", [Row("emus/1.jpg", "emus", suggested)]))
    assert fixed.classes == ("cats", "dogs")


def test_what_was_applied_already_is_counted(tmp_path):
    path = write_fixes(tmp_path / "f.csv", [Row("cats/2.jpg", "cats", "dogs"), Row("emus/1.jpg", "emus", "dogs")])
    once = apply_fixes(make(PETS), path)
    twice = apply_fixes(once, path)
    assert labels_of(twice) == labels_of(once)
    assert twice.classes == once.classes
    assert twice.notes[-1] == "f.csv: 0 labels changed; 2 had the suggested label already."


def test_a_file_without_rows_changes_nothing(tmp_path):
    fixed = apply_fixes(make(PETS), write_fixes(tmp_path / "f.csv", []))
    assert labels_of(fixed) == PETS
    assert fixed.notes[-1] == "f.csv: 0 labels changed."


def test_the_file_is_plain_csv(tmp_path):
    path = write_fixes(tmp_path / "f.csv", [Row("a,b.jpg", "cats", "dogs", 0.98765)])
    assert path.read_bytes() == b'file,given,suggested,confidence\r\n"a,b.jpg",cats,dogs,0.9877\r\n'


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, NAMES.filter(str.strip), NAMES.filter(str.strip))
def test_every_name_survives_the_round_trip(tmp_path, file, given_label, suggested):
    """With formulas, quotes, returns, apostrophes, percent forms of names that are not UTF-8."""
    import unicodedata

    given_label, suggested = (unicodedata.normalize("NFC", name) for name in (given_label, suggested))
    source = make({f"x/{file}": given_label, file: given_label, "other.jpg": suggested})
    path = write_fixes(tmp_path / "f.csv", [Row(file, given_label, suggested)])
    assert labels_of(apply_fixes(source, path)) == {f"x/{file}": given_label, file: suggested, "other.jpg": suggested}


RISKY = ["=1+1.jpg", "+1.jpg", "-1.jpg", "@x.jpg", "\tx.jpg", "\rx.jpg", "'=x.jpg", "''x.jpg", "'tis.jpg"]


@pytest.mark.parametrize("name", RISKY)
def test_no_cell_starts_a_formula_in_a_spreadsheet(name, tmp_path):
    path = write_fixes(tmp_path / "f.csv", [Row(name, "=cats", "@dogs")])
    cells = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))[1]
    assert all(cell[0] == "'" for cell in cells[:3])
    assert labels_of(apply_fixes(make({name: "=cats", "b": "@dogs"}), path))[name] == "@dogs"


def as_excel(rows, separator=";", encoding="utf-8-sig", end="\r\n"):
    """The bytes that a spreadsheet makes of these rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([HEADER, *rows, ["", "", "", ""]])
    return text.getvalue().encode(encoding)


EXCEL = {
    "semicolons and a byte-order mark": {},
    "tabs in UTF-16": {"separator": "\t", "encoding": "utf-16"},
    "commas, line feeds": {"separator": ",", "encoding": "utf-8", "end": "\n"},
}


@pytest.mark.parametrize("options", EXCEL.values(), ids=EXCEL)
def test_what_a_spreadsheet_saved_is_read(options, tmp_path):
    source = make({"a,b;c\n.jpg": "käse, gelb", "caf%E9 100%25.jpg": "007", 'x"y.jpg': "007", "z.jpg": "008"})
    rows = [
        ["a,b;c\n.jpg", "käse, gelb", " 7 ", "0,93"],
        ["caf%E9 100%25.jpg", "7", "8", "0,9"],
        ['x"y.jpg', "007", "ka\u0308se, gelb", ""],
    ]
    fixed = apply_fixes(source, write(tmp_path, as_excel(rows, **options)))
    assert list(labels_of(fixed).values()) == ["007", "008", "käse, gelb", "008"]


def test_line_ends_that_an_editor_changed_inside_of_a_name(tmp_path):
    path = write_fixes(tmp_path / "f.csv", [Row("a\nb.jpg", "cats", "dogs")])
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert labels_of(apply_fixes(make({"a\nb.jpg": "cats", "c.jpg": "dogs"}), path))["a\nb.jpg"] == "dogs"


def test_other_columns_and_their_order_do_not_matter(tmp_path):
    path = write(tmp_path, "Suggested,note,File,Given\ndogs,hm,cats/1.jpg,cats\n\ncats,,dogs/1.jpg,dogs,,\n")
    fixed = labels_of(apply_fixes(make(PETS), path))
    assert (fixed["cats/1.jpg"], fixed["dogs/1.jpg"]) == ("dogs", "cats")


def test_a_mark_says_utf8_only_where_a_name_needs_it(tmp_path):
    plain = write_fixes(tmp_path / "plain.csv", [Row("a.jpg", "cats", "dogs")])
    marked = write_fixes(tmp_path / "marked.csv", [Row("käse.jpg", "cats", "dogs")])
    assert plain.read_bytes().startswith(b"file,given")
    assert marked.read_bytes().startswith(b"\xef\xbb\xbffile,given")


HEAD = "file,given,suggested,confidence\n"
BROKEN = {
    "unknown pictures": (
        HEAD + "cats/9.jpg,cats,dogs,1\n" + "".join(f"no/{n}.jpg,cats,dogs,1\n" for n in range(4)),
        r"names 5 pictures \('cats/9.jpg', 'no/0.jpg', 'no/1.jpg', …\) that 'pets' does not have. Did you mean 'cats/",
    ),
    "one unknown picture": (
        HEAD + "zebra.tif,cats,dogs,1\n",
        "names the picture 'zebra.tif' that 'pets' does not have",
    ),
    "a misspelled class": (
        HEAD + "cats/1.jpg,cats,dgos,1\n",
        "gives 'cats/1.jpg' the label 'dgos': no class of the source. Did you mean 'dogs'",
    ),
    "a new class": (HEAD + "cats/1.jpg,cats,unicorn,1\n", "no class of the source. One of cats, dogs, emus. Write one"),
    "another label by now": (
        HEAD + "cats/2.jpg,cats,dogs,1\ncats/1.jpg,dogs,emus,1\n",
        "Line 3 of the fix file 'labels-fix.csv' says that 'cats/1.jpg' is labelled 'dogs', but its label is 'cats'",
    ),
    "taken out under another label": (HEAD + "cats/1.jpg,dogs,,1\n", "is labelled 'dogs', but its label is 'cats'"),
    "two rows that disagree": (
        HEAD + "cats/1.jpg,cats,dogs,1\ndogs/1.jpg,dogs,cats,1\ncats/1.jpg,cats,,1\n",
        "names 'cats/1.jpg' twice: in line 2 'cats' becomes 'dogs', in line 4 'cats' is taken out",
    ),
    "no fix file": ("image,label\na.jpg,cats\n", "is not a fix file: its first line is 'image,label'"),
    "empty": ("\n \n", "is not a fix file: it is empty"),
    "a cell too long": (HEAD + f'"{"x" * 200_000}",cats,dogs,1\n', "is not a fix file: field larger than field limit"),
    "too few cells": (HEAD + "cats/1.jpg,cats\n", "Line 2 of the fix file 'labels-fix.csv' has 2 cells, its header 4"),
    "a comma without quotes": (HEAD + "a,b.jpg,cats,dogs,1\n", "has 5 cells, its header 4"),
    "not UTF-8": (HEAD.encode() + b"k\xe4se.jpg,cats,dogs,1", "fix file 'labels-fix.csv' is not UTF-8"),
    "all taken out": (
        HEAD + "".join(f"{path},{label},,\n" for path, label in PETS.items()),
        "takes out all 5 pictures",
    ),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_does_not_fit_is_refused_with_one_message(text, words, tmp_path):
    with pytest.raises(SourceError, match=words):
        apply_fixes(make(PETS), write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    write(tmp_path, HEAD)
    with pytest.raises(SourceError, match=r"There is no .*Did you mean 'labels-fix.csv'"):
        apply_fixes(make(PETS), tmp_path / "label-fix.csv")
    with pytest.raises(SourceError, match="cannot be read"):
        apply_fixes(make(PETS), tmp_path)


def test_a_row_twice_counts_once(tmp_path):
    path = write(tmp_path, HEAD + "cats/1.jpg,cats,dogs,1\ncats/1.jpg,cats,dogs ,0.5\n")
    assert apply_fixes(make(PETS), path).notes[-1] == "labels-fix.csv: 1 label changed."


def test_what_was_read_can_be_written_again(tmp_path):
    rows = [Row("=1.jpg", "cats", "dogs", 0.75), Row("b.jpg", "dogs", "")]
    path = write_fixes(tmp_path / "one.csv", rows)
    assert [(one.path, one.given, one.suggested, one.confidence) for one in read_fixes(path)] == [
        ("=1.jpg", "cats", "dogs", 0.75),
        ("b.jpg", "dogs", "", 0.9),
    ]
    assert write_fixes(tmp_path / "two.csv", read_fixes(path)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("cell", "written"), [("0,5", "0.5000"), ("", ""), ("sure", "")])
def test_a_confidence_that_was_edited(cell, written, tmp_path):
    path = write(tmp_path, ";".join(HEADER) + f"\ncats/1.jpg;cats;dogs;{cell}\n")
    lines = write_fixes(tmp_path / "again.csv", read_fixes(path)).read_text().splitlines()
    assert lines[1] == f"cats/1.jpg,cats,dogs,{written}"


def test_a_place_that_cannot_be_written_keeps_the_old_file(tmp_path):
    path = write_fixes(tmp_path / "f.csv", [Row("a.jpg", "cats", "dogs")])
    before = path.read_bytes()

    def rows():
        yield Row("b.jpg", "cats", "dogs")
        raise RuntimeError("a row that cannot be made")

    with pytest.raises(RuntimeError, match="cannot be made"):
        write_fixes(path, rows())
    assert path.read_bytes() == before
    with pytest.raises(OutputError):
        write_fixes(tmp_path / "nowhere" / "f.csv", [])


def test_pictures_with_odd_names_are_relabelled_and_never_touched(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "pets"
    names = {b"cats": [b"a.png", b"new\nline.png", b"caf\xe9 100%.png", b"=1+1.png"], b"dogs": [b" b.png", b"c,d.png"]}
    for folder, files in names.items():
        (root / os.fsdecode(folder)).mkdir(parents=True)
        for number, file in enumerate(files):
            with open(os.path.join(os.fsencode(root), folder, file), "wb") as out:
                Image.new("RGB", (8, 8), (number * 40, 90, 200 if folder == b"cats" else 20)).save(out, "PNG")
    before = hashes(root)
    source = open_source(root)
    rows = [Row(path, label, "dogs" if label == "cats" else "") for path, label in labels_of(source).items()][:5]
    fixed = apply_fixes(source, write_fixes(tmp_path / "fix.csv", rows))
    assert fixed.notes[-1] == "fix.csv: 4 labels changed, 1 picture left out."
    index = scan(fixed)
    assert len(index.readable) == 5
    assert index.counts == {"dogs": 5}
    assert hashes(root) == before


def hashes(root):
    """Name, SHA-256 and time of every file below `root`."""
    found = {}
    for folder, _, files in os.walk(os.fsencode(root)):
        for file in files:
            path = os.path.join(folder, file)
            with open(path, "rb") as data:
                found[path] = hashlib.sha256(data.read()).digest(), os.stat(path).st_mtime_ns
    return found
