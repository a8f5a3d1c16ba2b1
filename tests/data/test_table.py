"""Tables: columns by their usual names or as given, every value as text, one clear message for what is wrong."""

import contextlib
import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from telltale.data.table import NAMES, Columns, check_complete, column_names, find_columns, read_rows
from telltale.errors import SourceError


def parquet(columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def read(data, table="labels.csv", columns=None):
    found = find_columns(column_names(data, table), columns or Columns(), table)
    rows = read_rows(data, table, found)
    check_complete(rows, table, found)
    return rows.select(["image", "label"]).to_pylist()


PAIRS = [{"image": "1.jpg", "label": "cat"}, {"image": "2.jpg", "label": "dog"}]
SAME = {
    "comma": ("labels.csv", b"image,label\n1.jpg,cat\n2.jpg,dog\n"),
    "no last newline": ("labels.csv", b"image,label\n1.jpg,cat\n2.jpg,dog"),
    "windows lines": ("labels.csv", b"image,label\r\n1.jpg,cat\r\n2.jpg,dog\r\n"),
    "semicolon": ("labels.csv", b"image;label\n1.jpg;cat\n2.jpg;dog\n"),
    "tabs in a csv": ("labels.csv", b"image\tlabel\n1.jpg\tcat\n2.jpg\tdog\n"),
    "tsv": ("labels.tsv", b"image\tlabel\n1.jpg\tcat\n2.jpg\tdog\n"),
    "bar": ("labels.csv", b"image|label\n1.jpg|cat\n2.jpg|dog\n"),
    "quotes": ("labels.csv", b'"image","label"\n"1.jpg","cat"\n"2.jpg","dog"\n'),
    "separator in a quoted name": ("labels.csv", b'image;"a,b,c";label\n1.jpg;x;cat\n2.jpg;y;dog\n'),
    "byte-order mark": ("labels.csv", b"\xef\xbb\xbfimage,label\n1.jpg,cat\n2.jpg,dog\n"),
    "utf-16": ("labels.csv", "\ufeffimage\tlabel\n1.jpg\tcat\n2.jpg\tdog\n".encode("utf-16-le")),
    "capitals and spaces": ("LABELS.CSV", b"Image Path, Class \n 1.jpg , cat\n2.jpg,dog \n"),
    "empty lines before": ("labels.csv", b"\n\nimage,label\n1.jpg,cat\n2.jpg,dog\n"),
    "more columns": ("labels.csv", b",image,size,label\n0,1.jpg,9,cat\n1,2.jpg,9,dog\n"),
    "a name twice": ("labels.csv", b"x,image,x,label\n0,1.jpg,9,cat\n1,2.jpg,9,dog\n"),
    "other of two": ("labels.csv", b"id,animal\n1.jpg,cat\n2.jpg,dog\n"),
    "other of two, picture": ("labels.csv", b"label,foto\ncat,1.jpg\ndog,2.jpg\n"),
    "line break in quotes": ("labels.csv", b'image,text,label\n1.jpg,"a\nb",cat\n2.jpg,"",dog\n'),
    "json lines": ("labels.jsonl", b'{"file_name": "1.jpg", "label": "cat"}\n{"file_name": "2.jpg", "label": "dog"}\n'),
    "ndjson with a mark": ("x.ndjson", b'\xef\xbb\xbf{"id": "1.jpg", "y": "cat"}\n{"id": "2.jpg", "y": "dog"}\n'),
    "parquet": ("labels.parquet", parquet({"image": ["1.jpg", "2.jpg"], "label": ["cat", "dog"]})),
    "parquet with codes": (
        "labels.parquet",
        parquet(
            {
                "image": pa.array(["1.jpg", "2.jpg"]).dictionary_encode(),
                "label": pa.array(["cat", "dog"], pa.large_string()),
            }
        ),
    ),
}


@pytest.mark.parametrize(("table", "data"), SAME.values(), ids=SAME)
def test_the_same_rows_in_every_form(table, data):
    assert read(data, table) == PAIRS


VALUES = {
    "zeros in front stay": ("a.csv", b"id,label\n007,01\n", "007", "01"),
    "NA is a name": ("a.csv", b"id,label\nNA,null\n", "NA", "null"),
    "dates in a csv stay": ("a.csv", b"id,label\n2020-01-01,1e5\n", "2020-01-01", "1e5"),
    "dates in json stay": (
        "a.jsonl",
        b'{"id": "2020-01-01", "label": "2021-02-03 04:05:06"}',
        "2020-01-01",
        "2021-02-03 04:05:06",
    ),
    "whole numbers": ("a.jsonl", b'{"id": 12, "label": 3}', "12", "3"),
    "numbers with a gap": ("a.parquet", parquet({"id": [1], "label": [2.0]}), "1", "2"),
    "fractions": ("a.parquet", parquet({"id": [1], "label": [2.5]}), "1", "2.5"),
    "yes and no": ("a.parquet", parquet({"id": [1], "label": [True]}), "1", "true"),
    "umlauts": ("a.csv", "id,label\nä.jpg,Bär\n".encode(), "ä.jpg", "Bär"),
}


@pytest.mark.parametrize(("table", "data", "image", "label"), VALUES.values(), ids=VALUES)
def test_values_become_text_as_they_are_written(table, data, image, label):
    assert read(data, table) == [{"image": image, "label": label}]


text = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"'), min_size=1, max_size=9)


@given(st.lists(st.tuples(text, text), min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_what_was_written_quoted_is_read_back(rows, separator):
    """Law: any text without quotes comes back trimmed, or the message names an empty row."""
    lines = [f'"image"{separator}"label"'] + [f'"{image}"{separator}"{label}"' for image, label in rows]
    try:
        found = read("\n".join(lines).encode())
    except SourceError:
        assert any(not value.strip() for row in rows for value in row)
        return
    assert [(row["image"], row["label"]) for row in found] == [(image.strip(), label.strip()) for image, label in rows]


def test_every_usual_name_is_found_alone_and_in_any_case():
    for role, names in NAMES.items():
        for name in names:
            found = find_columns(
                ["x", name.upper(), "z"],
                Columns(image="x", label="z")
                if role in ("split", "group")
                else Columns(**{{"image": "label", "label": "image"}[role]: "x"}),
                "t",
            )
            assert getattr(found, role) == name.upper()


def test_names_are_preferred_to_numbers_and_paths_to_ids():
    found = find_columns(["id", "filename", "class_id", "class_name", "split", "patient_id", "fold"], Columns(), "t")
    assert found == Columns("filename", "class_name", "split", "patient_id")


def test_given_columns_come_first():
    wanted = Columns(image="b", label="d", split="a", group="c")
    assert find_columns(["a", "b", "c", "d", "image", "label"], wanted, "t") == wanted
    assert read(b"image,label,kind\n1.jpg,no,cat\n2.jpg,no,dog\n", columns=Columns(label="kind")) == PAIRS


def test_an_unknown_column_suggests_and_lists():
    with pytest.raises(
        SourceError, match=r"The table 'labels.csv' has no column 'lable'\. Did you mean 'label'\?"
    ) as caught:
        read(b"image,label\n1.jpg,cat\n", columns=Columns(label="lable"))
    assert "Its columns are 'image', 'label'." in str(caught.value)
    many = ",".join(f"c{number}" for number in range(30)).encode()
    with pytest.raises(SourceError, match=r"no column 'qqq'\. One of its columns\. .*'c11' and 18 more"):
        read(many + b"\n", columns=Columns(label="qqq"))


def test_columns_that_nothing_tells_are_asked_for():
    with pytest.raises(
        SourceError, match=r"has no column that names the pictures: its columns are 'a', 'b', 'c'"
    ) as caught:
        read(b"a,b,c\n1,2,3\n")
    assert caught.value.do == "Name the column with --image-col."
    with pytest.raises(
        SourceError, match=r"has no column that says their class: .* One named class_name, label_name"
    ) as caught:
        read(b"image,b,c\n1,2,3\n")
    assert caught.value.do == "Name the column with --label-col."
    with pytest.raises(SourceError, match="has no column that says their class"):
        find_columns(["image", "other"], Columns(), "t", guess=False)


EMPTY = {
    "csv": ("t.csv", b"image,label\n1.jpg,cat\n2.jpg,\n3.jpg,  \n4.jpg,x\n", "'label' is empty in rows 3, 4."),
    "quoted": ("t.csv", b'image,label\n1.jpg,""\n', "'label' is empty in row 2."),
    "picture": ("t.csv", b"image,label\n,cat\n2.jpg,dog\n", "'image' is empty in row 2."),
    "many": ("t.csv", b"image,label\n" + b"1.jpg,\n" * 8, "'label' is empty in rows 2, 3, 4, 5, 6 and 3 more."),
    "json": (
        "t.jsonl",
        b'{"id": "1", "label": "x"}\n{"id": "2", "label": null}\n{"id": "3"}',
        "'label' is empty in rows 2, 3.",
    ),
    "parquet": ("t.parquet", parquet({"id": ["1", "2"], "label": [None, 1.0]}), "'label' is empty in row 1."),
    "parquet nan": (
        "t.parquet",
        parquet({"id": ["1", "2"], "label": [float("nan"), 1.0]}),
        "'label' is empty in row 1.",
    ),
}


@pytest.mark.parametrize(("table", "data", "words"), EMPTY.values(), ids=EMPTY)
def test_an_empty_label_names_its_rows(table, data, words):
    with pytest.raises(SourceError) as caught:
        read(data, table)
    assert words in caught.value.given
    assert caught.value.do == "Fill in those rows or delete them."
    assert caught.value.expected in ("A label in every row.", "A picture in every row.")


BROKEN = {
    "nothing": ("t.csv", b"", "The table 't.csv' is empty. The names of the columns"),
    "only lines": ("t.csv", b"\n\n \n", "The table 't.csv' is empty."),
    "only names": ("t.csv", b"image,label\n", "has no rows. One row per picture"),
    "ragged": ("t.csv", b"image,label\n1.jpg,cat,extra\n", "cannot be read (CSV parse error"),
    "latin 1": ("t.csv", "image,label\n1.jpg,Bär\n".encode("latin-1"), "The table 't.csv' is not UTF-8."),
    "latin 1 name": ("t.csv", "image,läbel\n1.jpg,x\n".encode("latin-1"), "Text in UTF-8, as spreadsheets"),
    "half of utf-16": ("t.csv", b"\xff\xfea\x00b", "is not UTF-8. Text in UTF-8"),
    "no json": ("t.jsonl", b"image,label\n1.jpg,cat\n", "cannot be read (JSON parse error"),
    "mixed json": (
        "t.jsonl",
        b'{"id": 1, "label": "x"}\n{"id": "a", "label": "x"}\n',
        "cannot be read (JSON parse error",
    ),
    "empty json": (
        "t.jsonl",
        b"",
        "CSV or TSV with the names of the columns in the first line, JSON Lines, or Parquet.",
    ),
    "no parquet": ("t.parquet", b"hello", "The table 't.parquet' cannot be read"),
    "lists": ("t.jsonl", b'{"id": "1", "label": ["a", "b"]}', "the column 'label' holds list<"),
    "dates": (
        "t.parquet",
        parquet({"id": ["1"], "label": [datetime.date(2020, 1, 1)]}),
        "Text or whole numbers. Choose another column",
    ),
}


@pytest.mark.parametrize(("table", "data", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_table_gets_one_message(table, data, words):
    with pytest.raises(SourceError) as caught:
        read(data, table)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


@given(st.binary(max_size=60), st.sampled_from(["t.csv", "t.tsv", "t.jsonl", "t.parquet"]))
def test_any_bytes_are_rows_or_one_message(data, table):
    """Law: no bytes make it raise anything but `SourceError`."""
    with contextlib.suppress(SourceError):
        read(b"image,label\n" + data if table == "t.csv" else data, table)
