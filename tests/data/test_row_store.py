"""Hugging Face data sets: saved in a folder, on the hub (a real server on this machine), or as an image folder."""

import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from telltale.data.archive import open_store
from telltale.data.index import scan
from telltale.data.source import Columns, list_pictures, open_source
from telltale.errors import SourceError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    datasets.disable_progress_bars()
    return folder


def draw(number, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(file, kind)
    return file.getvalue()


def make(numbers, names=None, **columns):
    """Rows with a picture each, called `names`, and a `ClassLabel` of cats and dogs; more columns by name."""
    pictures = [
        {"bytes": draw(number), "path": names[place] if names else None} for place, number in enumerate(numbers)
    ]
    data = {"image": pictures, "label": [number % 2 for number in numbers], **columns}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    kinds |= {name: datasets.Dataset.from_dict({name: values}).features[name] for name, values in columns.items()}
    return datasets.Dataset.from_dict(data, features=datasets.Features(kinds))


def save(rows, folder):
    rows.save_to_disk(str(folder))
    return folder


def rows(source):
    return {row["path"]: (row["label"], row["split"]) for row in source.samples.to_pylist()}


def test_a_saved_data_set_with_splits(tmp_path):
    parts = {"train": make(range(3)), "test": make(range(3, 5), ["b.png", "images/a.png"])}
    folder = save(datasets.DatasetDict(parts), tmp_path / "pets")
    source = open_source(folder)
    assert rows(source) == {
        "train/0000000.png": ("cat", "train"),
        "train/0000001.png": ("dog", "train"),
        "train/0000002.png": ("cat", "train"),
        "test/b.png": ("dog", "test"),
        "test/a.png": ("cat", "test"),
    }
    assert source.classes == ("cat", "dog")
    assert source.layout == "Hugging Face data set, train, test"
    assert source.notes == ("Pictures from column 'image', labels from 'label'.",)
    store = open_store(source.store.location)
    numbers = {"train/0000002.png": 2, "test/b.png": 3, "test/a.png": 4}
    assert {path: store.read(path) for path in numbers} == {path: draw(number) for path, number in numbers.items()}
    assert list_pictures(folder)[1] == sorted(rows(source))
    for path in ("train/0000003.png", "test/0000000.png", "val/b.png", "b.png", "test/x/b.png", "train/x.png"):
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            store.read(path)


def test_a_scan_reads_saved_rows(tmp_path):
    folder = save(make(range(40)), tmp_path / "pets")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")}
    index = scan(folder)
    assert index.counts == {"cat": 20, "dog": 20}
    assert len(index.readable) == 40
    assert index.store.read(index.paths[7]) == draw(7)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")} == before


def test_many_threads_read_rows(tmp_path):
    store = open_store(save(make(range(20)), tmp_path / "pets"))
    paths = [entry.path for entry in store.list()] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, paths)) == [draw(number) for number in range(20)] * 20


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b.png"], ["rows/a.png", "rows/b.png"]),
        (["x/a.png", "y/a.png"], ["rows/0000000.png", "rows/0000001.png"]),
        (["a.png", None], ["rows/0000000.png", "rows/0000001.png"]),
        (["a", "b"], ["rows/0000000.png", "rows/0000001.png"]),
        ([".a.png", "b.png"], ["rows/0000000.png", "rows/0000001.png"]),
        (["C:\\x\\a.JPG", "b.png"], ["rows/a.JPG", "rows/b.png"]),
    ],
    ids=str,
)
def test_names_of_rows(names, expected, tmp_path):
    source = open_source(save(make([0, 1], names), tmp_path / "pets"))
    assert sorted(rows(source)) == sorted(expected)
    assert [source.store.read(path) for path in expected] == [draw(0), draw(1)]


def test_numbers_get_the_ending_that_the_bytes_say(tmp_path):
    kinds = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
    data = {"image": [{"bytes": draw(0, kind), "path": None} for kind in kinds], "label": ["x"] * len(kinds)}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    source = open_source(save(datasets.Dataset.from_dict(data, features=features), tmp_path / "pets"))
    assert list(rows(source)) == [f"rows/{number:07d}{ending}" for number, ending in enumerate(kinds.values())]


