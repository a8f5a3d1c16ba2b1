"""Files are whole or not there, on a full disk and a locked one too; a damaged one is found before it is used."""

import errno
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from telltale.errors import BundleError, OutputError
from telltale.files import (
    MANIFEST,
    cache_folder,
    explain_output,
    format_manifest,
    make_folder,
    move,
    read_json,
    sha256,
    sha256_file,
    sync_folder,
    verify_manifest,
    write_atomic,
    write_json,
    write_manifest,
)


def child(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own; it may lock itself in."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def test_write_atomic_takes_bytes_text_and_a_function(tmp_path):
    path = tmp_path / "a"
    assert write_atomic(path, b"\x00\xff") == path and path.read_bytes() == b"\x00\xff"
    write_atomic(path, "höher\n")
    assert path.read_bytes() == "höher\n".encode()
    write_atomic(path, lambda file: file.write(b"by a function"))
    assert path.read_bytes() == b"by a function"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError], ids=lambda error: error.__name__)
def test_a_failing_writer_leaves_the_old_file_and_no_temporary_one(tmp_path, error):
    path = write_atomic(tmp_path / "a", b"old")

    def write(file):
        file.write(b"half of the new")
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        write_atomic(path, write)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = write_atomic(tmp_path / "a", b"old")

    def write(file):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(
        OutputError, match=r"No space left to write .*a'\. Room on that disk\. Free some space"
    ) as caught:
        write_atomic(path, write)
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.ENOSPC
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_file_that_gets_too_large_for_its_place_leaves_the_old_one(tmp_path):
    write_atomic(tmp_path / "a", b"old")
    code = """
import resource
from pathlib import Path
from telltale.errors import OutputError
from telltale.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path("a"), bytes(100_000))
except OutputError as error:
    print(error)
"""
    answer = child(code, tmp_path)
    assert answer.stdout.startswith("No space left to write 'a'."), answer
    assert (tmp_path / "a").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_locked_folder_is_said_and_left_as_it_is(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    write_atomic(locked / "a", b"old")
    locked.chmod(0o555)
    code = """
import os
from pathlib import Path
from telltale.errors import OutputError
from telltale.files import make_folder, write_atomic
if os.geteuid() == 0:
    os.seteuid(65534)  # permissions do not bind root
for write in (lambda: write_atomic(Path("locked/a"), b"new"), lambda: make_folder(Path("locked/sub/folder"))):
    try:
        write()
    except OutputError as error:
        print(error, error.exit_code)
"""
    try:
        answer = child(code, tmp_path)
    finally:
        locked.chmod(0o755)
    said = "may not be written (Permission denied). A folder that you may write to. Give another place with --output"
    assert [said in line for line in answer.stdout.splitlines()] == [True, True], answer
    assert answer.stdout.splitlines()[0].endswith(" 1")
    assert (locked / "a").read_bytes() == b"old" and len(list(locked.iterdir())) == 1


def test_a_file_where_a_folder_is_needed_is_said(tmp_path):
    write_atomic(tmp_path / "file", b"")
    (tmp_path / "folder").mkdir()
    for fail in (
        lambda: make_folder(tmp_path / "file"),
        lambda: make_folder(tmp_path / "file" / "below"),
        lambda: write_atomic(tmp_path / "file" / "below", b""),
        lambda: write_atomic(tmp_path / "folder", b""),
    ):
        with pytest.raises(OutputError, match="a file stands where a folder is needed, or the other way round"):
            fail()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("name", ["no such folder/a", "a" * 300], ids=["no folder", "too long"])
def test_a_place_that_cannot_be_is_said(tmp_path, name):
    with pytest.raises(OutputError, match=r"cannot be written \(.+\)\. A folder that is there, and a name that"):
        write_atomic(tmp_path / name, b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(errno.ECONNRESET, "reset"), ssl.SSLError(1, "record"), TimeoutError("late")],
    ids=repr,
)
def test_errors_of_a_network_are_not_taken_for_those_of_a_disk(tmp_path, error):
    with pytest.raises(type(error)) as caught, explain_output(tmp_path):
        raise error
    assert caught.value is error


def test_sync_folder_wants_a_folder(tmp_path):
    sync_folder(tmp_path)
    if os.name != "nt":
        with pytest.raises(FileNotFoundError):
            sync_folder(tmp_path / "none")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(content=st.dictionaries(st.text().filter(lambda key: key not in ("kind", "format_version")), JSON, max_size=4))
def test_json_comes_back_as_it_was_written(tmp_path_factory, content):
    path = write_json(tmp_path_factory.getbasetemp() / "round.json", "thing", 3, content)
    assert read_json(path, "thing", 3) == {"kind": "thing", "format_version": 3, **content}
    assert read_json(path, "thing", 4)["format_version"] == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"cannot be read \(FileNotFoundError\)\. What Telltale writes there: thing"),
        (b"", r"cannot be read \(JSONDecodeError\)"),
        (b'{"kind": "thing"', r"cannot be read \(JSONDecodeError\)"),
        (b'{"kind": "\xff"}', r"cannot be read \(UnicodeDecodeError\)"),
        (b"[]", "is not a thing file"),
        (b'{"format_version": 1}', 'is not a thing file. A JSON object with "kind": "thing"'),
        (b'{"kind": "other", "format_version": 1}', "is not a thing file"),
        (b'{"kind": "thing"}', r"has format version None\. Version 2 or older"),
        (b'{"kind": "thing", "format_version": "1"}', "has format version '1'"),
        (b'{"kind": "thing", "format_version": 0}', "has format version 0"),
        (b'{"kind": "thing", "format_version": 3}', r"has format version 3\. Version 2 or older\. Update Telltale"),
    ],
    ids="missing empty half not-utf8 list no-kind other-kind no-version text-version zero newer".split(),
)
def test_read_json_says_what_is_wrong(tmp_path, content, words):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=words):
        read_json(path, "thing", 2)


