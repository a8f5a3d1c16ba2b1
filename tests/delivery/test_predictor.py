"""Predictions come in the order given, one row per picture, whatever the picture."""

import csv
import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from telltale.data.archive import FolderStore
from telltale.delivery.predictor import COLUMNS, FORMATS, SETS, Prediction, predict, write_predictions
from telltale.errors import BundleError, RecipeError, SourceError, UserError
from telltale.model.bundle import save
from telltale.model.familiarity import Familiarity
from telltale.model.rejection import RejectRule


def test_a_folder_is_answered_in_order(classifier, pictures):
    rows = list(predict(classifier, [pictures]))
    names = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    assert [row.filename for row in rows] == [f"{pictures}/{name}" for name in names]
    assert {row.status for row in rows} == {"ok"}
    right = [row.label == row.filename.split("/")[-2] for row in rows]
    assert np.mean(right) > 0.9
    assert all(0.25 <= row.prob <= 1 for row in rows)


def test_inputs_are_answered_in_the_order_given(classifier, pictures, tmp_path):
    archive = tmp_path / "more.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in (2, 1):
            file.write(pictures / "green" / f"green-{number}.png", f"in/{number}.png")
    red = pictures / "red" / "red-5.png"
    rows = list(predict(classifier, [red, archive, pictures / "blue", str(red)]))
    assert [row.filename for row in rows] == [
        str(red),
        f"{archive}/in/1.png",
        f"{archive}/in/2.png",
        *(f"{pictures}/blue/blue-{number}.png" for number in range(10)),
        str(red),
    ]
    assert rows[0] == rows[-1]
    assert rows[0].prob == next(row.prob for row in predict(classifier, [pictures]) if row.filename == str(red))


