"""Folders behind fsspec URLs are listed and read where they lie, and every way to fail is one clear message."""

import io
import os
import re
import socket
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
import fsspec
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from telltale.data.archive import is_path, is_remote, local_path, open_store
from telltale.data.index import Index, scan
from telltale.data.remote_store import FsspecStore, fetch_file
from telltale.data.source import list_pictures, open_source
from telltale.errors import SourceError
from telltale.progress import Advance, Note

PICTURES = ["cats/1.png", "cats/2.png", "dogs/3.png", "dogs/ü 4 #1+%20?.png"]


def draw(number):
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def server():
    """A real S3 server on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "no_proxy": "127.0.0.1",
        }.items():
            patch.setenv(name, value)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        server.url = f"http://{host}:{port}"
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server
        server.stop()


@pytest.fixture(scope="module")
def s3(server):
    """A client, and the bucket `pets` with class folders, a table, an archive and shards."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="pets")
    for number, name in enumerate(PICTURES):
        client.put_object(Bucket="pets", Key=f"photos/{name}", Body=draw(number))
    client.put_object(Bucket="pets", Key="photos/.hidden/5.png", Body=b"x")
    client.put_object(Bucket="pets", Key="photos/cats/", Body=b"")
    client.put_object(Bucket="pets", Key="table/labels.csv", Body=b"image,label\na.png,cat\nb.png,dog\nc.png,dog\n")
    for number, name in enumerate("ab"):
        client.put_object(Bucket="pets", Key=f"table/images/{name}.png", Body=draw(number))
    client.put_object(Bucket="pets", Key="packed.zip", Body=zipped())
    yield client
    client.close()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(PICTURES[:3]):
            archive.writestr(zipfile.ZipInfo(name), draw(number))
    return file.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


