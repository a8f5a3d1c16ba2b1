"""`inspect` says what is wrong in the terminal, as CSV, as JSON and in a notebook, whatever the names are."""

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from telltale.data.checks import CHECKS
from telltale.data.findings import FOUND, NOTHING, inspect
from telltale.data.index import scan
from telltale.errors import OutputError
from telltale.files import sha256_file
from telltale.words import columns

SCRIPT = "<script>alert(1)<"
"""A name of a folder that a careless page would run: no slash, which no file name can hold."""


def draw(seed, size=(120, 100)):
    """Patches of colour with sharp edges."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.NEAREST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes with odd names; a copy in the other class, a dark one, a broken one, one that is re-encoded."""
    root = tmp_path_factory.mktemp("findings") / "odd names"
    for number in range(24):
        path = root / (SCRIPT if number % 2 else "猫 é\u200f") / f"pic {number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(number).save(path)
    draw(0).save(root / SCRIPT / "copy of\n0 \x1b[31m.png")
    draw(3).save(root / SCRIPT / "lower \U0001f431.jpg", quality=50)
    Image.fromarray((np.asarray(draw(90)) // 8).astype(np.uint8)).save(root / SCRIPT / f"{'long ' * 30}dark.png")
    (root / SCRIPT / "broken.png").write_bytes(b"<!doctype html><p>404")
    return root


@pytest.fixture(scope="module")
def findings(folder):
    return inspect(scan(folder))


def test_what_was_planted_is_found_the_gravest_first(findings):
    assert findings.table.schema.equals(FOUND)
    assert {name: count for name, count in findings.counts.items() if count} == {
        "unreadable": 1,
        "duplicate with another label": 1,
        "exact duplicate": 1,
        "near-duplicate": 1,
        "dark": 1,
    }
    order = [check.name for check in CHECKS]
    assert findings.table.column("check").to_pylist() == sorted(
        findings.table.column("check").to_pylist(), key=order.index
    )
    assert findings.of("unreadable").column("detail").to_pylist()[0].startswith("html: ")
    near = findings.of("near-duplicate").to_pylist()[0]
    assert {near["path"], near["other"]} == {f"{SCRIPT}/lower \U0001f431.jpg", f"{SCRIPT}/pic 3.png"}
    assert near["detail"].startswith("looks like ") and 0 < near["value"] < 0.42


def test_terminal_text_fits_and_has_no_control_characters(findings):
    text = str(findings)
    assert max(columns(line) for line in text.splitlines()) <= 80
    assert text.replace("\n", "").isprintable()
    assert "28 pictures of 2 classes in " in text and "1 of 28 pictures cannot be used." in text
    assert "        1  exact duplicate\n" in text and "Not found: duplicate across given splits, blank" in text
    for check in CHECKS:
        assert (check.says in " ".join(text.split())) == (findings.counts[check.name] > 0)


def test_nothing_found_is_said(folder, tmp_path):
    for number in range(6):
        (tmp_path / f"{number % 2}").mkdir(exist_ok=True)
        draw(number).save(tmp_path / f"{number % 2}" / f"{number}.png")
    found = inspect(scan(tmp_path))
    assert str(found).endswith(NOTHING) and NOTHING in found._repr_html_()
    assert len(found) == 0 and found.to_dict()["leaks"] == []


def test_csv_has_every_finding_with_the_name_as_it_is(findings, tmp_path):
    path = findings.save(tmp_path / "findings.csv")
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert rows[0] == ["file", "label", "check", "value", "other", "detail"]
    assert [(row[0], row[2]) for row in rows[1:]] == list(
        zip(findings.table.column("path").to_pylist(), findings.table.column("check").to_pylist(), strict=True)
    )
    assert all((folder := findings.index.store.read(row[0])) is not None and folder for row in rows[1:])
    assert next(row for row in rows if row[2] == "exact duplicate")[3] == "0"
    with pytest.raises(OutputError, match="cannot be written"):
        findings.save(tmp_path / "no folder" / "findings.csv")


def test_json_has_statistics_counts_and_the_first_rows(findings):
    told = json.loads(json.dumps(findings.to_dict(rows=1), allow_nan=False))
    assert [check["name"] for check in told["checks"]] == [check.name for check in CHECKS]
    assert {check["name"]: check["pictures"] for check in told["checks"]} == findings.counts
    assert all(len(check["found"]) == min(1, check["pictures"]) and not check["usual"] for check in told["checks"])
    assert told["statistics"]["pictures"] == 28 and told["statistics"]["unreadable"] == 1
    assert told["checks"][0]["found"][0]["path"] == f"{SCRIPT}/broken.png"


def test_pairs_that_leak_are_all_in_the_json(tmp_path):
    for number in range(4):
        for part in ("train", "test"):
            path = tmp_path / part / ("ant" if number % 2 else "bee") / f"{part} {number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(number).save(path)
    found = inspect(scan(tmp_path))
    leaks = found.to_dict(rows=1)["leaks"]
    assert (
        sorted((leak["path"].split("/")[0], leak["other"].split("/")[0]) for leak in leaks) == [("test", "train")] * 4
    )
    assert "in test, but has the same pixels as 'train/" in str(found)


def test_notebooks_get_escaped_names_pictures_and_no_script(findings):
    for page in (findings._repr_html_(), findings.index._repr_html_()):
        assert "<script" not in page and "&lt;script&gt;" in page and "\x1b" not in page
    page = findings._repr_html_()
    assert page.count("data:image/jpeg;base64,") == len(findings) - 1, "all but the one that cannot be read"
    assert "1 near-duplicate." in page and len(page) < 100_000
    assert "28 pictures of 2 classes" in findings.index._repr_html_()
    assert "1 cannot be used: 1 html." in findings.index._repr_html_()


def test_pictures_that_have_vanished_are_left_out_of_the_notebook(tmp_path):
    for number in range(4):
        draw(number // 2).save(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,a\n2.png,b\n3.png,b\n")
    found = inspect(scan(tmp_path / "labels.csv"))
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert "2 exact duplicate" in found._repr_html_() and "data:image" not in found._repr_html_()


def test_mirrored_pictures_are_found_where_asked_for(tmp_path):
    for number in range(6):
        (tmp_path / f"{number % 2}").mkdir(exist_ok=True)
        draw(number).save(tmp_path / f"{number % 2}" / f"{number}.png")
    draw(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "0" / "turned.png")
    index = scan(tmp_path)
    assert inspect(index).counts["near-duplicate"] == 0
    row = inspect(index, mirrored=True).of("near-duplicate").to_pylist()[0]
    assert (row["path"], row["other"]) == ("0/turned.png", "0/2.png") and row["value"] < 0.1


def test_looking_changes_nothing(folder):
    before = {path: (sha256_file(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    str(inspect(scan(folder)))
    after = {path: (sha256_file(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    assert before == after


def test_a_terminal_without_unicode_is_no_problem(folder):
    program = "import sys; from telltale.data.findings import inspect; from telltale.data.index import scan; "
    program += "print(inspect(scan(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", program, folder],
        env=os.environ | {"LC_ALL": "C", "LANG": "C"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"28 pictures of 2 classes" in done.stdout