def test_a_relative_name_stays_as_given(classifier, pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    assert [row.filename for row in predict(classifier, ["red/red-1.png", "./red/red-1.png"])] == [
        "red/red-1.png",
        "./red/red-1.png",
    ]
    assert next(iter(predict(classifier, ["red/"]))).filename == "red/red-0.png"


def test_what_cannot_be_read_becomes_an_error_row(classifier, pictures, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(pictures / "red", folder)
    whole = (folder / "red-0.png").read_bytes()
    (folder / "a-empty.jpg").write_bytes(b"")
    (folder / "b-page.jpg").write_text("<!DOCTYPE html><html></html>")
    (folder / "c-cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "d-noise.png").write_bytes(b"nothing like a picture")
    (folder / "e-link.png").symlink_to(tmp_path / "absent.png")
    rows = list(predict(classifier, [folder]))
    errors = [row for row in rows if row.status == "error"]
    assert [row.filename.rpartition("/")[2][0] for row in errors] == list("abcde")
    assert [row.reason.split(":")[0] for row in errors] == ["empty", "html", "truncated", "not an image", "missing"]
    assert {(row.label, row.prob) for row in errors} == {("", None)}
    assert len(rows) == 15
    assert [row for row in rows if row.status == "ok"] == list(
        replace(row, filename=row.filename.replace(str(pictures / "red"), str(folder)))
        for row in predict(classifier, [pictures / "red"])
    )


def test_a_single_file_that_is_no_picture_is_a_row_too(classifier, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    (row,) = predict(classifier, [tmp_path / "notes.txt"])
    assert (row.status, row.filename) == ("error", str(tmp_path / "notes.txt"))


def test_only_unreadable_pictures_are_no_failure(classifier, tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"")
    assert [row.status for row in predict(classifier, [tmp_path])] == ["error"] * 20


def test_a_missing_input_is_a_row_and_nothing_but_missing_ones_an_error(classifier, pictures):
    *others, last = predict(classifier, [pictures, "more/absent.jpg"])
    assert {row.status for row in others} == {"ok"}
    assert last == Prediction("more/absent.jpg", "", None, "error", "missing: There is no such file.")
    with pytest.raises(SourceError, match=r"There is no '.*absent.jpg'"):
        predict(classifier, ["absent.jpg", "more/*.jpg"])
    with pytest.raises(BundleError, match=r"does not exist"):
        predict("absent", [pictures])


def test_a_bundle_is_opened_by_its_path(classifier, pictures, tmp_path):
    bundle = save(classifier, tmp_path / "pets.telltale")
    assert list(predict(bundle, [pictures])) == list(predict(classifier, [pictures]))


def test_pictures_are_read_while_the_answers_are_used(classifier, tmp_path, monkeypatch):
    for number in range(400):
        Image.new("RGB", (16, 16), (number % 256, number // 256, 0)).save(tmp_path / f"{number:03}.bmp")
    read = []
    plain = FolderStore.read
    monkeypatch.setattr(FolderStore, "read", lambda self, path: read.append(path) or plain(self, path))
    told = []
    rows = predict(classifier, [tmp_path], tell=told.append)
    assert not read
    next(rows)
    assert 0 < len(read) < 250, "a few pieces ahead, not all"
    assert len(list(rows)) == 399
    assert sorted(read) == sorted(path.name for path in tmp_path.iterdir())
    assert (told[-1].stage, told[-1].done, told[-1].total) == ("predict", 400, 400)


ROWS = [
    Prediction("a/ä,b.jpg", 'red "dark"', 0.123456789, "ok"),
    Prediction("b\nc.jpg", "blue", 1.0, "ok"),
    Prediction("d.jpg", "", None, "error", "empty: The file has no bytes."),
]


def read_back(path) -> list[dict[str, object]]:
    """The rows of a file, as `Prediction.to_dict` gives them but with 6 digits."""
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row | {"prob": float(row["prob"]) if row["prob"] else None} for row in csv.DictReader(file)]
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        rows = pq.read_table(path).to_pylist()
    return [row | {"prob": row["prob"] if row["prob"] is None else round(row["prob"], 5)} for row in rows]


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_every_format_says_the_same(tmp_path, ending):
    path = write_predictions(iter(ROWS), tmp_path / "new" / f"answers.{ending.upper()}".replace(ending.upper(), ending))
    found = read_back(path)
    assert found == [row.to_dict() | {"prob": row.prob and round(row.prob, 5)} for row in ROWS]
    assert tuple(found[0]) == COLUMNS
    assert write_predictions([], tmp_path / f"none.{ending}").is_file()
    assert read_back(tmp_path / f"none.{ending}") == []


def test_a_file_is_whole_or_as_it_was(tmp_path):
    def broken():
        yield ROWS[0]
        raise RuntimeError("the power went out")

    for ending in FORMATS:
        path = tmp_path / f"answers.{ending}"
        path.write_text("of last week")
        with pytest.raises(RuntimeError):
            write_predictions(broken(), path)
        assert path.read_text() == "of last week"
    assert len(list(tmp_path.iterdir())) == len(FORMATS)


@pytest.mark.parametrize(("name", "shown"), [("a.txt", "'.txt'"), ("a", "'nothing'")])
def test_another_ending_is_refused(tmp_path, name, shown):
    with pytest.raises(RecipeError, match=rf"The output '.*' ends in {shown}\. One of .csv, .jsonl, .parquet"):
        write_predictions(ROWS, tmp_path / name)


def test_another_format_is_refused_by_name():
    with pytest.raises(UserError, match=r"No output format named 'cvs'\. Did you mean 'csv'"):
        FORMATS["cvs"]


def with_rule(classifier, *, threshold=0.0, unlike_above=np.inf):
    """The classifier with a rule, and a familiarity that finds every picture as strange as 1."""
    width = classifier.extractor.backbone.dimension
    zeros = np.zeros((width, 0), np.float32)
    familiarity = Familiarity(np.zeros(width, np.float32), zeros, np.zeros(0, np.float32), 1 / width)
    return replace(
        classifier, rule=RejectRule(0.99, threshold, unlike_above, 0.95, 0.02, 100, True), familiarity=familiarity
    )


def test_what_the_rule_refuses_is_unknown_with_its_reason(classifier, pictures, tmp_path):
    sure = {row.filename: row.prob for row in predict(classifier, [pictures])}
    middle = float(np.median(list(sure.values())))
    rows = list(predict(with_rule(classifier, threshold=middle), [pictures]))
    for row in rows:
        assert row.prob == sure[row.filename]
        assert (row.status == "ok") == (row.prob >= middle) == bool(row.label)
    unsure = next(row for row in rows if row.status == "unknown")
    assert unsure.reason.startswith("unsure: The most probable class is '")
    assert unsure.reason.endswith(f"with {unsure.prob:.3f}, and {middle:.3f} is needed.")
    strange = list(predict(save(with_rule(classifier, unlike_above=0.5), tmp_path / "x.telltale"), [pictures]))
    assert {(row.status, row.label, row.reason.partition(":")[0]) for row in strange} == {("unknown", "", "unlike")}
    for known in (with_rule(classifier, threshold=middle), with_rule(classifier, unlike_above=0.5)):
        answered = list(predict(known, [pictures], accept_all=True))
        assert {row.status for row in answered} == {"ok"} and all(row.label for row in answered)


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_sets_are_a_column_of_their_own(classifier, pictures, tmp_path, ending):
    rows = list(predict(with_rule(classifier), [pictures / "red"]))
    assert all("red" in row.set for row in rows)
    assert any(len(row.set) > 1 for row in predict(with_rule(classifier), [pictures])) or len(rows) == 10
    path = write_predictions(rows, tmp_path / f"answers.{ending}", columns=SETS)
    if ending == "csv":
        with open(path, newline="", encoding="utf-8") as file:
            found = [tuple(json.loads(row["set"])) for row in csv.DictReader(file)]
    elif ending == "jsonl":
        found = [tuple(json.loads(line)["set"]) for line in path.read_text().splitlines()]
    else:
        found = [tuple(one) for one in pq.read_table(path).column("set").to_pylist()]
    assert found == [row.set for row in rows]
