"""A source is found in a folder, a zip or a tar, whatever its layout, and nothing is left out in silence."""

import tarfile
import zipfile
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from telltale.data.layout import SAMPLES, place_folder
from telltale.data.source import Columns, list_pictures, name_of, open_source
from telltale.errors import SourceError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


def write(root, files):
    """Files below `root`; names in a list are pictures, whose content does not matter here."""
    for name, content in (files if isinstance(files, dict) else dict.fromkeys(files, "x")).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def pack(kind, root, target):
    """The folder itself, or an archive of it."""
    if kind == "folder":
        return root
    path = target / f"packed.{kind}"
    names = sorted(one.relative_to(root).as_posix() for one in root.rglob("*") if one.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.write(root / name, name)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for name in names:
                archive.add(root / name, name)
    return path


def rows(source):
    return {row["path"]: (row["label"], row["split"]) for row in source.samples.to_pylist()}


ANY = pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])

LAYOUTS = {
    "class folders": (
        ["cats/1.jpg", "dogs/2.PNG", "readme.txt"],
        {"cats/1.jpg": ("cats", None), "dogs/2.PNG": ("dogs", None)},
        "class folders",
    ),
    "one class": (["photos/cats/1.jpg"], {"photos/cats/1.jpg": ("cats", None)}, "class folders"),
    "below single folders": (
        ["a/b/cats/1.jpg", "a/b/dogs/2.jpg"],
        {"a/b/cats/1.jpg": ("cats", None), "a/b/dogs/2.jpg": ("dogs", None)},
        "class folders",
    ),
    "nested classes": (
        ["a/x/1.jpg", "b/x/1.jpg", "b/2.jpg"],
        {"a/x/1.jpg": ("a/x", None), "b/x/1.jpg": ("b/x", None), "b/2.jpg": ("b", None)},
        "class folders",
    ),
    "split folders": (
        ["pets/train/cats/1.jpg", "pets/validation/cats/2.jpg", "pets/test/dogs/3.jpg"],
        {
            "pets/train/cats/1.jpg": ("cats", "train"),
            "pets/validation/cats/2.jpg": ("cats", "validation"),
            "pets/test/dogs/3.jpg": ("dogs", "test"),
        },
        "split folders train, validation, test",
    ),
    "split folders by other names": (
        ["Training/cats/1.jpg", "VALID/cats/2.jpg", "val/dogs/3.jpg", "testing/dogs/4.jpg"],
        {
            "Training/cats/1.jpg": ("cats", "train"),
            "VALID/cats/2.jpg": ("cats", "validation"),
            "val/dogs/3.jpg": ("dogs", "validation"),
            "testing/dogs/4.jpg": ("dogs", "test"),
        },
        "split folders train, validation, test",
    ),
    "only train": (["x/train/cats/1.jpg"], {"x/train/cats/1.jpg": ("cats", "train")}, "split folders train"),
    "splits inside classes": (
        ["cats/train/1.jpg", "cats/val/2.jpg", "dogs/train/3.jpg"],
        {
            "cats/train/1.jpg": ("cats", "train"),
            "cats/val/2.jpg": ("cats", "validation"),
            "dogs/train/3.jpg": ("dogs", "train"),
        },
        "split folders train, validation",
    ),
}


@ANY
@pytest.mark.parametrize(("files", "expected", "words"), LAYOUTS.values(), ids=LAYOUTS)
def test_folder_layouts(kind, files, expected, words, tmp_path):
    source = open_source(pack(kind, write(tmp_path / "in", files), tmp_path))
    assert rows(source) == expected
    assert source.layout == words
    assert source.notes == ()
    assert source.samples.schema == SAMPLES
    assert source.classes == tuple(sorted({label for label, _ in expected.values()}))


@given(st.lists(st.sampled_from(["train", "Val", "test", "cats", "dogs", "x"]), max_size=4).map("/".join))
def test_a_split_name_at_the_front_is_never_taken_for_a_class(folder):
    split, label = place_folder(folder, "")
    parts = folder.split("/") if folder else []
    assert len(parts) == len(label.split("/") if label else []) + bool(split)
    if parts and parts[0] in ("train", "Val", "test"):
        assert split == {"train": "train", "Val": "validation", "test": "test"}[parts[0]]


def test_a_folder_called_test_without_classes_is_no_class(tmp_path):
    source = open_source(write(tmp_path, ["cats/1.jpg", "dogs/2.jpg", "test/3.jpg", "test/4.jpg", "5.jpg"]))
    assert set(source.classes) == {"cats", "dogs"}
    assert source.notes == (
        f"1 picture is left out: they lie directly in '{tmp_path}', in no class folder.",
        "2 pictures are left out: 'test' has no class folders in it.",
    )


