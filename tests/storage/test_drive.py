"""A folder of Google Drive is a place: against a server on this machine that does what Drive does, also on bad days."""

import datetime
import hashlib
import json
import socket
import ssl
import sys
import threading
import time

import pytest
from tests.storage.contract import CHECKS
from tests.storage.drive_server import FOLDER, GRAIN, REFRESH, DriveServer

from telltale.errors import PlaceError
from telltale.storage import credentials, drive_calls, drive_upload
from telltale.storage.drive import DrivePlace
from telltale.storage.patience import patiently
from telltale.storage.place import Away, Stored
from telltale.storage.places import check_round_trip, open_place
from telltale.storage.transfer import fetch, upload

CONTENT = bytes(range(251)) * 2300  # two whole pieces and a part of one
NAME = "runs/epoch-1.bin"


@pytest.fixture(scope="session")
def key():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = DriveServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TELLTALE_DRIVE_URL", server.url)
    monkeypatch.setattr(drive_upload, "PIECE", GRAIN)
    log_in(server, monkeypatch, tmp_path)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def log_in(server, monkeypatch, folder, variable="TELLTALE_DRIVE_CREDENTIALS", **found):
    """Put a file with credentials where they are looked for; those of a person, unless others are given."""
    person = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": REFRESH}
    path = folder / f"{variable}.json"
    path.write_text(json.dumps({"token_uri": f"{server.url}/token", **(found or person)}))
    monkeypatch.setenv(variable, str(path))
    return path


def service_account(key):
    from cryptography.hazmat.primitives import serialization

    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {"type": "service_account", "client_email": "bot@pets.iam", "private_key": pem, "project_id": "pets"}


@pytest.fixture
def place(server):
    return connect()


def connect(url="gdrive://mirror/pets"):
    place = DrivePlace(url)
    place.open()
    return place


def insist(place, name=NAME, content=CONTENT):
    """Write as the mirror does: again after `Away`."""
    patiently(lambda: place.write(name, content), tries=6, pause=0)


def only(server, name):
    """The content of the one file of this name."""
    [item] = server.find(name)
    return item.content


def parents(server, item):
    """The names of the folders that a file lies in, outermost first."""
    names = []
    while item.parents:
        [id_] = item.parents
        item = server.items[id_]
        names.insert(0, item.name)
    return names


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_drive_keeps_the_promises_of_a_place(check, place, tmp_path):
    check(place, tmp_path)


def test_folders_are_made_below_my_drive_once(server):
    for _ in range(2):
        place = connect()
        place.write("runs/a/x", b"x")
        place.write("runs/b/y", b"y")
    for name in ("mirror", "pets", "runs", "a", "b"):
        assert [one.mime for one in server.find(name)] == [FOLDER], name
    assert parents(server, server.find("x")[0]) == ["My Drive", "mirror", "pets", "runs", "a"]
    assert place.url == "gdrive://mirror/pets"


