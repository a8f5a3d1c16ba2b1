"""WebDataset shards are read where they lie: in a folder, by a pattern, one by one, behind a URL."""

import io
import json
import os
import tarfile

import fsspec
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from telltale.data.archive import open_store
from telltale.data.class_names import read_class_names
from telltale.data.shard_labels import key_of
from telltale.data.shard_store import expand_braces, is_pattern
from telltale.data.source import Columns, list_pictures, open_source
from telltale.data.store import FolderStore
from telltale.errors import SourceError
from telltale.progress import Advance


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


def draw(number):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_tar(path, files):
    """A tar with these members; what is no bytes is written as text or as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else str(content).encode()
            if isinstance(content, dict):
                data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_shard(path, numbers, label=lambda number: number % 3):
    """A tar with a picture and a `.cls` for each number."""
    files = {}
    for number in numbers:
        files |= {f"s{number:04d}.png": draw(number), f"s{number:04d}.cls": label(number)}
    return write_tar(path, files)


def rows(source):
    return {row["path"]: (row["label"], row["split"]) for row in source.samples.to_pylist()}


@pytest.fixture
def shards(tmp_path):
    """As `clip-benchmark/wds_*` on the hub lays them out: `train/0.tar`, `test/0.tar`, `classnames.txt`."""
    write_shard(tmp_path / "set" / "train" / "0.tar", range(4))
    write_shard(tmp_path / "set" / "train" / "1.tar", range(4, 6))
    write_shard(tmp_path / "set" / "test" / "0.tar", range(6, 9))
    (tmp_path / "set" / "test" / "nshards.txt").write_text("1")
    (tmp_path / "set" / "classnames.txt").write_text("cat\ndog\nold English sheepdog\n")
    return tmp_path / "set"


def test_a_folder_of_shards(shards):
    source = open_source(shards)
    names = ["cat", "dog", "old English sheepdog"]
    expected = {f"train/0.tar/s{n:04d}.png": (names[n % 3], "train") for n in range(4)}
    expected |= {f"train/1.tar/s{n:04d}.png": (names[n % 3], "train") for n in range(4, 6)}
    expected |= {f"test/0.tar/s{n:04d}.png": (names[n % 3], "test") for n in range(6, 9)}
    assert rows(source) == expected
    assert source.classes == tuple(names)
    assert source.layout == "WebDataset, 3 shards"
    assert source.notes == ("Labels from their .cls.", "Class names from classnames.txt.")
    assert source.name == "set"
    assert all(source.store.read(path) == draw(int(path[-8:-4])) for path in expected)


def test_shards_are_opened_again_by_their_location(shards, monkeypatch):
    monkeypatch.chdir(shards.parent)
    source = open_source("set")
    monkeypatch.chdir("/")
    store = open_store(os.path.join(shards.parent, source.store.location))
    for path in source.samples.column("path").to_pylist():
        assert store.read(path) == draw(int(path[-8:-4]))
    assert store.list() == source.store.list()
    for path in ("train/0.tar/none.png", "train/9.tar/s0000.png", "train/0.tar", "s0000.png"):
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            store.read(path)


def test_more_shards_than_may_be_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("telltale.data.shard_store._OPEN", 2)
    for number in range(6):
        write_shard(tmp_path / f"x-{number}.tar", [number])
    source = open_source(tmp_path)
    for _ in range(2):
        for number in (0, 5, 1, 4, 2, 3):
            assert source.store.read(f"x-{number}.tar/s{number:04d}.png") == draw(number)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("imagenet-train-{0000..0001}.tar", {0: "train", 1: "train"}),
        ("imagenet-{train,validation}-*.tar", {0: "train", 1: "train", 2: "validation"}),
        ("*.tar", {0: "train", 1: "train", 2: "validation"}),
        ("**/*-0000.tar", {0: "train", 2: "validation"}),
    ],
)
def test_a_pattern_names_shards(pattern, expected, tmp_path):
    for number, name in enumerate(("train-0000", "train-0001", "validation-0000")):
        write_shard(tmp_path / f"imagenet-{name}.tar", [number])
    source = open_source(f"{tmp_path}/{pattern}")
    assert {int(path[-8:-4]): split for path, (_, split) in rows(source).items()} == expected
    assert source.store.location == f"{tmp_path}/{pattern}"
    assert list_pictures(f"{tmp_path}/{pattern}")[1] == sorted(rows(source))


def test_shards_that_a_pattern_names_must_be_there(tmp_path):
    write_shard(tmp_path / "x-0.tar", [0])
    with pytest.raises(SourceError, match=r"2 of the 3 shards that 'x-\{0..2\}.tar' names are not there: 'x-1.tar'"):
        open_source(f"{tmp_path}/x-{{0..2}}.tar")
    with pytest.raises(SourceError, match=r"No shard in .* fits 'y-\*.tar'"):
        open_source(f"{tmp_path}/y-*.tar")
    for pattern in ("x-{0..99999999}.tar", "{0..9999}{0..9999}.tar"):
        with pytest.raises(SourceError, match=r"The pattern .* names [\d,]+ shards\."):
            open_source(f"{tmp_path}/{pattern}")


def test_one_shard(tmp_path):
    path = write_shard(tmp_path / "pets-val-000.tar", range(3), label=lambda number: ["cat", "dog"][number % 2])
    source = open_source(path)
    assert rows(source) == {
        "s0000.png": ("cat", "validation"),
        "s0001.png": ("dog", "validation"),
        "s0002.png": ("cat", "validation"),
    }
    assert source.layout == "WebDataset, 1 shard"
    assert open_store(source.store.location).read("s0001.png") == draw(1)


def test_shards_behind_a_url(shards):
    files = fsspec.filesystem("memory")
    files.put(str(shards), "/wds", recursive=True)
    try:
        here, told = open_source(shards), []
        for url in ("memory://wds", "memory://wds/**/*.tar"):
            there = open_source(url, tell=told.append)
            assert rows(there) == rows(here)
            assert there.classes == here.classes
            again = open_store(there.store.location)
            assert [again.read(path) for path in rows(there)] == [here.store.read(path) for path in rows(here)]
        assert [one.done for one in told if isinstance(one, Advance) and one.unit == "shards"] == [1, 2, 3] * 2
        one = open_source("memory://wds/train/1.tar")
        assert set(rows(one)) == {"s0004.png", "s0005.png"}
    finally:
        files.rm("/wds", recursive=True)


SIDECARS = {
    "cls": ({"a.jpg": b"x", "a.cls": "3\n", "b.jpg": b"x", "b.cls": "-1", "c.jpg": b"x"}, {"a.jpg": "3"}, "their .cls"),
    "a name in a cls": ({"a.jpg": b"x", "a.cls": "Siamese cat "}, {"a.jpg": "Siamese cat"}, "their .cls"),
    "cls.txt": ({"a.img.png": b"x", "a.cls.txt": "7"}, {"a.img.png": "7"}, "their .cls.txt"),
    "a number in json": ({"a.jpg": b"x", "a.json": {"width": 8, "label": 4}}, {"a.jpg": "4"}, "column 'label'"),
    "a name in json comes before a cls": (
        {"a.jpg": b"x", "a.cls": "4", "a.json": {"label": 4, "class_name": "cat"}},
        {"a.jpg": "cat"},
        "column 'class_name'",
    ),
    "a cls comes before a number in json": (
        {"a.jpg": b"x", "a.cls": "5", "a.json": {"label": 4}},
        {"a.jpg": "5"},
        "their .cls",
    ),
    "txt that repeats": (
        {f"{n}.{end}": b"x" if end == "jpg" else "cd"[n % 2] for n in range(6) for end in ("jpg", "txt")},
        {f"{n}.jpg": "cd"[n % 2] for n in range(6)},
        "their .txt",
    ),
    "folders within": ({"x/y/a.jpg": b"x", "x/y/a.cls": "cat"}, {"x/y/a.jpg": "cat"}, "their .cls"),
    "a picture before its mask": (
        {"a.mask.png": b"x", "a.png": b"y", "a.cls": "cat"},
        {"a.png": "cat"},
        "their .cls",
    ),
    "keys that begin alike": (
        {"a.jpg": b"x", "a.cls": "1", "a-1.jpg": b"x", "a-1.cls": "2", "aa.jpg": b"x", "aa.cls": "0"},
        {"a.jpg": "1", "a-1.jpg": "2", "aa.jpg": "0"},
        "their .cls",
    ),
}


@pytest.mark.parametrize(("files", "expected", "words"), SIDECARS.values(), ids=SIDECARS)
def test_what_says_the_class(files, expected, words, tmp_path):
    write_tar(tmp_path / "x.tar", files)
    source = open_source(tmp_path)
    assert {path.removeprefix("x.tar/"): label for path, (label, _) in rows(source).items()} == expected
    assert words in source.notes[0]
    left_out = sum(name.endswith(("jpg", "png")) and "mask" not in name for name in files) - len(expected)
    assert any(f"{left_out} pictures have no label" in note for note in source.notes) == (left_out > 1)


def test_columns_of_the_json_by_name(tmp_path):
    facts = [
        {"kind": kind, "label": 0, "patient": f"p{n // 2}", "part": part, "n": n}
        for n, (kind, part) in enumerate([("cat", "train"), ("dog", "train"), ("cat", "test"), ("dog", "test")])
    ]
    files = {}
    for number, one in enumerate(facts):
        files |= {f"{number}.mask.png": b"m", f"{number}.jpg": b"x", f"{number}.json": one}
    write_tar(tmp_path / "x.tar", files)
    source = open_source(tmp_path, Columns(label="kind", split="part", image="mask.png"))
    found = [(row["path"], row["label"], row["split"], row["group"]) for row in source.samples.to_pylist()]
    assert found == [
        ("x.tar/0.mask.png", "cat", "train", "p0"),
        ("x.tar/1.mask.png", "dog", "train", "p0"),
        ("x.tar/2.mask.png", "cat", "test", "p1"),
        ("x.tar/3.mask.png", "dog", "test", "p1"),
    ]
    with pytest.raises(SourceError, match="say no class: there are 'kind', 'label', 'patient', 'part', 'n'"):
        open_source(tmp_path, Columns(label="breed"))


def test_json_without_a_label_is_asked_about(tmp_path):
    write_tar(tmp_path / "x.tar", {"a.jpg": b"x", "a.json": {"width": 8, "caption": "a cat"}})
    with pytest.raises(SourceError, match=r"The files beside the pictures in .* say no class.*--label-col"):
        open_source(tmp_path)


def test_captions_are_no_classes(tmp_path):
    files = {f"{n}.{end}": b"x" if end == "jpg" else f"a cat, number {n}" for n in range(6) for end in ("jpg", "txt")}
    write_tar(tmp_path / "x.tar", files)
    with pytest.raises(SourceError, match="say 6 different things about 6 pictures: captions, not classes"):
        open_source(tmp_path)


def test_tars_without_labels_say_what_was_expected(tmp_path):
    write_tar(tmp_path / "cats.tar", {"1.jpg": b"x", "2.jpg": b"y"})
    with pytest.raises(SourceError, match=r"The tars in .* hold pictures, but nothing beside them that says"):
        open_source(tmp_path)


def test_a_tar_with_class_folders_is_no_webdataset(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"cats/1.jpg": b"x", "cats/1.json": {"label": 3}, "dogs/2.jpg": b"y"})
    assert rows(open_source(path)) == {"cats/1.jpg": ("cats", None), "dogs/2.jpg": ("dogs", None)}


def test_a_tar_beside_class_folders_is_left_alone(tmp_path):
    write_shard(tmp_path / "backup.tar", range(2))
    for name in ("cats/1.jpg", "dogs/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    assert set(rows(open_source(tmp_path))) == {"cats/1.jpg", "dogs/2.jpg"}


def test_a_damaged_shard_is_named(shards):
    path = shards / "train" / "1.tar"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(SourceError, match=r"1\.tar.* is damaged or cut short"):
        open_source(shards)


def test_a_shard_that_leads_outside_is_refused(tmp_path):
    write_tar(tmp_path / "x.tar", {"../a.jpg": b"x", "../a.cls": "1"})
    with pytest.raises(SourceError, match="leads out of the archive"):
        open_source(tmp_path)


NAMES = {
    "classes.txt": "cat\ndog\n",
    "classnames.txt": "\ufeffcat\r\ndog",
    "labels.txt": "cat\ndog",
    "_info.json": json.dumps({"splits": {}, "label_names": ["cat", "dog"]}),
    "info.json": json.dumps({"class_to_idx": {"dog": 1, "cat": 0}}),
    "classes.json": json.dumps({"0": "cat", "1": "dog"}),
    "dataset_info.json": json.dumps(
        {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_where_class_names_stand(name, tmp_path):
    assert read_class_names(FolderStore(tmp_path)) == ("", ())
    (tmp_path / "info.json").write_text('{"names": 3, "features": [1], "splits": {"train": 5}}')
    (tmp_path / "classes.json").write_text("[[[not json")
    (tmp_path / name).write_text(NAMES[name], encoding="utf-8")
    assert read_class_names(FolderStore(tmp_path)) == (name, ("cat", "dog"))


def test_two_classes_of_one_name_stay_two(tmp_path):
    write_shard(tmp_path / "x.tar", range(3))
    (tmp_path / "classes.txt").write_text("crane\nmaillot\ncrane")
    source = open_source(tmp_path)
    assert source.classes == ("crane (0)", "crane (2)", "maillot")
    assert "classes.txt gives 'crane' to several classes: their numbers are added." in source.notes


def test_numbers_stay_where_no_list_names_them(tmp_path):
    write_shard(tmp_path / "x.tar", range(3))
    source = open_source(tmp_path)
    assert source.classes == ("0", "1", "2")
    assert any(note.startswith("Classes are numbers: no classes.txt") for note in source.notes)
    (tmp_path / "classes.txt").write_text("cat\ndog")
    assert any("has 2 names, and there is a class 2" in note for note in open_source(tmp_path).notes)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 5))
def test_a_range_counts_with_its_zeros(start, end, width):
    names = expand_braces(f"x-{{{start:0{width}d}..{end}}}.tar")
    step = 1 if end >= start else -1
    assert [int(name[2:-4]) for name in names] == list(range(start, end + step, step))
    assert all(len(name) >= 6 + width for name in names)


@given(st.text(st.characters(exclude_characters="/.")), st.sampled_from(["jpg", "cls", "seg.png"]))
def test_a_key_ends_at_the_first_dot(stem, ending):
    assert key_of(f"a.b/{stem}.{ending}") == (f"a.b/{stem}", ending)
    assert not is_pattern(f"a/{ending}")
