"""Buckets and other servers as places: whole files, two kinds of error, and an end to waiting."""

import errno
import ftplib
import json
import re
import time

import fsspec
import pytest
from tests.storage.conftest import PIECE
from tests.storage.contract import CHECKS
from tests.storage.fault_proxy import SKEWED, Fault

from telltale.errors import PlaceError
from telltale.storage.bucket import BucketPlace
from telltale.storage.patience import patiently
from telltale.storage.place import Away
from telltale.storage.refusals import judge

# aiohttp says so of every piece that gcsfs sends.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


class Disk(fsspec.get_filesystem_class("file")):
    """A server with folders: a file is seen while it grows; it does not rename to a name that is taken."""

    protocol = "disk"
    async_impl = False
    asked: list[str] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("disk://"))

    def put_file(self, path1, path2, **options):
        self.asked.append(path2)
        super().put_file(path1, path2, **options)

    def mv(self, path1, path2, **options):
        if self.exists(path2):
            raise OSError("553 the name is taken")
        super().mv(path1, path2, **options)


def refused(code, status, words="It was refused."):
    """What s3fs raises."""
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    answer = {"Error": {"Code": code, "Message": words}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(ClientError(answer, "PutObject"))


def make(service, **options):
    place = BucketPlace(service.url, **{"deadline": 10.0, "piece": PIECE, **options})
    place.open()
    service.proxy.clear()
    return place


@pytest.fixture
def place(request, tmp_path):
    """A place of the kind that the test names."""
    kind = request.param
    if kind in ("s3", "google"):
        return make(request.getfixturevalue(kind))
    fsspec.register_implementation("disk", Disk, clobber=True)
    place = BucketPlace(f"disk://{tmp_path}/deep/mirror" if kind == "disk" else "memory://pets/mirror")
    place.open()
    fsspec.filesystem("memory").store.clear()
    return place


@pytest.mark.parametrize("place", ["s3", "google", "memory", "disk"], indirect=True)
def test_a_bucket_keeps_the_promises_of_a_place(place, tmp_path):
    for check in CHECKS:
        check(place, tmp_path)
        for name in place.list():
            place.delete(name)


def test_a_large_file_goes_in_pieces(service, tmp_path):
    place = make(service)
    path = tmp_path / "large"
    path.write_bytes(bytes(range(251)) * 25_000)  # gcsfs sends less than 5 MiB at once
    place.write("large", path)
    assert place.stat("large").size == path.stat().st_size
    assert max(service.proxy.sizes) <= 2 * PIECE
    assert sum(size >= PIECE for size in service.proxy.sizes) >= 20
    assert place.read("large", 5_000_000, 6_000_000) == path.read_bytes()[5_000_000:6_000_000]


def test_what_tools_make_to_show_folders_is_no_file(s3, s3_server):
    import boto3

    place = make(s3)
    client = boto3.client("s3", endpoint_url=f"http://{s3_server[0]}:{s3_server[1]}")
    root = s3.url.removeprefix("s3://pets/")
    for name in ("", "folder/", ".hidden", "x"):
        client.put_object(Bucket="pets", Key=f"{root}/{name}", Body=b"")
    client.close()
    assert list(place.list()) == ["x"]


@pytest.mark.parametrize("place", ["disk"], indirect=True)
def test_where_files_grow_a_name_is_taken_by_a_whole_one(place, tmp_path):
    (tmp_path / "source").write_bytes(b"x" * 1000)
    Disk.asked.clear()
    place.write("a/x", tmp_path / "source")
    assert [re.fullmatch(r".*/a/\.x\.[0-9a-f]+\.tmp", path) is not None for path in Disk.asked] == [True]
    assert [path.name for path in (tmp_path / "deep").rglob("*") if path.is_file()] == ["x"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://", "names no folder"),
        ("gopher://x/y", "There is no way to write 'gopher' URLs. gdrive://, s3://, gs:// or another"),
        ("https://x/y", "There is no way to write 'https' URLs"),
        ("gdriv://x", "Did you mean gdrive://?"),
        ("sftp://me:secret@127.0.0.1/x", "holds a password"),
        ("abfs://pets/x", "needs a package that is not installed"),
    ],
)
def test_a_url_that_cannot_be_right(url, words):
    with pytest.raises(PlaceError, match=re.escape(words)) as caught:
        BucketPlace(url)
    assert "secret" not in str(caught.value)