def test_hashes_of_bytes_and_of_a_file_agree(tmp_path):
    data = bytes(range(256)) * 5000
    assert sha256_file(write_atomic(tmp_path / "a", data)) == sha256(data).hex() == sha256(memoryview(data)).hex()


@pytest.fixture
def listed(tmp_path):
    """A folder with a manifest."""
    folder = tmp_path / "listed"
    make_folder(folder / "sub")
    write_atomic(folder / "a.bin", bytes(range(64)))
    write_atomic(folder / "sub" / "ü.txt", "text")
    write_atomic(folder / "empty", b"")
    write_manifest(folder)
    return folder


def test_a_manifest_lists_every_file_below_its_folder(listed):
    assert verify_manifest(listed) == {
        "a.bin": sha256(bytes(range(64))).hex(),
        "empty": sha256(b"").hex(),
        "sub/ü.txt": sha256(b"text").hex(),
    }


def test_every_flipped_byte_of_a_listed_file_is_found(listed):
    for name in ("a.bin", "sub/ü.txt"):
        whole = (listed / name).read_bytes()
        for place in range(len(whole)):
            (listed / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(BundleError, match="is missing or damaged: it does not match the manifest"):
                verify_manifest(listed)
        (listed / name).write_bytes(whole)
    verify_manifest(listed)


def test_every_flipped_byte_of_the_manifest_is_found(listed):
    whole = (listed / MANIFEST).read_bytes()
    for place in range(len(whole)):
        for bit in (0x01, 0x20, 0x2A, 0x80):
            (listed / MANIFEST).write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            with pytest.raises(BundleError):
                verify_manifest(listed)


def test_a_changed_manifest_does_not_match_its_own_hash(listed):
    path = listed / MANIFEST
    path.write_text(path.read_text().replace('"size": 64', '"size": 65'))
    with pytest.raises(BundleError, match=r"manifest.json' is damaged: it does not match its own SHA-256"):
        verify_manifest(listed)


def test_a_manifest_of_version_1_has_no_seal(tmp_path):
    (tmp_path / MANIFEST).write_text('{"kind": "manifest", "format_version": 1, "files": {}}')
    assert verify_manifest(tmp_path) == {}


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "a//b", "C:a", "a\\b", ""])
def test_names_in_a_manifest_stay_below_its_folder(tmp_path, name):
    (tmp_path / MANIFEST).write_bytes(format_manifest({name: {"size": 0, "sha256": "0" * 64}}))
    with pytest.raises(BundleError, match="does not list files with their sizes and hashes"):
        verify_manifest(tmp_path)


def test_a_folder_gets_its_name_at_once(tmp_path):
    make_folder(tmp_path / "new")
    (tmp_path / "new" / "a").write_bytes(b"a")
    move(tmp_path / "new", tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    with pytest.raises(OutputError, match=r"cannot be written"):
        move(tmp_path / "absent", tmp_path / "other")


@pytest.mark.parametrize("name", ["a.bin", "empty", "sub/ü.txt"])
def test_a_missing_file_is_found(listed, name):
    (listed / name).unlink()
    with pytest.raises(BundleError, match="is missing or damaged") as caught:
        verify_manifest(listed)
    assert repr(str(listed / name)) in caught.value.given


def test_a_longer_file_is_found(listed):
    (listed / "empty").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"does not match the manifest\. 0 bytes with SHA-256 e3b0c44298fc"):
        verify_manifest(listed)


@pytest.mark.parametrize(
    "files", [None, [], {"a": 1}, {"a": {}}, {"a": {"size": "x", "sha256": ""}}], ids=["none", "list", "1", "{}", "x"]
)
def test_a_manifest_of_another_form_is_refused(tmp_path, files):
    (tmp_path / MANIFEST).write_text(json.dumps({"kind": "manifest", "format_version": 1, "files": files}))
    with pytest.raises(BundleError, match="does not list files with their sizes and hashes"):
        verify_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_not_complete(tmp_path):
    with pytest.raises(BundleError, match=r"has no manifest\.json\. A complete folder: the manifest is written last"):
        verify_manifest(tmp_path)


def test_caches_lie_below_telltale_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "mine"))
    assert cache_folder("features") == tmp_path / "mine" / "features"
    assert (tmp_path / "mine" / "features").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME counts on Linux")
def test_caches_lie_in_the_users_cache_folder_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("facts/1") == tmp_path / "telltale" / "facts" / "1"


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(write_atomic(tmp_path / "file", b"")))
    with pytest.raises(OutputError, match="Set TELLTALE_CACHE to a folder that you may write to"):
        cache_folder("features")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.ESTALE])
def test_a_disk_that_is_gone_is_explained_and_leaves_the_old_file(tmp_path, number):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(file):
        raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match=r"its disk does not answer \(.+\)\. A disk that works"):
        write_atomic(path, fail)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]