def test_what_lies_beside_split_folders_is_left_out_and_said(tmp_path):
    write(
        tmp_path, ["train/cats/1.jpg", "val/cats/2.jpg", "train/3.jpg", *(f"old{number}/4.jpg" for number in range(6))]
    )
    source = open_source(tmp_path)
    assert set(rows(source)) == {"train/cats/1.jpg", "val/cats/2.jpg"}
    assert "1 picture is left out: 'old0' is outside the split folders." in source.notes
    assert source.notes[-1] == "And more in 2 other folders."


@ANY
def test_a_kaggle_folder(kind, tmp_path):
    files = dict.fromkeys(["dogs/train/a1.jpg", "dogs/train/b2.jpg", "dogs/test/c3.jpg", "dogs/test/a1.jpg"], "x")
    files["dogs/labels.csv"] = "id,breed\na1,pug\nb2,boxer\n"
    files["dogs/sample_submission.csv"] = "id,boxer,pug\nc3,0.5,0.5\n"
    source = open_source(pack(kind, write(tmp_path / "in", files), tmp_path))
    assert rows(source) == {"dogs/train/a1.jpg": ("pug", None), "dogs/train/b2.jpg": ("boxer", None)}
    assert source.layout == "table labels.csv"
    assert source.notes == ("dogs/labels.csv: pictures from column 'id', labels from 'breed'.",)


def test_a_submission_with_a_label_column_is_no_table_of_labels(tmp_path):
    files = {
        "train/1.jpg": "",
        "test/2.jpg": "",
        "train.csv": "id,label\n1,cat\n",
        "sample_submission.csv": "id,label\n2,0\n",
    }
    assert rows(open_source(write(tmp_path, files))) == {"train/1.jpg": ("cat", "train")}


RESOLVED = {
    "beside the table": (["1.jpg"], "1.jpg", "1.jpg"),
    "without ending": (["1.jpeg"], "1", "1.jpeg"),
    "in images": (["images/1.jpg"], "1.jpg", "images/1.jpg"),
    "in a folder of its own name": (["whatever/1.jpg"], "1", "whatever/1.jpg"),
    "own folder before train": (["1.jpg", "train/1.jpg"], "1.jpg", "1.jpg"),
    "train before test": (["test/1.jpg", "train/1.jpg"], "1.jpg", "train/1.jpg"),
    "images before others": (["a/1.jpg", "images/1.jpg"], "1", "images/1.jpg"),
    "with folders": (["images/cats/1.jpg", "images/dogs/1.jpg"], "dogs/1.jpg", "images/dogs/1.jpg"),
    "backslashes": (["images/cats/1.jpg"], "images\\cats\\1.jpg", "images/cats/1.jpg"),
    "dot in front": (["images/1.jpg"], "./images/1.jpg", "images/1.jpg"),
    "dots in the name": (["images/1.2.jpg"], "1.2", "images/1.2.jpg"),
    "umlauts": (["images/früh/ä.jpg"], "früh/ä", "images/früh/ä.jpg"),
}


@pytest.mark.parametrize("direct", [True, False], ids=["table", "folder"])
@pytest.mark.parametrize(("files", "name", "expected"), RESOLVED.values(), ids=RESOLVED)
def test_where_a_tables_names_lead(direct, files, name, expected, tmp_path):
    write(tmp_path, files)
    write(tmp_path, {"labels.csv": f"file,label\n{name},cat\n"})
    source = open_source(tmp_path / "labels.csv" if direct else tmp_path)
    assert rows(source) == {expected: ("cat", None)}
    assert source.store.read(expected) == b"x"


def test_absolute_names_below_the_table_are_understood(tmp_path):
    write(tmp_path, ["images/1.jpg"])
    write(tmp_path, {"labels.csv": f"file,label\n{tmp_path}/images/1.jpg,cat\n"})
    assert rows(open_source(tmp_path / "labels.csv")) == {"images/1.jpg": ("cat", None)}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/etc/secret.jpg", "a/../../secret.jpg", "C:/secret.jpg", "https://x.org/secret.jpg"]
)
def test_names_that_lead_outside_are_refused(kind, name, tmp_path):
    write(tmp_path, ["secret.jpg"])
    write(tmp_path / "in", ["1.jpg"])
    write(tmp_path / "in", {"labels.csv": f"file,label\n1.jpg,cat\n{name},dog\n"})
    with pytest.raises(
        SourceError, match=r"'labels.csv' names '.*secret.jpg', which is not below its own folder"
    ) as caught:
        open_source(pack(kind, tmp_path / "in", tmp_path))
    assert caught.value.do == "Move the table to a folder above the pictures and shorten the names."


