"""Real servers of S3 and Google Storage on this machine, each behind a proxy that can fail in every way."""

import json
import secrets
import threading
import urllib.request
from dataclasses import dataclass

import pytest
from tests.storage.drive_server import REFRESH, DriveServer
from tests.storage.fault_proxy import FaultProxy

PIECE = 256 << 10
"""Bytes of the parts in which the tests send: the least that Google takes."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # the library's own attempts take seconds
    "NO_GCE_CHECK": "true",
    "no_proxy": "127.0.0.1",
}


@dataclass(frozen=True)
class Service:
    """A bucket behind a proxy: `url` is a folder in it that no other test uses."""

    url: str
    proxy: FaultProxy


@pytest.fixture(scope="session")
def s3_server():
    import moto.s3.models
    from moto.server import ThreadedMotoServer

    # Parts of an upload may be small here, so that it has many.
    moto.s3.models.S3_UPLOAD_PART_MIN_SIZE = PIECE
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/pets", method="PUT")).close()
    yield host, port
    server.stop()


@pytest.fixture(scope="session")
def google_server():
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="pets")
    server.start()
    yield "127.0.0.1", server._api._httpd.server_port
    server.stop()


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    return monkeypatch


@pytest.fixture
def s3(s3_server, environment):
    with FaultProxy(s3_server) as proxy:
        environment.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield Service(f"s3://pets/{secrets.token_hex(4)}/mirror", proxy)


@pytest.fixture
def google(google_server, environment):
    with FaultProxy(google_server) as proxy:
        environment.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield Service(f"gs://pets/{secrets.token_hex(4)}/mirror", proxy)


@pytest.fixture
def drive(environment, tmp_path):
    server = DriveServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    login = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": REFRESH}
    path = tmp_path / "drive.json"
    path.write_text(json.dumps({"token_uri": f"{server.url}/token", **login}))
    environment.setenv("TELLTALE_DRIVE_CREDENTIALS", str(path))
    with FaultProxy(server.server_address[:2]) as proxy:
        environment.setenv("TELLTALE_DRIVE_URL", proxy.url)
        yield Service(f"gdrive://{secrets.token_hex(4)}/mirror", proxy)
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["s3", "google", "drive"])
def anywhere(request):
    """Each kind of place that is reached over a line."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["s3", "google"])
def service(request):
    """Each of them."""
    return request.getfixturevalue(request.param)
