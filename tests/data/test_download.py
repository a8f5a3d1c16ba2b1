"""Downloads against a real server on this machine that breaks, forgets, changes its mind, or answers with a page."""

import hashlib
import http.server
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from telltale.data.download import download, shown
from telltale.data.source import open_source
from telltale.errors import DownloadError, OutputError, SourceError
from telltale.progress import Advance, Note

DATA = bytes(range(256)) * 12_000  # 3 MB


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.data` as `server` says; keeps what it was asked in `server.asked`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        """Quiet."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if self.path.startswith("/moved"):
            return self.answer(302, b"", {"Location": server.target})
        if server.codes:
            return self.answer(server.codes.pop(0), b"", {})
        data, status, headers = server.data, 200, dict(server.headers)
        start = self.wanted(server)
        if start:
            if start >= len(data):
                return self.answer(416, b"", {})
            shift = server.wrong_range
            headers["Content-Range"] = f"bytes {start + shift}-{len(data) - 1}/{len(data)}"
            data, status = data[start:], 206
        return self.answer(status, data, headers)

    def wanted(self, server):
        """Where the answer starts."""
        asked, same = self.headers.get("Range"), self.headers.get("If-Range")
        if (
            not asked
            or not server.ranges
            or same not in (server.headers.get("ETag"), server.headers.get("Last-Modified"))
        ):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def answer(self, status, data, headers):
        self.send_response(status)
        chunked = self.server.chunked and status == 200
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        most = self.server.breaks.pop(0) if self.server.breaks and data else len(data)
        if chunked:
            self.wfile.write(b"%x\r\n" % len(data))
        self.wfile.write(data[:most])
        if most < len(data):
            self.close_connection = True
            self.connection.shutdown(2)
        elif chunked:
            self.wfile.write(b"\r\n0\r\n\r\n")


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data, server.headers, server.ranges, server.chunked = DATA, {"ETag": '"one"'}, True, False
    server.breaks, server.codes, server.asked, server.wrong_range, server.target = [], [], [], 0, ""
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def fetch(url, tell=lambda message: None):
    return download(url, tell=tell, pause=0.01)


def test_a_file_arrives_with_progress_and_its_own_name(server, cache):
    told = []
    path = fetch(f"{server.url}/pets/cats%20and%20dogs.zip?key=secret", told.append)
    assert path.read_bytes() == DATA
    assert path.name == "cats_and_dogs.zip"
    steps = [one for one in told if isinstance(one, Advance)]
    assert {(one.stage, one.total, one.unit) for one in steps} == {("download", len(DATA), "bytes")}
    assert [one.done for one in steps] == sorted(one.done for one in steps)
    assert steps[-1].done == len(DATA)
    assert sorted(one.name for one in path.parent.iterdir()) == [".lock", ".state.json", "cats_and_dogs.zip"]
    assert not any("secret" in one.read_text() for one in cache.rglob(".state.json"))


def test_a_finished_file_is_used_again_without_the_server(server):
    url = f"{server.url}/a.zip"
    path = fetch(url)
    asked = len(server.asked)
    server.codes = [500] * 9
    told = []
    assert fetch(url, told.append) == path
    assert len(server.asked) == asked
    assert "was downloaded before" in told[0].text
    path.write_bytes(b"cut")
    server.codes = []
    assert fetch(url).read_bytes() == DATA, "one of another length is fetched again"


@pytest.mark.parametrize(
    "headers", [{"ETag": '"one"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "ETag": 'W/"x"'}]
)
def test_a_break_is_resumed_at_once(headers, server):
    server.headers, server.breaks = headers, [1_000_000, 500_000]
    told = []
    assert fetch(f"{server.url}/a.zip", told.append).read_bytes() == DATA
    ranges = [one for _, one, _ in server.asked]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert 0 < int(ranges[1][6:-1]) < int(ranges[2][6:-1]) <= 1_500_000
    assert server.asked[1][2] == headers.get("Last-Modified", '"one"')
    assert next(one.text for one in told if isinstance(one, Note)).startswith("The transfer broke (")


def test_a_break_is_resumed_in_a_later_run(server, cache):
    server.breaks = [700_000] + [10] * 30
    with pytest.raises(DownloadError, match=r"The transfer of 'http://127.0.0.1:\d+/a.zip' broke \(") as caught:
        fetch(f"{server.url}/a.zip")
    assert caught.value.exit_code == 1
    assert "Run the same command again: it goes on from what has arrived." in str(caught.value)
    part = next(cache.rglob(".part"))
    before = part.stat().st_size
    assert part.read_bytes() == DATA[:before]
    server.breaks, server.asked = [], []
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA
    assert server.asked[0][1] == f"bytes={before}-"


def test_it_gives_up_after_three_retries_that_bring_nothing(server):
    server.codes = [503] * 9
    with pytest.raises(DownloadError, match=r"the server answered 503 Service Unavailable\)\. A connection that holds"):
        fetch(f"{server.url}/a.zip")
    assert len(server.asked) == 4


def test_a_server_that_recovers(server):
    server.codes = [503, 500, 429]
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA


def test_a_server_without_ranges_starts_over(server):
    server.ranges, server.breaks = False, [1_000_000]
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA
    assert server.asked[1][1] is not None


def test_a_server_without_validators_is_never_resumed(server):
    server.headers, server.breaks = {}, [1_000_000]
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA
    assert [one for _, one, _ in server.asked] == [None, None]


def test_a_file_that_changed_in_between_is_not_mixed(server):
    server.breaks = [1_000_000] + [10] * 30
    with pytest.raises(DownloadError):
        fetch(f"{server.url}/a.zip")
    server.data, server.headers, server.breaks = DATA[::-1], {"ETag": '"two"'}, []
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA[::-1]


def test_a_file_that_shrank_behind_the_same_validator_starts_over(server):
    server.breaks = [1_000_000] + [10] * 30
    with pytest.raises(DownloadError):
        fetch(f"{server.url}/a.zip")
    server.data, server.breaks = b"small", []
    assert fetch(f"{server.url}/a.zip").read_bytes() == b"small"


def test_another_part_than_was_asked_for_starts_over(server):
    server.breaks, server.wrong_range = [1_000_000], 7
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA
    assert [bool(one) for _, one, _ in server.asked] == [False, True, False]


def test_a_file_of_unknown_length(server):
    server.chunked, server.breaks = True, [1_000_000]
    told = []
    assert fetch(f"{server.url}/a.zip", told.append).read_bytes() == DATA
    assert {one.total for one in told if isinstance(one, Advance)} >= {None}


def test_a_state_file_that_is_broken_starts_over(server, cache):
    server.breaks = [1_000_000] + [10] * 30
    with pytest.raises(DownloadError):
        fetch(f"{server.url}/a.zip")
    next(cache.rglob(".state.json")).write_text("{")
    server.breaks = []
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA


def test_the_checksum_in_the_url_is_checked(server):
    right, wrong = hashlib.sha256(DATA).hexdigest(), "0" * 64
    with pytest.raises(DownloadError, match=rf"arrived with SHA-256 {right[:12]}…\. 000000000000…, as the URL says"):
        fetch(f"{server.url}/a.zip#sha256={wrong}")
    path = fetch(f"{server.url}/a.zip#sha256={right.upper()}")
    assert path.read_bytes() == DATA
    server.data, server.headers = b"new", {"ETag": '"two"'}
    new = hashlib.sha256(b"new").hexdigest()
    assert fetch(f"{server.url}/a.zip#sha256={new}").read_bytes() == b"new", "another checksum asks for another file"


def test_a_missing_file_is_said_at_once(server):
    server.codes = [404]
    with pytest.raises(
        SourceError, match=r"The server answered 404 Not Found for 'http://127.0.0.1:\d+/a.zip'\."
    ) as caught:
        fetch(f"{server.url}/a.zip?key=secret")
    assert "secret" not in str(caught.value)
    assert "Check the URL in a browser." in str(caught.value)
    assert len(server.asked) == 1


def test_nobody_answers():
    with pytest.raises(DownloadError, match="refused"):
        fetch("http://127.0.0.1:9/a.zip")


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"<!DOCTYPE html><html>Log in", "application/zip"), (b"\n <div>Sorry", "text/html; charset=utf-8")],
)
def test_a_page_in_place_of_a_file(data, kind, server, cache):
    server.data, server.headers = data, {"Content-Type": kind}
    with pytest.raises(SourceError, match="answered with a web page, not with a file") as caught:
        fetch(f"{server.url}/a.zip")
    assert "download button" in caught.value.do
    assert not [one for one in cache.rglob("*") if one.is_file() and one.stat().st_size and one.suffix == ".zip"]


def test_names_come_from_the_server_or_the_last_address(server):
    server.headers = {"Content-Disposition": 'attachment; filename="../../etc/pets v2.zip"'}
    assert fetch(f"{server.url}/get?id=1").name == "pets_v2.zip"
    server.headers, server.target = {}, f"{server.url}/cdn/birds.tar"
    assert fetch(f"{server.url}/moved/1").name == "birds.tar"
    assert fetch(f"{server.url}/").name == "download"
    assert fetch(f"{server.url}/.lock").name == "lock"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a.zip"])
def test_redirects_lead_to_the_web_only(target, server):
    server.target = target
    with pytest.raises(SourceError, match=r"redirects to '(file|ftp)'\. An http or https URL\."):
        fetch(f"{server.url}/moved/a.zip")


def test_urls_that_cannot_be_right():
    for url in ("ftp://example.org/a.zip", "file:///etc/passwd", "http://", "s3://bucket/a.zip"):
        with pytest.raises(SourceError, match=r"cannot be fetched\. An http or https URL\. Download it yourself\."):
            fetch(url)
    with pytest.raises(SourceError, match=r"The URL of 'example.org' holds a user name or a password") as caught:
        fetch("https://me:secret@example.org/a.zip")
    assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match=r"is not a SHA-256\. #sha256= and 64 hexadecimal digits"):
        fetch("https://example.org/a.zip#sha256=abc")
    assert shown("https://me:secret@example.org/a.zip?x=1") == "https://example.org/a.zip"


def test_two_at_once_fetch_it_once(server):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [f"{server.url}/a.zip"] * 4))
    assert len(set(paths)) == 1
    assert len(server.asked) == 1


def test_a_place_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError):
        fetch(f"{server.url}/a.zip")


def test_a_full_disk_is_said_and_what_arrived_is_kept(server, cache):
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(OutputError, match="No space left to write"):
            fetch(f"{server.url}/a.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert fetch(f"{server.url}/a.zip").read_bytes() == DATA


def test_a_source_behind_a_url(server, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("cats/1.jpg", "dogs/2.jpg"):
            archive.writestr(name, name)
    server.data = (tmp_path / "a.zip").read_bytes()
    source = open_source(f"{server.url}/pets.zip")
    assert (source.location, source.name, source.classes) == (f"{server.url}/pets.zip", "pets", ("cats", "dogs"))
    assert source.store.read("cats/1.jpg") == b"cats/1.jpg"
    assert json.loads(next((tmp_path / "cache").rglob(".state.json")).read_text())["etag"] == '"one"'


def test_a_table_behind_a_url_has_no_pictures(server):
    server.data = b"id,label\n1,cat\n"
    with pytest.raises(SourceError, match="There are no pictures in"):
        open_source(f"{server.url}/labels.csv")
