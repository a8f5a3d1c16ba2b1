"""Folders, zips and tars list and read the same; an archive with a trap in it is refused as a whole."""

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.conftest import as_an_ordinary_user

from telltale.data.archive import FolderStore, Limits, TarStore, ZipStore, is_archive, open_store
from telltale.data.member import find_trap
from telltale.data.store import explain_input, original_name, portable_name
from telltale.data.tar_store import MARKER
from telltale.data.zip_store import Reader
from telltale.errors import SourceError

FILES = {"cats/1.jpg": b"one", "cats/2.jpg": b"", "dogs/a b/3.png": bytes(range(256)) * 40, "readme.txt": "ü".encode()}
HIDDEN = {
    ".DS_Store": b"x",
    "cats/._1.jpg": b"x",
    "__MACOSX/cats/1.jpg": b"x",
    "cats/Thumbs.db": b"x",
    ".git/a.jpg": b"x",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


def write_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path, files, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path, members, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data) if data is not None else None)
    return path


def member(name, size=0, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def plain(files):
    return [(member(name, len(data)), data) for name, data in files.items()]


MAKERS = {
    "folder": lambda path, files: write_folder(path / "pictures", files),
    "zip stored": lambda path, files: write_zip(path / "a.zip", files),
    "zip deflated": lambda path, files: write_zip(path / "a.zip", files, zipfile.ZIP_DEFLATED),
    "zip bzip2": lambda path, files: write_zip(path / "a.zip", files, zipfile.ZIP_BZIP2),
    "zip lzma": lambda path, files: write_zip(path / "a.zip", files, zipfile.ZIP_LZMA),
    "zip with code before it": lambda path, files: prefixed(write_zip(path / "a.zip", files)),
    "tar": lambda path, files: write_tar(path / "a.tar", plain(files)),
    "tar pax": lambda path, files: write_tar(path / "a.tar", plain(files), format=tarfile.PAX_FORMAT),
    "tar.gz": lambda path, files: write_tar(path / "a.tar.gz", plain(files), "w:gz"),
    "tar.bz2": lambda path, files: write_tar(path / "a.tar.bz2", plain(files), "w:bz2"),
    "tar.xz": lambda path, files: write_tar(path / "a.txz", plain(files), "w:xz"),
    "tar.gz under another name": lambda path, files: write_tar(path / "a.zip", plain(files), "w:gz"),
}


def prefixed(path):
    path.write_bytes(b"#!/bin/sh\nexit\n" + path.read_bytes())
    return path


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_store_lists_and_reads_the_same(make, tmp_path):
    path = make(tmp_path, FILES | HIDDEN)
    store = open_store(path)
    assert store.location == str(path)
    assert [entry.path for entry in store.list()] == sorted(FILES)
    assert all(entry.size in (-1, len(FILES[entry.path])) for entry in store.list())
    assert {name: store.read(name) for name in FILES} == FILES
    for name in ("cats/9.jpg", "../a.zip", "/etc/passwd", "cats/../readme.txt"):
        with pytest.raises(FileNotFoundError):
            store.read(name)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_empty_archive_or_folder_lists_nothing(make, tmp_path):
    assert open_store(make(tmp_path, {"x/.keep": b""})).list() == []


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_many_threads_read_at_once(make, tmp_path):
    files = {f"{number}.jpg": random.Random(number).randbytes(3000) for number in range(50)}
    store = open_store(make(tmp_path, files))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, list(files) * 8)) == list(files.values()) * 8


def test_reader_without_pread_reads_the_same(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(200)))
    for reader in (Reader(path), Reader(path, pread=False)):
        assert reader.read(10, 5) == bytes(range(5, 15))
        assert reader.read(500, 190) == bytes(range(190, 200))


NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES, st.binary(max_size=300), max_size=8), packed=st.booleans())
def test_zip_reads_what_zipfile_reads(files, packed, tmp_path):
    """Law: an archive is refused, or every listed file reads as `zipfile` reads it and lies below the root."""
    path = write_zip(tmp_path / "any.zip", files, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    try:
        store = open_store(path)
    except SourceError:
        return
    with zipfile.ZipFile(path) as archive:
        expected = {
            "/".join(part for part in info.filename.split("/") if part != "."): archive.read(info)
            for info in archive.infolist()
        }
    for entry in store.list():
        assert store.read(entry.path) == expected[entry.path]
        assert ".." not in entry.path.split("/")


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255), kind=st.sampled_from(["zip", "tar", "tar.gz"])
)
def test_a_flipped_byte_never_gives_other_bytes_from_a_zip(place, value, kind, tmp_path):
    """Law: damage is a `SourceError` or an `OSError`, never a crash; a zip never gives bytes that it did not hold."""
    if kind == "zip":
        path = write_zip(tmp_path / "flip.zip", FILES, zipfile.ZIP_DEFLATED)
    else:
        path = write_tar(tmp_path / f"flip.{kind}", plain(FILES), "w:gz" if kind == "tar.gz" else "w")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= value
    path.write_bytes(data)
    try:
        store = open_store(path)
        read = {entry.path: store.read(entry.path) for entry in store.list()}
    except (SourceError, OSError):
        return
    if kind == "zip":
        assert all(read[name] in FILES.values() for name in read)


