"""Files arrive whole or not at all, whatever happens on the way; patience is what it takes."""

import hashlib
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.storage import conftest
from tests.storage.fault_proxy import BUSY, KINDS, LATER, Fault

from telltale.storage.bucket import BucketPlace
from telltale.storage.folder import FolderPlace
from telltale.storage.patience import patiently
from telltale.storage.place import PIECE, Away
from telltale.storage.transfer import fetch, upload

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")

CONTENT = os.urandom(2 * conftest.PIECE + 1000)
FAULTS = [Fault(kind, seconds=0.05) for kind in KINDS] + [BUSY, LATER]


def make(service, name=""):
    place = BucketPlace(f"{service.url}/{name}" if name else service.url, deadline=10.0, piece=conftest.PIECE)
    place.open()
    return place


def persist(work):
    return patiently(work, tries=6, pause=0.01)


def answer_as_google(request):
    """The emulator does not know how an upload is given up: gcsfs would ask it for half a minute."""
    return Fault("answer", 499) if request.method == "DELETE" and "upload_id" in request.path else None


def test_a_file_arrives_whatever_happens_to_any_request_of_an_upload_or_download(service, tmp_path):
    """Each fault at each request of an upload in three pieces, and of what reads it."""
    place = make(service)
    service.proxy.clear()
    upload(place, "clean", CONTENT)
    requests = len(service.proxy.seen)
    assert requests >= 5
    service.proxy.rule = answer_as_google

    def run(case):
        number, fault = case
        name = f"case-{number}-{fault.kind}-{fault.status}"
        if number >= requests:
            place.write(name, CONTENT)
        service.proxy.add(fault, path=f"{name}(?!\\w)", skip=number % requests)
        if number < requests:
            assert persist(lambda: upload(place, name, CONTENT)).size == len(CONTENT)
        persist(lambda: fetch(place, name, tmp_path / name, len(CONTENT)))
        return name

    cases = [(number, fault) for number in range(requests + 1) for fault in FAULTS]
    with ThreadPoolExecutor(32) as pool:  # gcsfs sleeps a second or two before it tries again
        names = list(pool.map(run, cases))
    assert set(place.list()) == {"clean", *names}
    for name in names:  # what comes back damaged is for the manifest to find
        damaged = name == f"case-{requests}-flip-503"
        assert ((tmp_path / name).read_bytes() == CONTENT) != damaged, name


def test_a_server_that_is_away_for_a_while(s3):
    place = make(s3)
    s3.proxy.go_away()
    with pytest.raises(Away):
        upload(place, "x", b"content")
    s3.proxy.come_back()
    assert persist(lambda: upload(place, "x", b"content")).size == 7


def test_a_short_answer_is_asked_for_the_rest(s3, tmp_path):
    place = make(s3)
    place.write("x", CONTENT)
    s3.proxy.clear()
    s3.proxy.add(Fault("short"), method="GET", times=4)
    fetch(place, "x", tmp_path / "x", len(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert len(s3.proxy.seen) == 5


def test_a_file_that_ends_too_early_is_away(tmp_path):
    place = FolderPlace(str(tmp_path / "place"))
    place.open()
    place.write("x", b"12345")
    with pytest.raises(Away, match="x ended after 5 of 7 bytes"):
        fetch(place, "x", tmp_path / "x", 7)
    fetch(place, "x", tmp_path / "x", 3)
    assert (tmp_path / "x").read_bytes() == b"123"


def test_a_file_that_arrives_damaged_is_removed(google):
    place = make(google)
    google.proxy.add(Fault("flip-request"), path="x(?!\\w)")
    with pytest.raises(Away, match="x arrived damaged"):
        upload(place, "x", b"content")
    assert place.list() == {}
    upload(place, "x", b"content")


def test_what_s3_has_damaged_is_found_by_its_own_checksum(s3):
    place = make(s3)
    s3.proxy.add(Fault("flip-request"), method="PUT")
    with pytest.raises(Away, match=r"has a problem \(Expected checksum"):
        upload(place, "x", b"content")
    upload(place, "x", b"content")


def test_a_file_that_vanished_after_it_was_written(s3):
    place = make(s3)
    s3.proxy.add(Fault("answer", 404), method="HEAD")
    with pytest.raises(Away, match="x is not there after it was written"):
        upload(place, "x", b"content")


def test_a_hash_of_the_place_saves_reading_back(s3, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(os.urandom(2 * PIECE + 5))  # S3 says another kind of MD5 of what came in parts
    place = BucketPlace(s3.url)
    place.open()
    for source in (b"content", path):
        s3.proxy.clear()
        assert upload(place, "x", source).md5
        assert {request.method for request in s3.proxy.seen} <= {"PUT", "POST", "HEAD"}


@pytest.mark.parametrize("hidden", [b"", b'"0123456789abcdef0123456789abcdef"'], ids=["no hash", "another hash"])
def test_without_a_hash_to_believe_it_is_read_back(hidden, s3):
    """As from encrypted buckets."""
    place = make(s3)
    headers = (("Content-Length", "7"), *((("ETag", hidden.decode()),) if hidden else ()))
    s3.proxy.clear()
    s3.proxy.add(Fault("answer", 200, headers), method="HEAD")
    upload(place, "x", b"content")
    assert [request.method for request in s3.proxy.seen] == ["PUT", "HEAD", "GET"]


def test_a_folder_is_read_back(tmp_path):
    place = FolderPlace(str(tmp_path / "place"))
    place.open()
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    assert upload(place, "a/x", path).size == len(CONTENT)
    fetch(place, "a/x", tmp_path / "y", len(CONTENT))
    assert hashlib.sha256((tmp_path / "y").read_bytes()).digest() == hashlib.sha256(CONTENT).digest()


def flaky(times, wait=0.0):
    """Work that fails so many times, and when it was tried."""
    tried = []

    def work():
        tried.append(time.perf_counter())
        if len(tried) <= times:
            raise Away(f"attempt {len(tried)}", wait=wait)
        return "done"

    return work, tried


def test_patience_tries_again_after_longer_and_longer_pauses():
    work, tried = flaky(4)
    assert patiently(work, tries=5, pause=0.02, most=0.05) == "done"
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    for pause, least in zip(pauses, (0.01, 0.02, 0.025, 0.025), strict=True):
        assert least <= pause < 10 * least


def test_patience_ends_with_the_last_error():
    work, tried = flaky(9)
    with pytest.raises(Away, match="attempt 3"):
        patiently(work, tries=3, pause=0.001)
    assert len(tried) == 3


def test_patience_waits_as_long_as_it_was_asked_to():
    work, tried = flaky(1, wait=0.1)
    assert patiently(work, tries=2, pause=0.001) == "done"
    assert 0.1 <= tried[1] - tried[0] < 0.5


def test_patience_has_an_end():
    work, tried = flaky(9, wait=0.2)
    with pytest.raises(Away, match="attempt 1"):
        patiently(work, tries=5, pause=0.001, within=0.1)
    assert len(tried) == 1


def test_other_errors_are_not_tried_again():
    tried = []

    def work():
        tried.append(1)
        raise FileNotFoundError("x")

    with pytest.raises(FileNotFoundError):
        patiently(work, tries=5, pause=0.001)
    assert len(tried) == 1
