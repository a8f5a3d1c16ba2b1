"""What every `Place` promises, as checks that the tests of each kind run: `check(place, tmp_path)`."""

import hashlib
import threading

import pytest

from telltale.storage.place import Stored

NAMES = ("a.json", "b-2/c_3.bin", "b-2/d/e.bin", "b-2x/f.bin")


def gives_back_what_was_written(place, tmp_path):
    content = bytes(range(256)) * 40 + b"\r\n\n\r"
    place.write("runs/x.bin", content)
    (tmp_path / "file").write_bytes(content[::-1])
    place.write("runs/y.bin", tmp_path / "file")
    assert place.read("runs/x.bin", 0, len(content)) == content
    assert place.read("runs/y.bin", 0, len(content)) == content[::-1]
    assert place.stat("runs/x.bin").size == place.stat("runs/y.bin").size == len(content)


def reads_parts(place, tmp_path):
    place.write("x", b"0123456789")
    parts = [place.read("x", start, end) for start, end in [(0, 3), (3, 10), (8, 20), (10, 12), (50, 60), (4, 4)]]
    assert parts == [b"012", b"3456789", b"89", b"", b"", b""]


def holds_files_without_bytes(place, tmp_path):
    place.write("x", b"")
    (tmp_path / "empty").write_bytes(b"")
    place.write("y", tmp_path / "empty")
    for name in ("x", "y"):
        assert place.stat(name).size == 0
        assert place.read(name, 0, 10) == b""


def replaces_a_file_of_the_same_name(place, tmp_path):
    place.write("runs/x", b"a first long version")
    place.write("runs/x", b"second")
    assert place.read("runs/x", 0, 100) == b"second"
    assert list(place.list()) == ["runs/x"]
    assert place.stat("runs/x").size == 6


def lists_what_is_below_a_folder(place, tmp_path):
    assert place.list() == {}
    for number, name in enumerate(NAMES):
        place.write(name, b"x" * number)
    found = place.list()
    assert {name: stored.size for name, stored in found.items()} == dict(zip(NAMES, range(4), strict=True))
    assert set(place.list("b-2")) == {"b-2/c_3.bin", "b-2/d/e.bin"}
    assert set(place.list("b-2/d")) == {"b-2/d/e.bin"}
    assert place.list("nowhere") == {}


def names_the_folders_right_below_it(place, tmp_path):
    assert place.folders() == ()
    for name in NAMES:
        place.write(name, b"x")
    assert place.folders() == ("b-2", "b-2x")


def says_that_a_file_is_missing(place, tmp_path):
    place.write("folder/x", b"x")
    for name in ("y", "folder/y", "folder", "nowhere/y"):
        with pytest.raises(FileNotFoundError):
            place.stat(name)
        with pytest.raises(FileNotFoundError):
            place.read(name, 0, 1)


def deletes_one_file(place, tmp_path):
    for name in NAMES:
        place.write(name, b"x")
    place.delete("b-2/d/e.bin")
    place.delete("b-2/d/e.bin")
    place.delete("nowhere/at/all")
    assert set(place.list()) == set(NAMES) - {"b-2/d/e.bin"}
    with pytest.raises(FileNotFoundError):
        place.stat("b-2/d/e.bin")


def says_a_hash_only_if_it_is_right(place, tmp_path):
    content = b"some content"
    place.write("x", content)
    for stored in (place.stat("x"), place.list()["x"]):
        assert isinstance(stored, Stored)
        assert stored.md5 in ("", hashlib.md5(content).hexdigest())
        assert stored.sha256 in ("", hashlib.sha256(content).hexdigest())


def works_from_any_thread(place, tmp_path):
    place.write("x", b"x")
    found = []
    for number in range(2):
        thread = threading.Thread(target=lambda: found.append(place.read("x", 0, 1)), name=str(number))
        thread.start()
        thread.join()
    assert found == [b"x", b"x"]


def does_not_touch_the_source(place, tmp_path):
    path = tmp_path / "source"
    path.write_bytes(b"mine")
    place.write("x", path)
    place.delete("x")
    assert path.read_bytes() == b"mine"
    with pytest.raises(FileNotFoundError):
        place.write("y", tmp_path / "not there")
    assert place.list() == {}


CHECKS = (
    gives_back_what_was_written,
    reads_parts,
    holds_files_without_bytes,
    replaces_a_file_of_the_same_name,
    lists_what_is_below_a_folder,
    says_that_a_file_is_missing,
    deletes_one_file,
    says_a_hash_only_if_it_is_right,
    works_from_any_thread,
    does_not_touch_the_source,
)