TRAPS = {
    "../evil.jpg": "leads out of the archive",
    "cats/../../evil.jpg": "leads out of the archive",
    "/etc/evil.jpg": "has an absolute name",
    "C:/evil.jpg": "names a drive",
    "c:evil.jpg": "names a drive",
    "..\\evil.jpg": "has a backslash",
    "cats\\1.jpg": "has a backslash",
    "__MACOSX/../../evil.jpg": "leads out of the archive",
    "./": "",
    "a..b/c...jpg": "",
    "cats/..1.jpg": "",
}


@pytest.mark.parametrize(("name", "why"), TRAPS.items(), ids=TRAPS)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_name_that_leads_elsewhere_refuses_the_archive(name, why, kind, tmp_path, cache):
    files = {"cats/1.jpg": b"fine", name: b"" if name.endswith("/") else b"evil"}
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", files)
    else:
        members = [(member(one, len(data)), data) for one, data in files.items() if not one.endswith("/")]
        path = write_tar(tmp_path / f"a.{kind}", members, "w:gz" if kind == "tar.gz" else "w")
    if not why:
        assert open_store(path).read("cats/1.jpg") == b"fine"
        return
    with pytest.raises(SourceError, match=why) as caught:
        open_store(path)
    assert repr(name) in str(caught.value)
    assert "is refused: its member" in str(caught.value)
    assert "Plain files and folders under relative names" in caught.value.expected
    assert not [*tmp_path.parent.rglob("evil*"), *cache.rglob("evil*")]
    assert not list(cache.rglob("1.jpg")), "nothing of a refused archive stays"


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["..", ".", "/", "\\", "a", "C:", "\0", " "])).map("".join))
def test_a_name_without_a_trap_stays_inside(name):
    """Law: what `find_trap` lets pass never leads out of a folder, on any system."""
    if not find_trap(name):
        for flavour in (name, name.replace("\\", "/")):
            assert os.path.normpath("/below/" + flavour).startswith("/below")
            assert os.path.normpath(flavour).split("/")[0] != ".."


def test_a_zero_byte_in_a_zips_name_refuses_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"evil_x.jpg": b"1"})
    path.write_bytes(path.read_bytes().replace(b"evil_x", b"evil\0x"))
    with pytest.raises(SourceError, match=r"zero byte in its name|damaged or cut short"):
        open_store(path)


KINDS = {
    "symlink": (tarfile.SYMTYPE, stat_link := 0o120777),
    "hard link": (tarfile.LNKTYPE, stat_link),
    "device": (tarfile.CHRTYPE, 0o020666),
    "pipe": (tarfile.FIFOTYPE, 0o010666),
}


