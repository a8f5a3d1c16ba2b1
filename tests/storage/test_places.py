"""A URL or a path is opened as the right kind of place, and tried, before anything is trained."""

import re
import time

import fsspec
import pytest
from tests.storage.fault_proxy import BUSY, Fault

from telltale.errors import PlaceError
from telltale.storage.bucket import BucketPlace
from telltale.storage.drive import DrivePlace
from telltale.storage.folder import FolderPlace
from telltale.storage.place import Away
from telltale.storage.places import check_round_trip, open_place

FAST = {"pause": 0.01}


@pytest.mark.parametrize("write", ["{}", "file://{}", "file://localhost{}", "FILE://{}"])
def test_a_path_is_a_folder(write, tmp_path):
    place = open_place(write.format(tmp_path / "a b"))
    assert isinstance(place, FolderPlace)
    assert place.path == tmp_path / "a b"
    assert place.path.is_dir()


def test_a_browsers_path_is_the_same_folder(tmp_path):
    (tmp_path / "a b").mkdir()
    assert open_place(f"file://{tmp_path}/a%20b").path == tmp_path / "a b"


def test_a_url_is_a_bucket(service):
    place = open_place(f"{service.url}/")
    assert isinstance(place, BucketPlace)
    assert place.url == service.url


def test_a_drive_is_one(environment):
    with pytest.raises(PlaceError):
        open_place("gdrive://", **FAST)
    assert DrivePlace("gdrive://x").url == "gdrive://x"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gdriv://x", "There is no way to write 'gdriv' URLs. Did you mean gdrive://?"),
        ("s3://", "'s3://' names no folder"),
        ("s3://nobodys/x", "s3://nobodys/x names a bucket that does not exist"),
        ("/dev/null/x", "/dev/null/x cannot hold files"),
    ],
)
def test_a_place_that_cannot_be(url, words, s3):
    with pytest.raises(PlaceError, match=re.escape(words)):
        open_place(url)


@pytest.mark.parametrize("kind", ["s3", "google", "folder", "memory"])
def test_a_round_trip_takes_some_time_and_leaves_nothing(kind, request, tmp_path):
    url = {"folder": str(tmp_path / "x"), "memory": "memory://pets"}.get(kind)
    place = open_place(url or request.getfixturevalue(kind).url)
    assert 0 < check_round_trip(place) < 10
    assert place.list() == {}
    fsspec.filesystem("memory").store.clear()


def test_a_place_that_is_busy_for_a_moment_is_good(s3):
    s3.proxy.add(BUSY)
    place = open_place(s3.url, **FAST)
    s3.proxy.add(BUSY, method="PUT", times=2)
    s3.proxy.add(BUSY, method="HEAD")
    check_round_trip(place, **FAST)
    assert place.list() == {}


def test_a_place_that_does_not_answer_at_first_contact(s3):
    place = open_place(s3.url)
    start = time.perf_counter()
    s3.proxy.rule = lambda request: BUSY
    for ask in (lambda: open_place(s3.url, **FAST), lambda: check_round_trip(place, **FAST)):
        with pytest.raises(PlaceError, match=r"does not answer now \(.*Check the connection and the address") as caught:
            ask()
        assert isinstance(caught.value.__cause__, Away)
    assert time.perf_counter() - start < 5


def test_what_may_not_be_deleted_or_read_is_said_and_nothing_is_left(s3):
    place = open_place(s3.url)
    denied = Fault("answer", 403, (), b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
    for method in ("GET", "DELETE", "PUT", "HEAD"):
        s3.proxy.add(denied, method=method, path="telltale-check", times=1)
        with pytest.raises(PlaceError, match="may not be used with these credentials"):
            check_round_trip(place, **FAST)
    s3.proxy.clear()
    assert len(place.list()) <= 1  # what may not be deleted


def test_a_place_that_changes_bytes_is_refused(service):
    """What comes from S3 is compared with a checksum by its library already."""
    place = open_place(service.url)
    service.proxy.add(Fault("flip"), method="GET", path="telltale-check", times=99)
    with pytest.raises(PlaceError, match=r"gives back other bytes than were written|Expected checksum"):
        check_round_trip(place, **FAST)
    service.proxy.clear()
    assert place.list() == {}
