"""`FaultProxy`: stands between a client and an HTTP server of this machine, and does to requests what networks do."""

import contextlib
import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import BinaryIO


@dataclass
class Request:
    """One request as the client sent it; `number` counts all from 0, `fault` is what is done to it."""

    number: int
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)
    fault: "Fault | None" = None

    def find(self, name: str) -> str:
        """The value of a header; empty without it."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(frozen=True)
class Fault:
    """What is done to a request. `kind` is one of these; the server sees the request unless it says otherwise.

    answer           an answer of the proxy (`status`, `headers`, `body`); the server does not see the request
    reset-request    the connection is reset when half of the request has arrived; the server does not see it
    reset-answer     the connection is reset when half of the answer was sent
    stall            nothing happens for `seconds`, then the request goes its way
    short            half of the body, and headers that fit it
    truncate         half of the body, then the connection ends
    flip             one bit of the body of the answer is another
    flip-request     one bit of the body of the request is another
    """

    kind: str
    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    seconds: float = 0.0


BUSY = Fault("answer", 503)
LATER = Fault("answer", 429)
SKEWED = Fault(
    "answer",
    403,
    (("Content-Type", "application/xml"), ("Date", formatdate(time.time() + 86_400, usegmt=True))),
    b"<?xml version='1.0'?><Error><Code>RequestTimeTooSkewed</Code>"
    b"<Message>The difference between the request time and the current time is too large.</Message></Error>",
)
"""What S3 answers a machine whose clock is a day behind."""

KINDS = ("reset-request", "reset-answer", "stall", "short", "truncate", "flip", "flip-request")


@dataclass
class _Order:
    """A fault for the requests that match, after `skip` of them, `times` times."""

    fault: Fault
    method: str
    path: str
    skip: int
    times: int

    def takes(self, request: Request) -> bool:
        if self.method not in ("", request.method) or not re.search(self.path, request.path) or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultProxy:
    """Passes requests on to `server` (host and port) until it is told otherwise; as a context it ends by itself.

    `rule` may give a fault for any request; `before` is called when the head of a request has arrived, `after` when
    it was answered, so that a test can end the client there. `seen` holds the requests, without their bodies, and
    `sizes` how long these were.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.rule: Callable[[Request], Fault | None] = lambda request: None
        self.before: Callable[[Request], object] = lambda request: None
        self.after: Callable[[Request], object] = lambda request: None
        self.seen: list[Request] = []
        self.sizes: list[int] = []
        self._orders: list[_Order] = []
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._port = 0
        self.come_back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def add(self, fault: Fault, *, method: str = "", path: str = "", skip: int = 0, times: int = 1) -> None:
        """Do this to the next `times` requests that match after the first `skip`; `path` is a regular expression."""
        with self._lock:
            self._orders.append(_Order(fault, method, path, skip, times))

    def clear(self) -> None:
        """Forget faults, rules, hooks and what was seen."""
        with self._lock:
            self._orders.clear()
            self.seen.clear()
            self.sizes.clear()
        self.rule = self.before = self.after = lambda request: None

    def go_away(self) -> None:
        """Refuse connections, and end those that there are."""
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Take connections (again), on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = self._listener.getsockname()[1]
        self._listener.settimeout(0.05)  # a closed listener does not wake its thread on every system
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block the server cannot be reached."""
        self.go_away()
        try:
            yield
        finally:
            self.come_back()

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *details: object) -> None:
        self.go_away()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(60)
            with self._lock:
                self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Everything that comes over one connection."""
        with client, client.makefile("rb") as stream, contextlib.suppress(OSError, _End):
            while (request := self._receive(client, stream)) is not None:
                self._handle(client, request, request.fault)
                self.after(request)
        with self._lock:
            self._clients.discard(client)

    def _receive(self, client: socket.socket, stream: BinaryIO) -> Request | None:
        head = stream.readline()
        if not head.strip():
            return None
        method, path, _ = head.decode("latin-1").split(" ", 2)
        headers = []
        while line := stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        request = Request(0, method, path, headers, b"")
        wanted = int(request.find("content-length") or 0)
        with self._lock:
            request.number = len(self.seen)
            self.seen.append(Request(request.number, method, path, headers, b""))
            self.sizes.append(wanted)
            order = next((one for one in self._orders if one.takes(request)), None)
        request.fault = order.fault if order else self.rule(request)
        self.before(request)
        if request.find("expect").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.fault is not None and request.fault.kind == "reset-request":
            stream.read(wanted // 2)
            _reset(client)
        if request.find("transfer-encoding").lower() == "chunked":
            request.body = b"".join(_read_chunks(stream))
        else:
            request.body = stream.read(wanted)
            if len(request.body) < wanted:
                return None
        return request

    def _handle(self, client: socket.socket, request: Request, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if fault is not None and kind == "answer":
            body = b"" if request.method == "HEAD" else fault.body
            client.sendall(_format(fault.status, list(fault.headers), body, request.method))
            return
        if fault is not None and kind == "stall":
            time.sleep(fault.seconds)
        if kind == "flip-request":
            request.body = _flip(request.body)
        status, headers, body = self._ask(request)
        half = len(body) // 2
        if kind == "flip":
            body = _flip(body)
        if kind == "short":
            body = body[:half]
        answer = _format(status, headers, body, request.method)
        if kind == "truncate":
            client.sendall(answer[: len(answer) - len(body) + half])
            raise _End
        if kind == "reset-answer":
            client.sendall(answer[: len(answer) // 2])
            _reset(client)
        client.sendall(answer)

    def _ask(self, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.server, timeout=60)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in _HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.putheader("Connection", "close")
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class _End(Exception):
    """The connection is over."""


def _reset(client: socket.socket) -> None:
    # Closed without waiting, it sends RST instead of FIN.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise _End


def _read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass


def _flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


def _format(status: int, headers: list[tuple[str, str]], body: bytes, method: str) -> bytes:
    """An answer as it goes over the line. The one to HEAD keeps the length that the server said."""
    kept = [(name, value) for name, value in headers if name.lower() not in _HOP]
    said = [value for name, value in headers if name.lower() == "content-length"]
    length = said[0] if method == "HEAD" and said else str(len(body))
    if status not in (204, 304):
        kept.append(("Content-Length", length))
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Said')}", *(f"{n}: {v}" for n, v in kept)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