@pytest.mark.parametrize(("kind", "mode"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_links_and_devices_refuse_the_archive(kind, mode, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        info = zipfile.ZipInfo("cats/evil.jpg")
        info.external_attr = mode << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, b"/etc/passwd")
    else:
        write_tar(
            path, [(member("cats/evil.jpg", kind=kind, link="/etc/passwd"), None)], "w:gz" if "gz" in ending else "w"
        )
    with pytest.raises(SourceError, match=r"'cats/evil.jpg' is a link or a device"):
        open_store(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("second", ["a/1.jpg", "./a//1.jpg"])
def test_a_name_twice_refuses_the_archive(kind, second, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/1.jpg", b"1")
            archive.writestr(second, b"2")
    else:
        write_tar(path, [(member("a/1.jpg", 1), b"1"), (member(second, 1), b"2")], "w:gz" if "gz" in kind else "w")
    with pytest.raises(SourceError, match="appears twice"):
        open_store(path)


def test_a_file_where_a_folder_stands_refuses_a_packed_tar(tmp_path):
    path = write_tar(tmp_path / "a.tgz", [(member("a", 1), b"1"), (member("a/1.jpg", 1), b"2")], "w:gz")
    with pytest.raises(SourceError, match="stands where another member stands"):
        open_store(path)


def test_a_name_that_no_disk_can_hold_refuses_a_packed_tar(tmp_path):
    path = write_tar(tmp_path / "a.tgz", [(member("x" * 300 + ".jpg", 1), b"1")], "w:gz")
    with pytest.raises(SourceError, match="has a name that cannot be written here"):
        open_store(path)


def test_a_file_without_a_name_refuses_a_zip(tmp_path):
    with pytest.raises(SourceError, match="has no name"):
        open_store(write_zip(tmp_path / "a.zip", {".": b"1"}))


def test_an_encrypted_member_refuses_the_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"secret.jpg": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"'secret.jpg' is encrypted"):
        open_store(path)


def test_an_unknown_packing_refuses_the_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = 9
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"packed in a way that is not read \(method 9\)"):
        open_store(path)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_limits_on_number_and_total(kind, tmp_path):
    path = MAKERS[{"zip": "zip stored"}.get(kind, kind)](tmp_path, FILES)
    with pytest.raises(SourceError, match="is one of more than 2 files"):
        open_store(path, limits=Limits(files=2))
    with pytest.raises(SourceError, match="brings the archive above 1,000 bytes"):
        open_store(path, limits=Limits(total=1000))


def test_a_bomb_that_tells_its_size_refuses_the_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"bomb.jpg": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(open_store(path).read("bomb.jpg")) == 1_000_000, "a small monotonous picture is no bomb"
    with pytest.raises(SourceError, match=r"'bomb.jpg' would grow to more than 200 times its packed size"):
        open_store(path, limits=Limits(free=1000))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_that_lies_about_its_size_is_stopped_at_that_size(method, tmp_path):
    path = write_zip(tmp_path / "a.zip", {"bomb.jpg": bytes(5_000_000)}, method)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 100)
    path.write_bytes(data)
    store = open_store(path)
    if method == zipfile.ZIP_DEFLATED:
        with pytest.raises(SourceError, match="holds more than the 100 bytes that it declares"):
            store.read("bomb.jpg")
    else:  # here the standard library stops by itself
        with pytest.raises((SourceError, OSError)):
            store.read("bomb.jpg")


def test_a_bomb_of_overlapping_members_refuses_the_zip(tmp_path):
    packed = zlib.compressobj(wbits=-15)
    data = packed.compress(bytes(100_000)) + packed.flush()
    local = struct.pack(
        "<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 33, zlib.crc32(bytes(100_000)), len(data), 100_000, 1, 0
    )
    body, central = local + b"a" + data, b""
    for number in range(50):
        central += struct.pack(
            "<4s6H3I5H2I",
            b"PK\x01\x02",
            20,
            20,
            0,
            8,
            0,
            33,
            zlib.crc32(bytes(100_000)),
            len(data),
            100_000,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
        )
        central += f"{number:02}".encode()
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 50, 50, len(central), len(body), 0)
    (tmp_path / "a.zip").write_bytes(body + central + end)
    with pytest.raises(SourceError, match="shares its bytes with another member"):
        open_store(tmp_path / "a.zip")


def test_a_bomb_in_a_packed_tar_is_stopped_while_it_unpacks(tmp_path, cache):
    path = write_tar(tmp_path / "a.tar.gz", plain({"bomb.jpg": bytes(20_000_000)}), "w:gz")
    with pytest.raises(SourceError, match="grows far beyond its packed size"):
        open_store(path, limits=Limits(free=100_000))
    assert not [one for one in cache.rglob("*") if one.is_file()]


