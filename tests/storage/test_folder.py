"""A folder is a place while its disk is there, and never is anything written where a lost mount has been."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.storage.contract import CHECKS

from telltale.errors import PlaceError
from telltale.storage.folder import FolderPlace
from telltale.storage.place import Away

OTHER_DISK = Path("/dev/shm")


@pytest.fixture
def place(tmp_path):
    place = FolderPlace(str(tmp_path / "a" / "mirror"))
    place.open()
    return place


@pytest.fixture
def other_disk(tmp_path):
    """A folder on another file system than `tmp_path`."""
    if not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system: /dev/shm")
    folder = OTHER_DISK / f"telltale-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_folder_keeps_the_promises_of_a_place(check, place, tmp_path):
    check(place, tmp_path)


def test_a_folder_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = FolderPlace("mirror")
    place.open()
    assert place.url == "mirror"
    monkeypatch.chdir("/")
    place.write("x", b"x")
    assert (tmp_path / "mirror" / "x").read_bytes() == b"x"


def test_a_drive_that_is_not_mounted_is_not_written_to(tmp_path):
    mount = tmp_path / "drive"
    for path in (mount / "MyDrive" / "x", mount):
        with pytest.raises(PlaceError, match=r"Google Drive is not mounted at .*would be lost\.") as caught:
            FolderPlace(str(path), mounts=[str(mount)]).open()
        assert "from google.colab import drive; drive.mount(" in caught.value.do
    assert not mount.exists()


def test_a_drive_that_is_mounted_is_a_folder(other_disk):
    place = FolderPlace(str(other_disk / "x"), mounts=[str(OTHER_DISK)])
    place.open()
    place.write("a/b", b"x")
    assert (other_disk / "x" / "a" / "b").read_bytes() == b"x"


ASKED = {
    "list": lambda place: place.list(),
    "stat": lambda place: place.stat("a/x"),
    "read": lambda place: place.read("a/x", 0, 1),
    "write": lambda place: place.write("a/y", b"y"),
    "delete": lambda place: place.delete("a/x"),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_root_that_is_gone_is_away_and_is_not_made_again(ask, place):
    place.write("a/x", b"x")
    away = place.path.with_name("elsewhere")
    place.path.rename(away)
    with pytest.raises(Away, match=r"is gone \(No such file or directory\): is it still mounted"):
        ask(place)
    assert not place.path.exists()
    away.rename(place.path)
    ask(place)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_root_on_another_disk_is_away_and_nothing_changes_there(ask, other_disk, tmp_path):
    """As when a mount is lost: under the same path there is now a folder of this machine."""
    (tmp_path / "local").mkdir()
    (tmp_path / "root").symlink_to(other_disk)
    place = FolderPlace(str(tmp_path / "root"))
    place.open()
    place.write("a/x", b"x")
    (tmp_path / "root").unlink()
    (tmp_path / "root").symlink_to(tmp_path / "local")
    with pytest.raises(Away, match="is on another disk than at the beginning"):
        ask(place)
    assert not any((tmp_path / "local").iterdir())
    (tmp_path / "root").unlink()
    (tmp_path / "root").symlink_to(other_disk)
    ask(place)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOTCONN, Away, r"does not answer \(.*not connected\)"),
        (errno.EIO, Away, "does not answer"),
        (errno.ESTALE, Away, "does not answer"),
        (errno.ENOSPC, PlaceError, "There is no room left in .*Free some room there"),
        (errno.EDQUOT, PlaceError, "There is no room left in"),
        (errno.EACCES, PlaceError, "may not be read or written .*Change its permissions"),
        (errno.EROFS, PlaceError, r"may not be read or written \(Read-only"),
        (errno.ENAMETOOLONG, PlaceError, "cannot hold files .*Move the file that is in the way"),
        (errno.EPROTO, Away, "Protocol error"),
    ],
    ids=lambda value: errno.errorcode.get(value) if isinstance(value, int) else "",
)
def test_what_the_system_says_becomes_one_of_two_kinds(number, kind, words, place):
    with pytest.raises(kind, match=words), place._explained():
        raise OSError(number, os.strerror(number))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PlaceError, match="cannot hold files"):
            FolderPlace(str(path)).open()
    place = FolderPlace(str(tmp_path / "root"))
    place.open()
    place.write("x/y", b"y")
    with pytest.raises(PlaceError, match="cannot hold files"):
        place.write("x", b"x")
    with pytest.raises(PlaceError, match="cannot hold files"):
        place.write("x/y/z", b"z")
    assert list(place.list()) == ["x/y"]


def test_a_disk_that_may_be_read_only_opens_and_says_so_when_written(small_disk):
    disk = small_disk("disk", "1m")
    (disk / "x").write_bytes(b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    place = FolderPlace(str(disk))
    place.open()
    assert place.read("x", 0, 1) == b"x"
    with pytest.raises(PlaceError, match="may not be read or written"):
        place.write("y", b"y")
    with pytest.raises(PlaceError, match="may not be read or written"):
        FolderPlace(str(disk / "new")).open()


def test_a_full_disk_leaves_the_old_file_and_no_rest(place):
    """Writing more than the process may gives the same kind of error as a full disk, wherever the test runs."""
    place.write("a/x", b"old")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1][1]))
    try:
        with pytest.raises(PlaceError, match="There is no room left in"):
            place.write("a/x", b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[1])
        signal.signal(signal.SIGXFSZ, before[0])
    assert place.read("a/x", 0, 10) == b"old"
    assert os.listdir(place.path / "a") == ["x"]


def test_what_a_killed_process_left_is_not_listed_and_goes_with_the_file(place):
    place.write("a/x", b"x")
    place.write("b/.hidden/y", b"y")
    old, new = place.path / "a" / ".x.0000.tmp", place.path / "a" / ".x.1111.tmp"
    for path in (old, new):
        path.write_bytes(b"part")
    os.utime(old, (time.time() - 7200,) * 2)
    assert list(place.list()) == ["a/x"]
    place.delete("a/x")
    assert not old.exists() and new.exists()


def test_folders_that_are_empty_are_removed_but_never_the_root(place):
    place.write("a/b/c", b"x")
    place.write("a/d", b"x")
    place.delete("a/b/c")
    assert os.listdir(place.path / "a") == ["d"]
    place.delete("a/d")
    assert place.path.is_dir() and not any(place.path.iterdir())