def test_files_are_sent_and_fetched_with_proof(place, server, tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    proof = Stored(len(CONTENT), hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest())
    assert upload(place, NAME, tmp_path / "source") == proof
    assert place.list() == {NAME: proof}
    fetch(place, NAME, tmp_path / "back", len(CONTENT))
    assert (tmp_path / "back").read_bytes() == CONTENT
    assert check_round_trip(open_place("gdrive://mirror/pets")) < 5


def test_names_with_quotes_and_other_capitals_are_told_apart(server):
    place = connect("gdrive://it's a \\ folder")
    for name in ("x", "X", "it's"):
        place.write(name, name.encode())
    place.write("x", b"second")
    assert {name: place.read(name, 0, 9) for name in place.list()} == {"X": b"X", "it's": b"it's", "x": b"second"}


def test_long_listings_come_page_by_page(place, server):
    server.page = 3
    names = [f"{number % 4}/f{number}" for number in range(17)]
    for name in names:
        place.write(name, b"x")
    assert sorted(connect().list()) == sorted(names)


def test_of_several_files_of_one_name_the_newest_counts(place, server):
    place.write(NAME, b"ours")
    [folder] = server.find("runs")
    [ours] = server.find("epoch-1.bin")
    theirs = server.put("epoch-1.bin", b"newer", folder.id)
    assert place.read(NAME, 0, 9) == b"newer"
    assert place.list()[NAME].size == place.stat(NAME).size == 5
    place.write(NAME, b"newest")
    assert {one.id: one.content for one in server.find("epoch-1.bin")} == {ours.id: b"ours", theirs: b"newest"}
    place.delete(NAME)
    assert server.find("epoch-1.bin") == []


def test_of_several_folders_of_one_name_the_oldest_counts(server):
    first, second = server.put("mirror"), server.put("mirror")
    server.put("x", b"elsewhere", second)
    place = connect("gdrive://mirror")
    assert place.list() == {}
    place.write("y", b"y")
    assert server.find("y")[0].parents == [first]
    server.put("deep", None, first)
    server.put("z", b"z", server.put("deep", None, first))
    assert set(place.list()) == {"y"}


@pytest.mark.parametrize("drive", ["", "0AAshared"], ids=["a shared folder", "a shared drive"])
def test_a_shared_folder_is_named_by_its_id(drive, server):
    id_ = server.put("experiments of the group", parent="somebody else's", drive=drive)
    place = connect(f"gdrive://{id_}/pets")
    place.write(NAME, b"x")
    assert place.read(NAME, 0, 5) == b"x"
    assert set(connect(f"gdrive://{id_}").list()) == {f"pets/{NAME}"}
    assert not server.find(id_)
    assert server.find("epoch-1.bin")[0].drive == drive


def test_what_only_looks_like_an_id_is_a_folder_of_my_drive(server):
    server.put("another_folder_of_mine")
    file = server.put("a file", b"x")
    for name in ("another_folder_of_mine", "a_folder_that_is_to_be_made", file):
        connect(f"gdrive://{name}").write("x", b"x")
        assert parents(server, server.find("x")[-1]) == ["My Drive", name]
    assert len(server.find("another_folder_of_mine")) == 1


def test_what_may_not_be_deleted_goes_into_the_bin(server):
    id_ = server.put("group", parent="somebody else's", drive="0AAshared")
    server.may_delete = False
    place = connect(f"gdrive://{id_}")
    place.write("x", b"x")
    [item] = server.find("x")
    place.delete("x")
    assert item.trashed
    assert place.list() == {}


def test_folders_that_become_empty_go_into_the_bin(place, server):
    for name in ("a/b/x", "a/b/y", "a/z"):
        place.write(name, b"x")
    place.delete("a/b/x")
    assert server.find("b")
    place.delete("a/b/y")
    assert not server.find("b")
    assert server.find("a")
    place.delete("a/z")
    assert not server.find("a")
    assert server.find("pets"), "the folder of the URL stays"
    server.put("theirs", b"x", server.put("a", None, server.find("pets")[0].id))
    place.write("a/x", b"x")
    place.delete("a/x")
    assert set(place.list()) == {"a/theirs"}


@pytest.mark.parametrize("kind", ["bin", "gone"])
def test_a_folder_that_others_remove_is_made_again(kind, place, server):
    place.write(NAME, b"old")
    for name in ("runs", "pets"):
        [folder] = server.find(name)
        if kind == "bin":
            folder.trashed = True
        else:
            server.remove(folder.id)
        with pytest.raises(FileNotFoundError):
            place.stat(NAME)
        assert place.list() == {}
        place.write(NAME, b"new")
        assert place.read(NAME, 0, 9) == b"new"
        place.write("runs/other", b"x")
        assert set(place.list()) == {NAME, "runs/other"}


def test_a_folder_that_vanishes_is_noticed_by_every_write(place, server):
    for number in range(2):
        place.write(f"runs/{number}", b"old")
        server.find("runs")[0].trashed = True
        place.write(f"runs/{number}", b"new")
        place.write("runs/third", b"third")
        assert place.read(f"runs/{number}", 0, 9) == b"new"
        assert len(server.find("runs")) == 1


def test_a_search_that_lags_behind_makes_no_second_file(place, server):
    place.write(NAME, b"first")
    server.hidden |= set(server.items)
    assert place.stat(NAME).size == 5
    place.write(NAME, b"second")
    assert only(server, "epoch-1.bin") == b"second"
    place.delete(NAME)
    assert not server.find("epoch-1.bin")


def test_a_read_goes_on_in_the_file_that_it_began(place, server):
    place.write(NAME, b"0123456789")
    assert place.read(NAME, 0, 5) == b"01234"
    server.put("epoch-1.bin", b"another newer file", server.find("runs")[0].id)
    assert place.read(NAME, 5, 10) == b"56789"
    [ours] = [one for one in server.find("epoch-1.bin") if len(one.content) == 10]
    del server.items[ours.id]
    assert place.read(NAME, 8, 13) == b"newer"


FAULTS = {
    "503": {"kind": "answer", "status": 503},
    "429": {"kind": "answer", "status": 429, "reason": "rateLimitExceeded", "wait": "0"},
    "403": {"kind": "answer", "status": 403, "reason": "userRateLimitExceeded"},
    "401": {"kind": "answer", "status": 401, "reason": "authError"},
    "page": {"kind": "answer", "status": 200, "body": b"<html>Log in here"},
    "unheard": {"kind": "unheard"},
    "lost": {"kind": "lost"},
    "half": {"kind": "half"},
    "partial": {"kind": "partial"},
    "drop": {"kind": "drop"},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("before", [None, b"an older version"], ids=["new", "replaced"])
def test_after_any_fault_there_is_one_file_with_the_right_content(fault, before, place, server):
    def prepare(folder):
        if before is not None:
            place.write(f"{folder}/x", before)
        server.asked.clear()

    prepare("without")
    insist(place, "without/x")
    requests = len(server.asked)
    assert requests == (5 if before is not None else 7)
    for number in range(requests):
        prepare(number)
        server.faults.clear()
        server.add(**FAULTS[fault], skip=number)
        insist(place, f"{number}/x")
        assert server.faults[0].times == 0
        assert place.stat(f"{number}/x").sha256 == hashlib.sha256(CONTENT).hexdigest(), number
        [folder] = server.find(str(number))
        files = [one for one in server.items.values() if folder.id in one.parents]
        assert [one.content for one in files] == [CONTENT], f"after {fault} at request {number}"


@pytest.mark.parametrize("fault", ["403", "lost", "page", "unheard"])
def test_after_any_fault_at_the_beginning_there_is_one_folder_of_each_name(fault, server):
    def begin(number):
        place = DrivePlace(f"gdrive://{number}/pets")
        patiently(place.open, tries=3, pause=0)
        insist(place, content=b"x")

    begin("without")
    requests = len(server.asked)
    assert requests == 11
    for number in range(requests):
        server.tokens.clear()
        server.faults.clear()
        server.add(**FAULTS[fault], skip=number)
        begin(number)
        assert server.faults[0].times == 0
        assert len(server.find(str(number))) == 1, number
    for name in ("pets", "runs", "epoch-1.bin"):
        assert len(server.find(name)) == requests + 1


@pytest.mark.parametrize("kind", ["lost", "half", "unheard"])
def test_a_file_without_bytes_survives_a_lost_answer(kind, place, server):
    for number in range(8):
        server.faults.clear()
        server.add(kind, skip=number)
        insist(place, f"empty/{number}", b"")
    assert {name: stored.size for name, stored in place.list().items()} == {f"empty/{n}": 0 for n in range(8)}


def test_pieces_go_on_where_the_server_stopped(place, server, monkeypatch):
    monkeypatch.setattr(drive_upload, "PIECE", 2 * GRAIN)
    place.write(NAME, b"x")
    server.asked.clear()
    server.add("partial", on="PUT")
    place.write(NAME, CONTENT)
    assert only(server, "epoch-1.bin") == CONTENT
    assert server.asked.count("PUT /upload/drive/v3/files") == 2, "all but the first 256 KiB in the second piece"


@pytest.mark.parametrize("wait", ["7", ""])
def test_an_upload_goes_on_after_a_pause(wait, place, server, tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    server.add("answer", on="PUT", skip=1, status=429, wait=wait)
    with pytest.raises(Away, match="gdrive://mirror/pets does not answer now \\(429") as caught:
        place.write(NAME, tmp_path / "source")
    assert caught.value.wait == float(wait or 0)
    assert server.asked[-1] == "PUT /upload/drive/v3/files"
    assert server.asked.count("PUT /upload/drive/v3/files") == 2, "it was left alone"
    server.asked.clear()
    place.write(NAME, tmp_path / "source")
    assert only(server, "epoch-1.bin") == CONTENT
    assert server.asked == ["PUT /upload/drive/v3/files"] * 3, "how far it was, and two pieces"


def test_an_upload_of_another_source_begins_anew(place, server, tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    server.add("answer", on="PUT", skip=1, status=503, times=2)
    with pytest.raises(Away):
        place.write(NAME, tmp_path / "source")
    place.write(NAME, CONTENT[::-1])
    assert only(server, "epoch-1.bin") == CONTENT[::-1]


def test_a_server_that_takes_nothing_or_forgets_everything_is_away(place, server):
    server.add("answer", on="PUT", status=308, times=99)
    with pytest.raises(Away, match=r"does not take what is sent, after 0 of 577,300 bytes"):
        place.write(NAME, CONTENT)
    server.faults.clear()
    server.add("drop", on="PUT", times=99)
    with pytest.raises(Away, match=r"does not keep runs/epoch-1.bin: others take it away"):
        place.write("runs/epoch-1.bin", CONTENT)


def test_a_flipped_bit_and_a_short_download_are_noticed(place, server, tmp_path):
    upload(place, NAME, CONTENT)
    server.add("flip", on="GET .*files/")
    fetch(place, NAME, tmp_path / "back", len(CONTENT))
    assert (tmp_path / "back").read_bytes() == CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), "for the hash to find"
    server.add("half", on="GET .*files/")
    part = place.read(NAME, 0, len(CONTENT))
    assert CONTENT.startswith(part)
    assert 0 < len(part) < len(CONTENT)
    server.add("unheard", on="GET .*files/")
    with pytest.raises(Away, match=r"does not answer \(the connection broke\)|Connection reset"):
        place.read(NAME, 0, 9)


@pytest.mark.parametrize("kind", ["trickle", "drip"])
def test_a_server_that_sends_byte_after_byte_does_not_hold_it(kind, place, server, monkeypatch):
    place.write(NAME, b"x")
    monkeypatch.setattr(drive_calls, "CALL", 0.2)
    server.add(kind)
    start = time.perf_counter()
    with pytest.raises(Away, match="it was too slow"):
        place.stat(NAME)
    assert time.perf_counter() - start < 1


def test_a_server_that_says_nothing_is_away(place, server, monkeypatch):
    monkeypatch.setattr(drive_calls, "READ", 0.1)
    server.add("stall")
    with pytest.raises(Away, match=r"does not answer \(no answer in time\)"):
        place.list()
    server.add("answer", status=503, wait="Wed, 21 Oct 2099 07:28:00 GMT")
    with pytest.raises(Away) as caught:
        place.list()
    assert caught.value.wait == 600


def test_a_server_that_is_not_there_is_away(server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("TELLTALE_DRIVE_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(Away, match=r"does not answer \(Connection refused\)"):
        connect()
    monkeypatch.setenv("TELLTALE_DRIVE_URL", "http://nowhere.invalid")
    with pytest.raises(Away, match="its address was not found"):
        connect()


@pytest.mark.parametrize(
    ("status", "reason"),
    [(408, ""), (429, ""), (500, "internalError"), (502, ""), (503, "backendError"), (504, ""), (302, "")]
    + [(403, f"{who}LimitExceeded") for who in ("rate", "userRate", "sharingRate", "daily")],
)
def test_what_passes_is_away(status, reason, place, server):
    server.add("answer", status=status, reason=reason, wait="3")
    with pytest.raises(Away, match=rf"gdrive://mirror/pets does not answer now \({status} ?{reason}") as caught:
        place.stat(NAME)
    assert caught.value.wait == 3


REFUSALS = {
    "storageQuotaExceeded": r"has no room left \(403 storageQuotaExceeded: .* a service account has no room of its own",
    "accessNotConfigured": "cannot be reached: the Drive API is off in the project .* set-quota-project PROJECT",
    "insufficientPermissions": "the login does not reach as far as Drive .* --scopes=openid,https",
    "insufficientFilePermissions": "may not be used so with these credentials .*Share the folder with that account",
    "forbidden": r"may not be used so with these credentials \(403 forbidden: Something\)",
}


@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("on", ["GET", "POST", "PUT"])
def test_a_refusal_says_what_to_do(on, reason, place, server):
    server.add("answer", on=on, status=403, reason=reason)
    with pytest.raises(PlaceError, match=REFUSALS[reason]) as caught:
        place.write(NAME, CONTENT)
    assert str(caught.value).startswith("gdrive://mirror/pets ")


@pytest.mark.parametrize(("status", "reason"), [(404, "notFound"), (400, "invalid")])
def test_a_server_that_is_none_of_drive_is_recognised(status, reason, server):
    server.add("answer", on="generateIds", status=status, reason=reason)
    with pytest.raises(PlaceError, match=r"did not get the answer that Google Drive gives .* Check TELLTALE_DRIVE_URL"):
        connect()


def test_a_full_drive_says_so_and_keeps_what_it_has(place, server):
    place.write(NAME, b"old")
    server.room = 1000
    with pytest.raises(PlaceError, match="has no room left"):
        place.write(NAME, CONTENT)
    assert place.read(NAME, 0, 9) == b"old"


def test_a_folder_that_is_only_shared_for_reading_can_be_read(place, server):
    place.write(NAME, b"x")
    server.add("answer", on="POST /(upload|drive)|PATCH|DELETE|PUT", status=403, reason="forbidden", times=99)
    reader = connect()
    assert reader.read(NAME, 0, 9) == b"x"
    with pytest.raises(PlaceError):
        reader.write(NAME, b"y")
    with pytest.raises(PlaceError, match="may not be used so"):
        reader.delete(NAME)


@pytest.mark.parametrize("url", ["gdrive://", "gdrive:///", "gdrive://a/../b"])
def test_a_url_needs_a_folder(url):
    with pytest.raises(PlaceError, match=f"'{url}' names no folder of Google Drive.*Add the folder"):
        DrivePlace(url)


def test_the_address_of_the_api_is_checked(server, monkeypatch):
    monkeypatch.setenv("TELLTALE_DRIVE_URL", "localhost:80")
    with pytest.raises(PlaceError, match="TELLTALE_DRIVE_URL is 'localhost:80', which is no address of a server"):
        connect()


def test_a_token_that_is_old_is_renewed_once(place, server):
    place.write(NAME, b"x")
    server.tokens.clear()
    assert place.read(NAME, 0, 9) == b"x"
    server.add("answer", on="GET", status=401, reason="authError", times=2)
    with pytest.raises(PlaceError, match=r"the credentials have expired or were refused .*Log in again"):
        place.stat(NAME)
    assert place.stat(NAME).size == 1


def test_a_login_that_was_withdrawn_says_so(place, server, monkeypatch, tmp_path):
    path = log_in(server, monkeypatch, tmp_path)
    path.write_text(path.read_text().replace(REFRESH, "a secret of old"))
    with pytest.raises(PlaceError, match="the credentials have expired or were refused") as caught:
        connect()
    assert "(invalid_grant: Token has been expired or revoked)" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("where", ["TELLTALE_DRIVE_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS", "gcloud"])
def test_a_service_account_logs_in_with_its_key(where, server, key, monkeypatch, tmp_path):
    monkeypatch.delenv("TELLTALE_DRIVE_CREDENTIALS")
    path = log_in(server, monkeypatch, tmp_path, where, **service_account(key), token_uri=f"{server.url}/token")
    if where == "gcloud":
        (tmp_path / "gcloud").mkdir()
        path.rename(tmp_path / "gcloud" / "application_default_credentials.json")
    place = connect()
    place.write(NAME, b"x")
    assert place.read(NAME, 0, 9) == b"x"


def test_a_wrong_clock_is_named(server, key, monkeypatch, tmp_path):
    log_in(server, monkeypatch, tmp_path, **service_account(key), token_uri=f"{server.url}/token")
    server.skew = 86_400
    with pytest.raises(PlaceError, match=r"cannot be used while the clock of this machine is wrong .*Set the clock"):
        connect()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "unheard"}, "does not answer"),
        ({"kind": "answer", "status": 403, "body": b"<html>Log in here"}, "no token came"),
        ({"kind": "answer", "status": 200, "body": b"<html>Log in here"}, "no token came"),
    ],
)
def test_without_a_token_for_now_it_is_away(fault, says, server):
    server.add(**fault, on="POST /token")
    place = DrivePlace("gdrive://mirror")
    with pytest.raises(Away, match=says):
        place.open()
    place.open()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "it cannot be read: No such file or directory"),
        ("{secret", "it is not JSON"),
        ('{"secret": {}}', "it is of a kind that is not known here"),
        ('["secret"]', "it is of a kind that is not known here"),
        ('{"type": "secret"}', "it is of a kind that is not known here"),
        ('{"installed": {"client_secret": "secret"}}', "it describes a client, which is not yet a login"),
        ('{"type": "service_account", "private_key": "secret"}', "it is incomplete or damaged"),
        ('{"type": "authorized_user", "client_id": "secret"}', "it is incomplete or damaged"),
    ],
)
def test_a_file_without_credentials_says_why(text, why, server, monkeypatch, tmp_path):
    path = tmp_path / "k.json"
    monkeypatch.setenv("TELLTALE_DRIVE_CREDENTIALS", str(path))
    if text is not None:
        path.write_text(text)
    with pytest.raises(PlaceError, match="in TELLTALE_DRIVE_CREDENTIALS gives no credentials: ") as caught:
        connect()
    assert why in str(caught.value)
    assert "Name another file, or log in." in caught.value.do
    assert "secret" not in str(caught.value)