def test_split_and_group_columns(tmp_path):
    write(tmp_path, [f"{number}.jpg" for number in range(4)])
    table = "id,label,Split,patient\n0,a,Train,p1\n1,a,valid,\n2,b,TEST,p2\n3,b,,p2\n"
    source = open_source(write(tmp_path, {"labels.csv": table}))
    assert source.samples.column("split").to_pylist() == ["train", "validation", "test", None]
    assert source.samples.column("group").to_pylist() == ["p1", None, "p2", "p2"]


def test_a_split_column_with_other_values(tmp_path):
    write(tmp_path, {"1.jpg": "", "labels.csv": "id,label,partition\n1,a,fold7\n"})
    source = open_source(tmp_path)
    assert rows(source) == {"1.jpg": ("a", None)}
    assert "labels.csv: column 'partition' is not taken for the split, because it says 'fold7'." in source.notes
    with pytest.raises(
        SourceError, match=r"the column 'partition' says 'fold7'\. One of train, training, val"
    ) as caught:
        open_source(tmp_path, Columns(split="partition"))
    assert caught.value.do == "Rename those values, or leave out --split-col."


def test_tables_named_after_splits(tmp_path):
    write(tmp_path, ["train/1.jpg", "test/1.jpg", "val/1.jpg"])
    tables = {f"{name}.csv": f"id,label\n1,{name}\n" for name in ("train", "val", "test")}
    source = open_source(write(tmp_path, tables))
    assert rows(source) == {
        "train/1.jpg": ("train", "train"),
        "val/1.jpg": ("val", "validation"),
        "test/1.jpg": ("test", "test"),
    }
    assert source.layout == "tables test.csv, train.csv, val.csv"


def test_tables_inside_split_folders(tmp_path):
    files = {"train/1.jpg": "", "test/1.jpg": ""}
    files |= {f"{name}/metadata.jsonl": f'{{"file_name": "1.jpg", "label": "{name}"}}\n' for name in ("train", "test")}
    assert rows(open_source(write(tmp_path, files))) == {
        "train/1.jpg": ("train", "train"),
        "test/1.jpg": ("test", "test"),
    }


def test_split_folders_speak_where_the_table_does_not(tmp_path):
    write(tmp_path, ["train/1.jpg", "validation/2.jpg", "more/3.jpg"])
    write(tmp_path, {"labels.csv": "path,label\ntrain/1.jpg,a\nvalidation/2.jpg,b\nmore/3.jpg,c\n"})
    assert [split for _, split in rows(open_source(tmp_path)).values()] == ["train", "validation", None]


def test_two_tables_that_disagree_are_refused(tmp_path):
    write(tmp_path, {"1.jpg": "", "2.jpg": "", "a.csv": "id,label\n1,cat\n2,dog\n", "b.csv": "id,label\n2.jpg,cat\n"})
    with pytest.raises(
        SourceError, match=r"'a.csv' and 'b.csv' disagree: the label of '2.jpg' is 'dog' in one row and 'cat'"
    ) as caught:
        open_source(tmp_path)
    assert (caught.value.expected, caught.value.exit_code) == ("One label per picture.", 2)
    assert caught.value.do == "Correct the rows, or give the one table that is right."
    assert rows(open_source(tmp_path / "a.csv")) == {"1.jpg": ("cat", None), "2.jpg": ("dog", None)}


def test_a_table_that_contradicts_itself_is_refused(tmp_path):
    write(tmp_path, {"1.jpg": "", "2.jpg": "", "a.csv": "id,label\n2,cat\n1,cat\n1,dog\n"})
    with pytest.raises(
        SourceError, match=r"The table 'a.csv' contradicts itself: the label of '1.jpg' is 'cat' in one row and 'dog'"
    ):
        open_source(tmp_path)
    write(tmp_path, {"a.csv": "id,label,split\n1,cat,train\n1,cat,test\n"})
    with pytest.raises(SourceError, match=r"the split of '1.jpg' is 'train' in one row and 'test' in another"):
        open_source(tmp_path)