def test_columns_by_name(tmp_path):
    more = {"breed": ["x", "y", "x", "y"], "patient": [1, 1, 2, 2], "part": ["train", "train", "test", "test"]}
    folder = save(make(range(4), **more), tmp_path / "pets")
    assert open_source(folder).classes == ("cat", "dog")
    source = open_source(folder, Columns(label="breed", split="part"))
    assert rows(source) == {f"rows/000000{n}.png": ("xy"[n % 2], ["train", "test"][n // 2]) for n in range(4)}
    assert source.samples.column("group").to_pylist() == ["1", "1", "2", "2"]
    with pytest.raises(SourceError, match=r"no column 'bread'\. Did you mean 'breed'"):
        open_source(folder, Columns(label="bread"))
    with pytest.raises(SourceError, match="column 'breed' says 'x', 'y'"):
        open_source(folder, Columns(split="breed"))


def test_another_column_with_pictures(tmp_path):
    scans = [{"bytes": draw(number + 10), "path": None} for number in range(2)]
    both = make(range(2)).add_column("scan", scans).cast_column("scan", datasets.Image())
    source = open_source(save(both, tmp_path / "pets"), Columns(image="scan"))
    assert list(rows(source)) == ["rows/scan/0000000.png", "rows/scan/0000001.png"]
    store = open_store(source.store.location)
    assert [store.read(path) for path in rows(source)] == [draw(10), draw(11)]


def test_two_kinds_of_labels_are_said(tmp_path):
    names = datasets.ClassLabel(names=["pet", "wild"])
    both = make(range(2)).rename_column("label", "fine_label").add_column("coarse_label", [0, 0])
    source = open_source(save(both.cast_column("coarse_label", names), tmp_path / "pets"))
    assert source.classes == ("cat", "dog")
    assert "There are labels in 'coarse_label' too: choose with --label-col." in source.notes


def test_rows_without_a_label_are_left_out_and_counted(tmp_path):
    data = make(range(3)).map(lambda row, at: {"label": [0, -1, 1][at]}, with_indices=True, keep_in_memory=True)
    source = open_source(save(data, tmp_path / "pets"))
    assert list(rows(source)) == ["rows/0000000.png", "rows/0000002.png"]
    assert "1 row has no label and is left out." in source.notes


def test_splits_by_unusual_names(tmp_path):
    parts = {"train": make(range(2)), "extra": make(range(2, 5))}
    source = open_source(save(datasets.DatasetDict(parts), tmp_path / "pets"))
    assert set(rows(source)) == {"train/0000000.png", "train/0000001.png"}
    assert any("3 rows of the split 'extra' are left out" in note for note in source.notes)
    both = open_source(save(datasets.DatasetDict({"a": make([0]), "b": make([1])}), tmp_path / "others"))
    assert rows(both) == {"a/0000000.png": ("cat", None), "b/0000000.png": ("dog", None)}


def test_no_pictures_and_no_labels(tmp_path):
    texts = save(datasets.Dataset.from_dict({"text": ["x"], "label": ["y"]}), tmp_path / "texts")
    with pytest.raises(SourceError, match=r"has no column with pictures: its columns are 'text', 'label'"):
        open_source(texts)
    bare = save(make([0], about=["x"]).remove_columns("label"), tmp_path / "bare")
    words = r"has no column that says the class of a picture: its columns are 'image', 'about'.*--label-col"
    with pytest.raises(SourceError, match=words):
        open_source(bare)
    assert open_source(bare, Columns(label="about")).classes == ("x",)
    with pytest.raises(SourceError, match=r"has no column with pictures named 'about'"):
        open_source(bare, Columns(image="about"))


def test_a_data_set_may_not_name_any_file_of_yours(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(draw(9))
    folder = save(make(range(2)), tmp_path / "pets")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": None, "path": str(secret)}, {"bytes": None, "path": "beside/1.png"}]
    table = pa.table({"image": pa.array(pictures, kind), "label": [0, 1]})
    (file,) = folder.glob("*.arrow")
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (folder / "beside").mkdir()
    (folder / "beside" / "1.png").write_bytes(draw(1))
    source = open_source(folder)
    assert source.store.read("rows/1.png") == draw(1)
    with pytest.raises(OSError, match="the data set neither holds its bytes nor has the file below its own folder"):
        source.store.read("rows/secret.png")


def test_a_damaged_data_set(tmp_path):
    folder = save(make(range(2)), tmp_path / "pets")
    (file,) = folder.glob("*.arrow")
    file.write_bytes(b"nonsense")
    with pytest.raises(SourceError, match=r"The data set .*pets' cannot be read"):
        open_source(folder)


def test_the_missing_extra_is_one_line(tmp_path, monkeypatch):
    folder = save(make(range(2)), tmp_path / "pets")
    monkeypatch.setitem(sys.modules, "datasets", None)
    for place in (folder, "hf://user/pets"):
        with pytest.raises(SourceError, match=r"the package 'datasets' is not installed.*'telltale\[hf\]'") as caught:
            open_source(place)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
@pytest.mark.parametrize("folder", ["", "train/"])
def test_an_image_folder_of_the_hub_is_a_table(name, folder, tmp_path):
    (tmp_path / folder).mkdir(exist_ok=True)
    facts = [{"file_name": f"{number}.png", "label": "cat" if number else "dog"} for number in range(2)]
    for number in range(2):
        (tmp_path / folder / f"{number}.png").write_bytes(draw(number))
    lines = ["file_name,label", *(f"{one['file_name']},{one['label']}" for one in facts)]
    text = "\n".join(json.dumps(one) for one in facts) if name.endswith("jsonl") else "\n".join(lines)
    (tmp_path / folder / name).write_text(text)
    split = "train" if folder else None
    assert rows(open_source(tmp_path)) == {f"{folder}0.png": ("dog", split), f"{folder}1.png": ("cat", split)}


CARD = """---
dataset_info:
- config_name: default
  features:
  - {name: image, dtype: image}
  - name: label
    dtype: {class_label: {names: {'0': cat, '1': dog}}}
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
---
"""
COMMIT = "a" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what the library asks the hub about one data set, `user/pets`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        """Quiet."""

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if path.startswith("/api/datasets/user/pets/tree/"):
            return self.tree(path.removeprefix("/api/datasets/user/pets/tree/").partition("/")[2])
        if path.startswith("/api/datasets/user/pets"):
            names = [{"rfilename": name} for name in self.server.files]
            return self.answer(
                200, json.dumps({"id": "user/pets", "sha": COMMIT, "siblings": names, "tags": []}).encode()
            )
        if path.startswith("/datasets/user/pets/resolve/"):
            revision, _, name = path.removeprefix("/datasets/user/pets/resolve/").partition("/")
            data = self.server.files.get(name) if revision in ("main", "v1", COMMIT) else None
            if data is not None:
                return self.answer(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def tree(self, folder):
        below = {
            name: data for name, data in self.server.files.items() if name.startswith(f"{folder}/" if folder else "")
        }
        found = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in below.items()
            if os.path.dirname(name) == folder
        ]
        folders = {os.path.dirname(name) for name in below} - {folder}
        found += [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders]
        self.answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def answer(self, code, data, headers=()):
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub(tmp_path):
    """The environment of a process that finds the hub on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files = {"README.md": CARD.encode()}
    for part, numbers in {"train": range(3), "test": range(3, 5)}.items():
        file = io.BytesIO()
        pictures = [{"bytes": draw(number), "path": f"{number}.png"} for number in numbers]
        pq.write_table(pa.table({"image": pictures, "label": [number % 2 for number in numbers]}), file)
        server.files[f"data/{part}-00000-of-00001.parquet"] = file.getvalue()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    yield {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    server.shutdown()
    server.server_close()
    thread.join()


ASK = """
import json, sys
from telltale.data.archive import open_store
from telltale.data.index import scan
from telltale.data.source import open_source
from telltale.errors import UserError
answers = []
for location in sys.argv[1:]:
    try:
        source = open_source(location)
        store = open_store(source.store.location)
        samples = source.samples.to_pylist()
        sizes = [len(store.read(sample["path"])) for sample in samples]
        answers.append([source.name, source.store.location, samples, sizes, scan(location).counts])
    except UserError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def ask(environment, *locations):
    """What a process with this environment finds at these locations."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, *locations],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_data_set_on_the_hub(hub):
    found, named, unknown, other = ask(
        hub, "hf://user/pets", "hf:user/pets@v1#default", "hf://user/none", "hf://user/pets#other"
    )
    paths = ["train/0.png", "train/1.png", "train/2.png", "test/3.png", "test/4.png"]
    name, location, samples, sizes, counts = found
    assert (name, location) == ("pets", "hf://user/pets")
    assert [sample["path"] for sample in samples] == paths
    assert [sample["label"] for sample in samples] == ["cat", "dog", "cat", "dog", "cat"]
    assert [sample["split"] for sample in samples] == ["train"] * 3 + ["test"] * 2
    assert sizes == [len(draw(number)) for number in range(5)]
    assert counts == {"cat": 3, "dog": 2}
    assert named[1] == "hf://user/pets@v1#default"
    assert named[2:] == found[2:]
    assert "There is no data set 'hf://user/none' on the hub that may be read" in unknown
    assert "The data set 'hf://user/pets#other' cannot be read (BuilderConfig 'other' not found" in other
    # What has been loaded once is found again without the hub.
    offline = {**hub, "HF_HUB_OFFLINE": "1"}
    again, absent = ask(offline, "hf://user/pets", "hf://user/none")
    assert again == found
    assert "The hub does not answer for 'hf://user/none'" in absent


@pytest.mark.parametrize("name", ["hf://", "hf://a b", "hf://datasets/user/pets/train", "hf://user/pets@"])
def test_names_that_are_none_on_the_hub(name):
    with pytest.raises(SourceError, match=re.escape(f"{name!r} names no data set on the hub. hf://user/name")):
        open_source(name)