def test_without_any_credentials_it_says_how_to_log_in_and_soon(server, monkeypatch, tmp_path):
    monkeypatch.delenv("TELLTALE_DRIVE_CREDENTIALS")
    monkeypatch.setattr(credentials, "PROBE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{silent.getsockname()[1]}")
        start = time.perf_counter()
        with pytest.raises(PlaceError, match=r"Google Drive needs credentials, and there are none\.") as caught:
            connect()
        assert time.perf_counter() - start < 2
    assert "auth.authenticate_user()" in caught.value.do
    assert "gcloud auth application-default login --client-id-file=CLIENT.json --scopes=openid," in caught.value.do
    assert "TELLTALE_DRIVE_CREDENTIALS=KEY.json" in caught.value.do
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(PlaceError, match=r"none\.json' in GOOGLE_APPLICATION_CREDENTIALS gives no credentials"):
        connect()


def test_without_the_packages_it_says_which(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    with pytest.raises(PlaceError, match="Google Drive needs packages that are not installed") as caught:
        connect()
    assert caught.value.do == "pip install 'telltale[drive]'"


def test_a_password_in_netrc_is_not_sent(server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    connect().write(NAME, b"x")
    sent = [headers.get("Authorization", "Bearer ") for headers in server.headers_seen]
    assert all(one.startswith("Bearer ") for one in sent)


def test_a_proxy_is_used_and_bounded_too(server, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server.url)
    monkeypatch.setenv("TELLTALE_DRIVE_URL", "http://drive.invalid")
    place = connect()
    place.write(NAME, CONTENT)
    assert place.read(NAME, 0, len(CONTENT)) == CONTENT
    monkeypatch.setattr(drive_calls, "CALL", 0.2)
    server.add("drip")
    with pytest.raises(Away, match="it was too slow"):
        place.list()


def test_a_server_with_a_certificate_of_its_own_is_not_trusted(server, key, monkeypatch, tmp_path):
    certify(key, tmp_path / "certificate.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("TELLTALE_DRIVE_URL", server.url.replace("http:", "https:"))
    path = log_in(server, monkeypatch, tmp_path)
    path.write_text(path.read_text().replace("http:", "https:"))
    with pytest.raises(PlaceError, match="cannot be reached safely: the certificate of the server is not accepted"):
        connect()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    place = connect()
    server.add("drip")
    monkeypatch.setattr(drive_calls, "CALL", 0.2)
    with pytest.raises(Away, match="it was too slow"):
        place.list()
    monkeypatch.setattr(drive_calls, "CALL", 60)
    place.list()


def certify(key, path):
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