def test_tables_that_agree_are_merged(tmp_path):
    write(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    write(
        tmp_path, {"labels.csv": "id,label,group\n3,dog,\n1,cat,g\n2,dog,\n1,cat,\n", "train.csv": "id,label\n1,cat\n"}
    )
    source = open_source(tmp_path)
    assert rows(source) == {"3.jpg": ("dog", None), "1.jpg": ("cat", "train"), "2.jpg": ("dog", None)}
    assert source.samples.column("group").to_pylist() == [None, "g", None]
    assert "2 rows name a picture again, with the same label: each picture counts once." in source.notes


def test_missing_pictures_stay_as_rows_and_are_counted(tmp_path):
    write(tmp_path, {"images/1.jpg": "", "labels.csv": "id,label\n1,cat\n2,dog\n3,dog\n"})
    source = open_source(tmp_path)
    assert rows(source) == {"images/1.jpg": ("cat", None), "2": ("dog", None), "3": ("dog", None)}
    assert "2 of 3 pictures that 'labels.csv' names are missing, such as '2'." in source.notes
    with pytest.raises(FileNotFoundError):
        source.store.read("2")


@pytest.mark.parametrize("direct", [True, False], ids=["table", "folder"])
def test_a_table_of_missing_pictures_is_refused(direct, tmp_path):
    write(tmp_path, {"images/9.jpg": "", "labels.csv": "id,label\n1,cat\n2,dog\n3,dog\n4,dog\n"})
    path = tmp_path / "labels.csv" if direct else tmp_path
    with pytest.raises(
        SourceError, match=r"None of the 4 pictures that 'labels.csv' names is there: '1', '2', '3'\."
    ) as caught:
        open_source(path)
    assert f"with or without their ending, in '{tmp_path}" in caught.value.expected
    assert "name another column with --image-col" in caught.value.do


def test_an_empty_label_is_fatal(tmp_path):
    write(tmp_path, {"1.jpg": "", "2.jpg": "", "labels.csv": "id,label\n1,cat\n2,\n"})
    with pytest.raises(SourceError, match="'label' is empty in row 3"):
        open_source(tmp_path)


def test_a_table_beside_class_folders(tmp_path):
    write(tmp_path, ["cats/1.jpg", "dogs/2.jpg"])
    write(tmp_path, {"licences.csv": "filename,licence\n1.jpg,MIT\n"})
    source = open_source(tmp_path)
    assert source.layout == "class folders"
    why = "The table 'licences.csv' has no column that says their class: its columns are 'filename', 'licence'."
    assert f"{why} The class folders are used." in source.notes
    write(tmp_path, {"labels.csv": "filename,label\ncats/1.jpg,felix\n"})
    assert rows(open_source(tmp_path)) == {"cats/1.jpg": ("felix", None)}
    assert rows(open_source(tmp_path, Columns(label="licence"))) == {"cats/1.jpg": ("MIT", None)}


def test_one_table_is_used_and_the_other_is_mentioned(tmp_path):
    write(tmp_path, {"1.jpg": "", "labels.csv": "id,label\n1,cat\n", "sizes.csv": "id,width,height\n1,2,3\n"})
    notes = open_source(tmp_path).notes
    why = "The table 'sizes.csv' has no column that says their class: its columns are 'id', 'width', 'height'."
    assert f"{why} It is not used." in notes


def test_columns_without_a_table(tmp_path):
    write(tmp_path, ["cats/1.jpg"])
    with pytest.raises(SourceError, match="Columns are named, but there is no table in"):
        open_source(tmp_path, Columns(label="breed"))


@pytest.mark.parametrize("direct", [True, False], ids=["table", "folder"])
def test_an_unknown_column_is_refused(direct, tmp_path):
    write(tmp_path, {"cats/1.jpg": "", "labels.csv": "id,breed\n1,cat\n"})
    with pytest.raises(
        SourceError, match=r"no column 'bread'\. Did you mean 'breed'\? Its columns are 'id', 'breed'\."
    ):
        open_source(tmp_path / "labels.csv" if direct else tmp_path, Columns(label="bread"))


@ANY
@pytest.mark.parametrize(
    "files", [["1.jpg", "2.jpg"], ["x/1.jpg"], ["train/1.jpg", "test/2.jpg"]], ids=["flat", "one folder", "splits"]
)
def test_pictures_without_classes_are_refused_with_a_drawing(kind, files, tmp_path):
    files = files if files != ["x/1.jpg"] else ["1.jpg"]
    with pytest.raises(SourceError, match=r"pictures, but nothing that says their class") as caught:
        open_source(pack(kind, write(tmp_path / "in", files), tmp_path))
    assert "pictures/train/cats/1.jpg   pictures/validation/cats/2.jpg" in caught.value.expected
    assert "folder of their own" in caught.value.do


NOTHING = {
    "empty": ([], r"There are no pictures in '.*': no files\.", "Check the path."),
    "other files": (["a.txt", "b.txt", "c.dcm"], r"only other files \(.txt, .dcm\)", "Check the path."),
    "no ending": (["a", "b"], "only files without an ending", "Check the path."),
    "a table alone": (["labels.csv"], "only the table 'labels.csv'", "Check the path."),
    "archives": (
        ["x/train.zip"],
        r"only other files \(.zip\)",
        "Give an archive in it by its own name, such as 'x/train.zip'.",
    ),
}


@pytest.mark.parametrize(("files", "why", "do"), NOTHING.values(), ids=NOTHING)
def test_no_pictures(files, why, do, tmp_path):
    with pytest.raises(SourceError, match=why) as caught:
        open_source(write(tmp_path, files))
    assert caught.value.do == do
    assert "One of three layouts:" in caught.value.expected


def test_no_such_source():
    with pytest.raises(SourceError, match="There is no 'nowhere'"):
        open_source("nowhere")
    with pytest.raises(SourceError, match=r"There is no 'nowhere.csv'"):
        open_source("nowhere.csv")
    with pytest.raises(SourceError, match=r"The path is empty\. A folder, an archive, a table or a URL\."):
        open_source("")
    with pytest.raises(SourceError, match="There is no way to read 'gopher' URLs"):
        open_source("gopher://example.org/a.zip")


def test_a_table_that_cannot_be_read(tmp_path):
    write(tmp_path, {"1.jpg": ""})
    (tmp_path / "labels.csv").symlink_to(tmp_path / "pipe")
    with pytest.raises(SourceError, match=r"The table 'labels.csv' cannot be read \(No such file or directory\)"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/cats.ZIP", "cats"),
        ("x.tar.gz", "x"),
        ("birds.csv", "birds"),
        ("birds/train.csv", "birds"),
        ("a b!", "a_b"),
        ("v1.5", "v1.5"),
    ],
)
def test_names_for_run_folders(path, name, tmp_path):
    assert name_of(tmp_path / path) == name