def test_a_damaged_member_is_one_error_of_the_file_not_of_the_archive(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": b"first", "b.jpg": b"second"})
    path.write_bytes(path.read_bytes().replace(b"first", b"firsT"))
    store = open_store(path)
    with pytest.raises(OSError, match="the checksum differs"):
        store.read("a.jpg")
    assert store.read("b.jpg") == b"second"


NO_ARCHIVES = {
    "page": (b"<!DOCTYPE html><html>Log in</html>", "is a web page, not an archive"),
    "page with a mark": (b"\xef\xbb\xbf\n<html>", "is a web page, not an archive"),
    "empty": (b"", "is empty: it has 0 bytes"),
    "7z": (b"7z\xbc\xaf\x27\x1c", "is a 7z archive, which is not opened"),
    "text": (b"hello", r"is no archive \(its first bytes are 68 65 6c 6c 6f\)"),
}


@pytest.mark.parametrize(("data", "why"), NO_ARCHIVES.values(), ids=NO_ARCHIVES)
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_zip_that_is_no_zip_says_what_it_is(data, why, name, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=why) as caught:
        open_store(tmp_path / name)
    assert "A folder of pictures, a table, or a zip or tar of them." in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["zip stored", "tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_archive_is_refused(kind, share, tmp_path, cache):
    path = MAKERS[kind](tmp_path, {f"{number}.jpg": random.Random(number).randbytes(9000) for number in range(9)})
    data = path.read_bytes()
    if kind == "tar":
        data = data[: 9 * 10_000]  # a tar ends in up to 10 kB of zeros, which may be missing
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=r"is damaged or cut short \(.+\)\. A whole zip or tar\."):
        open_store(path)
    assert not [one for one in cache.rglob("*") if one.is_file()]


def test_a_damaged_header_in_a_tar_is_not_taken_for_its_end(tmp_path):
    path = write_tar(tmp_path / "a.tar", plain({"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3"}))
    data = bytearray(path.read_bytes())
    data[1024] ^= 1  # the name in the second header
    path.write_bytes(data)
    with pytest.raises(SourceError, match="a damaged header"):
        open_store(path)


def test_no_such_path_suggests_a_neighbour(tmp_path):
    write_zip(tmp_path / "cats_and_dogs.zip", FILES)
    with pytest.raises(SourceError, match=r"There is no '.*cats_and_dog\.zip'\. Did you mean 'cats_and_dogs\.zip'\?"):
        open_store(tmp_path / "cats_and_dog.zip")
    with pytest.raises(
        SourceError, match=r"There is no .* A folder, an archive, a table or a picture\. Check the path\."
    ):
        open_store(tmp_path / "nowhere" / "photos")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(13, "Permission denied"), r"may not be read \(Permission denied\)"),
        (OSError(5, "Input/output error"), r"cannot be read \(Input/output error\)"),
    ],
)
def test_what_the_system_refuses_is_explained(error, why):
    with pytest.raises(SourceError, match=why), explain_input("photos"):
        raise error


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_a_folder_without_the_right_to_read_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    program = "from telltale.data.archive import open_store; open_store('.').list()"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=as_an_ordinary_user
    )
    assert "SourceError" in done.stderr and "locked' may not be read" in done.stderr


posix = pytest.mark.skipif(sys.platform == "win32", reason="needs names and links of POSIX")


@posix
def test_links_are_followed_once_and_broken_ones_are_listed(tmp_path):
    root = write_folder(tmp_path / "root", {"cats/1.jpg": b"1", "dogs/2.jpg": b"2"})
    write_folder(tmp_path / "far", {"3.jpg": b"3"})
    (root / "cats" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "dogs")
    (root / "birds").symlink_to(tmp_path / "far")
    (root / "cats" / "4.jpg").symlink_to(root / "dogs" / "2.jpg")
    (root / "cats" / "5.jpg").symlink_to(root / "nowhere.jpg")
    store = FolderStore(root)
    listed = [entry.path for entry in store.list()]
    assert listed == ["birds/3.jpg", "cats/1.jpg", "cats/4.jpg", "cats/5.jpg", "dogs/2.jpg"]
    assert store.read("cats/4.jpg") == b"2"
    with pytest.raises(FileNotFoundError):
        store.read("cats/5.jpg")


@posix
def test_a_pipe_in_a_folder_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    store = FolderStore(tmp_path)
    assert [entry.path for entry in store.list()] == ["link.jpg"]
    with pytest.raises(OSError, match="not a plain file"):
        store.read("link.jpg")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only UTF-8 names")