def xml(code, status=403, message="It was refused."):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Fault("answer", status, (("Content-Type", "application/xml"),), body.encode())


def google_says(status, message, reason=""):
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return Fault("answer", status, (("Content-Type", "application/json"),), json.dumps({"error": error}).encode())


ASKED = {
    "list": lambda place: place.list(),
    "stat": lambda place: place.stat("x"),
    "read": lambda place: place.read("x", 0, 1),
    "write": lambda place: place.write("x", b"x"),
    "delete": lambda place: place.delete("x"),
}

CLOCK = r"does not accept this machine's clock .*Set the clock"
EXPIRED = r"does not accept the credentials any more: they have expired .*Log in with"
NONE = r"needs credentials, and none were found .*Log in with"
WRONG = r"does not know these credentials .*Log in with"
NO_BUCKET = r"names a bucket that does not exist .*make the bucket"
FULL = r"has no room left .*Free some room"
FORBIDDEN = r"may not be used with these credentials .*Give the account that permission"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (SKEWED, CLOCK),
        (xml("ExpiredToken", 400, "The provided token has expired."), EXPIRED),
        (xml("SignatureDoesNotMatch"), WRONG),
        (xml("AccessDenied", 403, "Access Denied"), FORBIDDEN),
        (xml("QuotaExceeded"), FULL),
    ],
    ids=["clock", "expired", "signature", "denied", "full"],
)
def test_what_s3_refuses_is_said(fault, words, s3):
    place = make(s3)
    place.write("x", b"x")
    # An answer to HEAD has no body, and so no reason.
    s3.proxy.rule = lambda request: Fault("answer", fault.status) if request.method == "HEAD" else fault
    for ask in ASKED.values() if words == FORBIDDEN else (ASKED["stat"],):
        with pytest.raises(PlaceError, match=words) as caught:
            ask(place)
        assert caught.value.given.startswith(s3.url)
    s3.proxy.clear()
    assert place.read("x", 0, 1) == b"x"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (google_says(401, "Anonymous caller does not have storage.objects.list access to the bucket."), NONE),
        (google_says(403, "me@example.com does not have storage.objects.create access."), FORBIDDEN),
        (google_says(401, "Login Required"), WRONG),
    ],
    ids=["anonymous", "denied", "unknown"],
)
def test_what_google_refuses_is_said(fault, words, google):
    place = make(google)
    google.proxy.rule = lambda request: fault
    for ask in ASKED.values():
        with pytest.raises(PlaceError, match=words):
            ask(place)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refused("InvalidAccessKeyId", 403), PlaceError, WRONG),
        (refused("NoSuchBucket", 404), PlaceError, NO_BUCKET),
        (refused("AllAccessDisabled", 403), PlaceError, FORBIDDEN),
        (refused("XMinioStorageFull", 507), PlaceError, FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), PlaceError, FULL),
        (PermissionError(errno.EACCES, "Permission denied"), PlaceError, FORBIDDEN),
        (ftplib.error_perm("530 Login incorrect."), PlaceError, WRONG),
        (NotImplementedError(), PlaceError, r"is of a kind that cannot be written .*Give another mirror"),
        (refused("SlowDown", 503), Away, "does not answer now"),
        (refused("RequestTimeout", 400), Away, "does not answer now"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), Away, r"does not answer \(Connection"),
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), Away, "does not answer"),
        (TimeoutError(), Away, "no answer in time"),
        (RuntimeError("the moon is full"), Away, r"has a problem \(the moon is full\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_libraries_raise_becomes_one_of_two_kinds(error, kind, words):
    found = judge(error, "s3://pets/x")
    assert type(found) is kind
    assert re.search(words, str(found)), found


@pytest.mark.parametrize("ask", ["list", "write", "open"])
def test_a_bucket_that_is_not_there(ask, service):
    place = BucketPlace(f"{service.url.partition('://')[0]}://nobodys/x")
    with pytest.raises(PlaceError, match=NO_BUCKET):
        {**ASKED, "open": BucketPlace.open}[ask](place)


def test_a_bucket_whose_name_cannot_be(s3):
    with pytest.raises(PlaceError, match=NO_BUCKET):
        BucketPlace("s3://_?/x").open()


def test_no_credentials(s3, environment):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.delenv(name)
    with pytest.raises(PlaceError, match=NONE + " 'aws configure'"):
        BucketPlace(s3.url).open()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Token has been expired or revoked.", EXPIRED + " 'gcloud auth application-default login'"),
        ("Invalid JWT: Token must be a short-lived token. Check your iat and exp values in the JWT claim.", CLOCK),
    ],
    ids=["expired", "clock"],
)
def test_credentials_that_google_withdrew(answer, words, google, environment, tmp_path):
    """gcsfs would try six times within half a minute."""
    body = json.dumps({"error": "invalid_grant", "error_description": answer}).encode()
    path = tmp_path / "account.json"
    path.write_text(json.dumps(service_account(f"{google.proxy.url}/token")))
    environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    google.proxy.add(Fault("answer", 400, (("Content-Type", "application/json"),), body), path="/token", times=99)
    start = time.perf_counter()
    with pytest.raises(PlaceError, match=words):
        BucketPlace(google.url).open()
    assert time.perf_counter() - start < 5