def test_a_name_from_the_folder_that_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "pets", ["cats/1.jpg", "dogs/1.jpg"]))
    assert open_source(".").name == "pets"


@ANY
def test_pictures_to_predict(kind, tmp_path):
    files = ["b/2.jpg", "a.png", "labels.csv", ".hidden.jpg"]
    store, paths = list_pictures(pack(kind, write(tmp_path / "in", files), tmp_path))
    assert paths == ["a.png", "b/2.jpg"]
    assert store.read("a.png") == b"x"


def test_a_single_file_to_predict_is_taken_at_its_word(tmp_path):
    write(tmp_path, {"photo.jpg": "1", "notes.txt": "2", "bad.zip": "3"})
    for name, content in (("photo.jpg", b"1"), ("notes.txt", b"2")):
        store, paths = list_pictures(tmp_path / name)
        assert (paths, store.read(name)) == ([name], content)
    with pytest.raises(SourceError, match="is no archive"):
        list_pictures(tmp_path / "bad.zip")
    with pytest.raises(SourceError, match="There is no"):
        list_pictures(tmp_path / "photo2.jpg")
    with pytest.raises(SourceError, match="There are no pictures in"):
        list_pictures(write(tmp_path / "empty", ["a.txt"]))


def test_many_rows_are_resolved_quickly(tmp_path):
    names = [f"images/{number:05}.jpg" for number in range(20_000)]
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
        archive.writestr("labels.csv", "id,label\n" + "".join(f"{name[7:12]},{name[11]}\n" for name in reversed(names)))
    source = open_source(tmp_path / "many.zip")
    assert source.samples.column("path").to_pylist() == names[::-1]
    assert source.classes == tuple("0123456789")


def test_real_cats_and_dogs(shared):
    source = open_source(shared / "data" / "cats_and_dogs.zip")
    assert (source.name, source.classes) == ("cats_and_dogs", ("cats", "dogs"))
    assert source.layout == "split folders train, validation"
    assert Counter(source.samples.column("split").to_pylist()) == {"train": 2000, "validation": 500}
    assert source.notes == ()


def test_real_dog_breeds(shared):
    source = open_source(shared / "data" / "dog_breeds.zip")
    assert (len(source.samples), len(source.classes)) == (798, 120)
    assert source.layout == "table labels.csv"
    assert set(source.samples.column("split").to_pylist()) == {None}
    assert all(path.startswith("dog_breeds/train/") for path in source.samples.column("path").to_pylist())
    assert len(list_pictures(shared / "data" / "dog_breeds.zip")[1]) == 998