@pytest.fixture
def forgetful():
    """The library keeps connections with their credentials; the tests that change these start from none."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def memory():
    """What is written here is found under `memory://pets`."""
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/pets", recursive=True)


def test_a_bucket_is_listed_and_read_without_a_copy(s3, cache):
    store = FsspecStore("s3://pets/photos/")
    assert [entry.path for entry in store.list()] == PICTURES
    assert [entry.size for entry in store.list()] == [len(draw(number)) for number in range(4)]
    assert [store.read(name) for name in PICTURES] == [draw(number) for number in range(4)]
    assert store.location == "s3://pets/photos"
    assert store.readers >= 16
    assert not any(cache.iterdir())


def test_many_threads_read_a_bucket_at_once(s3):
    store = FsspecStore("s3://pets/photos")
    with ThreadPoolExecutor(store.readers) as pool:
        found = list(pool.map(store.read, PICTURES * 20))
    assert found == [draw(number) for number in range(4)] * 20


def test_a_scan_of_a_bucket_is_one_of_the_same_folder(s3, tmp_path):
    for number, name in enumerate(PICTURES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(draw(number))
    here, there = scan(tmp_path), scan("s3://pets/photos")
    assert there.table == here.table
    assert there.classes == ("cats", "dogs")
    assert there.name == "photos"


def test_an_index_of_a_bucket_finds_its_pictures_again(s3, tmp_path):
    scan("s3://pets/photos").save(tmp_path / "index.arrow")
    index = Index.load(tmp_path / "index.arrow")
    assert index.location == "s3://pets/photos"
    assert [index.store.read(path) for path in index.paths] == [draw(number) for number in range(4)]


def test_a_table_in_a_bucket_lies_beside_its_pictures(s3):
    source = open_source("s3://pets/table/labels.csv")
    assert [(row["path"], row["label"]) for row in source.samples.to_pylist()] == [
        ("images/a.png", "cat"),
        ("images/b.png", "dog"),
        ("c.png", "dog"),
    ]
    assert source.store.location == "s3://pets/table"
    assert any("1 of 3 pictures" in note for note in source.notes)


def test_an_archive_in_a_bucket_is_fetched_once_and_read_in_place(s3, cache):
    told = []
    source = open_source("s3://pets/packed.zip", tell=told.append)
    assert source.samples.column("path").to_pylist() == PICTURES[:3]
    assert source.store.read("cats/1.png") == draw(0)
    assert source.store.location == "s3://pets/packed.zip"
    assert isinstance(told[0], Advance) and told[0].done == told[0].total == len(zipped())
    again = []
    assert open_store(source.store.location, tell=again.append).read("cats/2.png") == draw(1)
    assert [type(one) for one in again] == [Note] and "was fetched before" in again[0].text
    assert len(list(cache.rglob("*packed.zip"))) == 1


def test_a_changed_archive_is_fetched_anew(s3):
    s3.put_object(Bucket="pets", Key="changing.bin", Body=b"first")
    assert fetch_file("s3://pets/changing.bin").read_bytes() == b"first"
    s3.put_object(Bucket="pets", Key="changing.bin", Body=b"other")
    assert fetch_file("s3://pets/changing.bin").read_bytes() == b"other"


def test_a_fetch_goes_on_from_what_has_arrived(s3, cache):
    fetch_file("s3://pets/packed.zip")
    (final,) = cache.rglob("*packed.zip")
    final.with_name(".part").write_bytes(zipped()[:100])
    final.unlink()
    told = []
    assert fetch_file("s3://pets/packed.zip", tell=told.append).read_bytes() == zipped()


def test_pictures_to_predict_from_a_bucket(s3):
    store, paths = list_pictures("s3://pets/photos/cats/1.png")
    assert (store.location, paths) == ("s3://pets/photos/cats", ["1.png"])
    assert list_pictures("s3://pets/photos")[1] == PICTURES


def test_files_without_bytes_and_files_that_are_gone(s3):
    s3.put_object(Bucket="pets", Key="odd/empty.png", Body=b"")
    store = FsspecStore("s3://pets/odd")
    assert store.read("empty.png") == b""
    for path in ("gone.png", "../photos/cats/1.png", "a\0b.png"):
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            store.read(path)


def test_a_picture_above_the_limit_is_one_error_of_the_file(memory, monkeypatch):
    monkeypatch.setattr("telltale.data.store.MAX_BYTES", 10)
    memory.pipe_file("/pets/cats/large.png", b"x" * 11)
    with pytest.raises(OSError, match="it has more than 10 bytes"):
        FsspecStore("memory://pets").read("cats/large.png")


def test_a_folder_in_memory(memory):
    for number, name in enumerate(PICTURES):
        memory.pipe_file(f"/pets/{name}", draw(number))
    index = scan("memory://pets")
    assert index.paths == PICTURES
    assert index.counts == {"cats": 2, "dogs": 2}
    assert 1 < FsspecStore("memory://pets").readers < 32


def test_a_file_url_is_a_path(tmp_path):
    (tmp_path / "a b" / "cats").mkdir(parents=True)
    (tmp_path / "a b" / "cats" / "1.png").write_bytes(draw(0))
    for url in (f"file://{tmp_path}/a b", f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a b"):
        assert open_source(url).samples.column("path").to_pylist() == ["cats/1.png"]
        assert local_path(url) == tmp_path / "a b"
        assert not is_remote(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "s3://pets/nothing",
            "There is no 's3://pets/nothing'. A bucket and a folder that are there and hold somethin",
        ),
        ("s3://nobodys/photos", "There is no 's3://nobodys/photos'"),
        ("s3://", "'s3://' names no folder. s3://bucket/folder. Add the bucket"),
        ("gopher://x/y", "There is no way to read 'gopher' URLs. s3://, gs://, https:// or another"),
        ("gcss://x/y", "There is no way to read 'gcss' URLs. Did you mean gcs://?"),
        ("gs://pets/x", "gs:// needs a package that is not installed. The library of that service. pip install"),
        ("abfs://pets/x", "abfs:// needs a package that is not installed. Install adlfs"),
        ("sftp://me:secret@127.0.0.1/x", "The sftp URL of '127.0.0.1' holds a password. A URL without it"),
    ],
)
def test_a_url_that_cannot_be_right(url, words, s3, monkeypatch):
    for name in ("gcsfs", "gcsfs.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SourceError, match=re.escape(words)) as caught:
        open_source(url)
    assert "secret" not in str(caught.value)


def test_a_missing_extra_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(SourceError, match=r"pip install 'telltale\[s3\]'") as caught:
        open_source("s3://pets/photos")
    assert "\n" not in str(caught.value)


def test_no_credentials(s3, forgetful, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceError, match=r"may not be read \(Unable to locate credentials\).*aws configure"):
        open_source("s3://pets/photos")


class Proxy(threading.Thread):
    """Passes bytes between a client and the server, and does harm to the first answers: `harm` says which."""

    def __init__(self, target, harm):
        super().__init__(daemon=True)
        self.target, self.harm, self.served = target, list(harm), 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            while head := self.receive(client):
                self.served += 1
                harm = self.harm.pop(0) if self.harm else ""
                if harm == "503":
                    client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                    continue
                with socket.create_connection(self.target) as server:
                    server.sendall(re.sub(rb"\r\n\r\n$", b"\r\nConnection: close\r\n\r\n", head))
                    answer = b""
                    while piece := server.recv(65536):
                        answer += piece
                if harm == "cut":
                    client.sendall(answer[:-10])
                    return
                client.sendall(re.sub(rb"(?i)\r\nconnection: close", b"", answer, count=1))

    @staticmethod
    def receive(client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            try:
                piece = client.recv(65536)
            except OSError:
                return b""
            if not piece:
                return b""
            head += piece
        return head


@pytest.mark.parametrize("harm", [["503"], ["cut"], ["503", "cut", "503"]], ids=str)
def test_answers_that_break_are_asked_for_again(harm, s3, forgetful, server, monkeypatch):
    proxy = Proxy(server.get_host_and_port(), harm)
    proxy.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    try:
        store = FsspecStore("s3://pets/photos", pause=0.01)
        assert [store.read(name) for name in PICTURES] == [draw(number) for number in range(4)]
        assert proxy.served >= len(PICTURES) + 1 + len(harm)
    finally:
        proxy.socket.close()


class Flaky(fsspec.get_filesystem_class("memory")):
    """A file system whose connection breaks; `breaks` says how often."""

    protocol = "flaky"
    breaks = 0
    error: Exception = ConnectionResetError("reset by peer")
    cachable = False
    cut = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def cat_file(self, path, start=None, end=None, **kwargs):
        if type(self).breaks:
            type(self).breaks -= 1
            raise self.error
        if self.cut:
            return b""
        return super().cat_file(path, start=start, end=end, **kwargs)


@pytest.fixture
def flaky(memory, monkeypatch):
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    for number, name in enumerate(PICTURES):
        memory.pipe_file(f"/pets/{name}", draw(number))
    yield FsspecStore("flaky://pets", pause=0.001)
    Flaky.breaks, Flaky.error = 0, ConnectionResetError("reset by peer")


def test_a_library_that_does_not_try_again_is_asked_three_times(flaky):
    Flaky.breaks = 2
    assert flaky.read("cats/1.png") == draw(0)


def test_a_server_that_stops_answering_ends_the_scan_instead_of_spoiling_it(flaky):
    Flaky.breaks = 10**6
    words = r"The server of 'flaky://pets' does not answer \(reset by peer\)\. A server that can be reached\."
    with pytest.raises(SourceError, match=words):
        scan("flaky://pets")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PermissionError(13, "Forbidden"), "unreadable"), (FileNotFoundError(2, "gone"), "missing")],
)
def test_a_clear_no_for_one_picture_is_a_row_with_a_reason(error, reason, flaky):
    Flaky.breaks, Flaky.error = 1, error
    index = scan("flaky://pets", threads=1)
    assert [row["error"] for row in index.table.to_pylist()] == [reason, None, None, None]


def test_a_file_that_shrinks_while_it_is_fetched(flaky, monkeypatch):
    monkeypatch.setattr(Flaky, "cut", True)
    with pytest.raises(SourceError, match=r"'flaky://pets/cats/1.png' ended after 0 of \d+ bytes"):
        fetch_file("flaky://pets/cats/1.png")


def test_what_tells_a_path_from_other_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [is_path(one) for one in ("x-{0..3}.tar", "x", "hf:user/name", "memory://x")] == [False, True, False, False]
    (tmp_path / "x-{0..3}.tar").mkdir()
    (tmp_path / "x-{0..3}.tar" / "cats").mkdir()
    (tmp_path / "x-{0..3}.tar" / "cats" / "1.png").write_bytes(draw(0))
    assert is_path("x-{0..3}.tar")
    assert open_source("x-{0..3}.tar").samples.column("path").to_pylist() == ["cats/1.png"]


def test_a_server_that_is_not_there_is_said_within_a_deadline(forgetful, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, never answers
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setattr("telltale.data.remote_store.CONTACT", 1.0)
        with pytest.raises(SourceError, match=r"The server of 's3://pets/photos' does not answer \(no answer in"):
            open_source("s3://pets/photos")


def test_a_name_that_no_encoding_knows_stays_readable(memory, tmp_path):
    path = os.fsdecode(b"/pets/cats/caf\xe9.png")
    memory.pipe_file(path, draw(0))
    store = FsspecStore("memory://pets")
    assert [entry.path for entry in store.list()] == ["cats/caf%E9.png"]
    assert store.read("cats/caf%E9.png") == draw(0)