def test_a_name_that_is_not_utf8_is_listed_in_percent_form_and_read(tmp_path):
    for name in (b"caf\xe9 100%.jpg", b"\xff\xfe/1.jpg", "früh 5%.jpg".encode()):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)
    store = FolderStore(tmp_path)
    assert [entry.path for entry in store.list()] == ["%FF%FE/1.jpg", "caf%E9 100%25.jpg", "früh 5%.jpg"]
    assert store.read("caf%E9 100%25.jpg") == b"caf\xe9 100%.jpg"
    assert store.read("%FF%FE/1.jpg") == b"\xff\xfe/1.jpg"
    (tmp_path / "caf%E9 100%25.jpg").write_bytes(b"other")
    with pytest.raises(
        SourceError, match=r"would be called 'caf%E9 100%25\.jpg': the name of one of them is not UTF-8"
    ):
        store.list()
    with pytest.raises(SourceError, match=r"The path '.*%FF%FE' is not UTF-8"):
        open_store(Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff\xfe"))))


@given(st.binary(max_size=20).map(os.fsdecode))
@pytest.mark.skipif(sys.platform == "win32", reason="names are not bytes there")
def test_portable_names_are_utf8_and_can_be_turned_back(name):
    shown = portable_name(name)
    shown.encode()
    assert name in (shown, original_name(shown))


@pytest.mark.skipif(sys.platform == "win32", reason="names are not bytes there")
@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_with_names_that_are_not_utf8(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    write_tar(
        path, plain({os.fsdecode(b"caf\xe9.jpg"): b"1"}), "w:gz" if "gz" in kind else "w", format=tarfile.GNU_FORMAT
    )
    store = open_store(path)
    assert [entry.path for entry in store.list()] == ["caf%E9.jpg"]
    assert store.read("caf%E9.jpg") == b"1"


def test_a_picture_above_the_limit_is_not_read_into_memory(tmp_path):
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(600 * 2**20)
    with pytest.raises(OSError, match="it has 629,145,600 bytes, more than 536,870,912"):
        FolderStore(tmp_path).read("huge.jpg")


def test_a_packed_tar_is_unpacked_once(tmp_path, cache):
    path = MAKERS["tar.gz"](tmp_path, FILES)
    told = []
    store = open_store(path, tell=told.append)
    assert (told[-1].stage, told[-1].unit) == ("unpack", "bytes")
    assert told[-1].done <= told[-1].total
    inside = store.folder.parent
    assert inside.parent == cache / "archives"
    before = (inside / MARKER).stat().st_mtime_ns
    assert open_store(path).list() == store.list()
    assert (inside / MARKER).stat().st_mtime_ns == before
    (store.folder / "cats/1.jpg").unlink()
    assert open_store(path).read("cats/1.jpg") == b"one", "what somebody tidied away is unpacked again"
    (inside / MARKER).unlink()
    assert open_store(path).read("cats/1.jpg") == b"one"
    assert [one.name for one in inside.parent.iterdir()] == [inside.name]


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path, cache):
    old, new = (cache / "archives" / name / "files" for name in (".0.old.tmp", ".0.new.tmp"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old.parent, (0, 0))
    open_store(MAKERS["tar.gz"](tmp_path, FILES))
    assert not old.parent.exists()
    assert new.exists()


def test_two_at_once_unpack_the_same_tar(tmp_path, cache):
    path = MAKERS["tar.gz"](tmp_path, {f"{number}.jpg": b"x" * number for number in range(200)})
    start = threading.Barrier(6)

    def unpack(_):
        start.wait()
        store = open_store(path)
        return [len(store.read(entry.path)) for entry in store.list()]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(unpack, range(6)))
    assert all(sorted(result) == list(range(200)) for result in results)
    assert len(list((cache / "archives").iterdir())) == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_file_that_is_no_tar(pack, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(pack(b"hello" * 500))
    with pytest.raises(SourceError, match="is damaged or cut short"):
        open_store(tmp_path / "a.tar.gz")


def test_is_archive_goes_by_content_or_name(tmp_path):
    assert is_archive(write_zip(tmp_path / "noname", FILES))
    (tmp_path / "fake.zip").write_bytes(b"hello")
    (tmp_path / "photo").write_bytes(b"hello")
    assert is_archive(tmp_path / "fake.zip")
    assert not is_archive(tmp_path / "photo")


def test_old_tars_without_a_mark_open_by_their_ending(tmp_path):
    path = write_tar(tmp_path / "a.tar", plain({"a.jpg": b"1"}))
    data = bytearray(path.read_bytes())
    data[257:265] = bytes(8)
    info = bytes(data[:148]) + b" " * 8 + bytes(data[156:512])
    data[148:156] = f"{sum(info):06o}\0 ".encode()
    path.write_bytes(data)
    store = open_store(path)
    assert isinstance(store, TarStore)
    assert store.read("a.jpg") == b"1"


def test_real_photos_read_from_the_zip_as_zipfile_reads_them(shared):
    path = shared / "data" / "cats_and_dogs.zip"
    store = open_store(path)
    assert isinstance(store, ZipStore)
    entries = store.list()
    assert len(entries) == 2500
    with zipfile.ZipFile(path) as archive:
        for entry in entries[::100]:
            assert store.read(entry.path) == archive.read(entry.path)