def service_account(token_uri):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "pets",
        "client_email": "me@pets.iam.gserviceaccount.com",
        "token_uri": token_uri,
        "private_key": text.decode(),
    }


def test_new_credentials_are_taken_while_the_training_goes_on(s3, environment):
    place = make(s3)
    s3.proxy.rule = lambda request: xml("ExpiredToken", 400) if "=key/" in request.find("authorization") else None
    for _ in range(2):
        with pytest.raises(PlaceError, match=EXPIRED):
            place.write("x", b"x")
    environment.setenv("AWS_ACCESS_KEY_ID", "new")
    place.write("x", b"x")


def test_what_passes_is_away(s3):
    place = make(s3)
    place.write("x", b"x")
    for fault in (xml("InternalError", 500), Fault("answer", 429), Fault("answer", 502)):
        s3.proxy.rule = lambda request, fault=fault: fault
        for ask in ASKED.values() if fault.status == 429 else (ASKED["write"],):
            with pytest.raises(Away, match="does not answer now"):
                ask(place)
    s3.proxy.clear()
    with s3.proxy.away(), pytest.raises(Away, match="does not answer"):
        place.list()
    assert place.read("x", 0, 1) == b"x"


def test_what_is_not_known_may_pass(s3):
    place = make(s3)
    s3.proxy.rule = lambda request: xml("NeverHeardOf", 418, "I am a teapot")
    with pytest.raises(Away, match=r"has a problem .*teapot"):
        place.write("x", b"x")


def test_a_server_may_ask_for_a_pause(s3):
    place = make(s3)
    for said, wait in (("7", 7.0), ("100000", 300.0), ("soon", 0.0)):
        s3.proxy.add(Fault("answer", 503, (("Retry-After", said),)))
        with pytest.raises(Away) as caught:
            place.write("x", b"x")
        assert caught.value.wait == wait


def test_no_answer_has_an_end(service):
    make(service).write("x", b"x")  # the library has read its files
    place = make(service, deadline=0.15)
    service.proxy.rule = lambda request: Fault("stall", seconds=3)
    start = time.perf_counter()
    for ask in (ASKED["stat"], ASKED["write"]):
        with pytest.raises(Away, match="no answer in time"):
            ask(place)
    assert time.perf_counter() - start < 2


def test_a_server_of_folders_that_hangs_has_an_end_too(tmp_path):
    class Slow(Disk):
        protocol = "slow"
        slow = False

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.removeprefix("slow://"))

        def info(self, path, **options):
            if Slow.slow:
                time.sleep(0.3)
            return super().info(path, **options)

    fsspec.register_implementation("slow", Slow, clobber=True)
    place = BucketPlace(f"slow://{tmp_path}/mirror", deadline=0.1)
    place.open()
    place.write("x", b"x")
    Slow.slow = True
    with pytest.raises(Away, match="no answer within 0 s"):
        place.stat("x")
    Slow.slow = False
    assert place.stat("x").size == 1


def test_google_away_is_away_within_the_deadline(google):
    place = make(google, deadline=0.3)
    with google.proxy.away(), pytest.raises(Away, match="no answer in time"):
        place.stat("x")
    place.write("x", b"x")
    assert patiently(lambda: place.read("x", 0, 1), tries=3, pause=0.1) == b"x"
