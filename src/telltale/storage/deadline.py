"""`Deadline`: a whole exchange with a web server ends in time, however slowly the server sends.

The timeouts of sockets begin anew with each byte, so that a server which sends one byte a second could hold a caller
for days. Here a watchdog shuts the connection down, and what waits for it fails at once.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests


class Deadline:
    """Watches the connections of one `session`, which one thread at a time may use."""

    def __init__(self) -> None:
        self.passed = False
        self._connection: Any = None
        self._socket: Any = None
        self.session = _open_session(self)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What the session does inside fails after so many seconds; `passed` says then that this was the reason."""
        self.passed, self._connection, self._socket = False, None, None
        watchdog = threading.Timer(seconds, self._cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def watch(self, connection: Any, *, answers: bool = False) -> None:
        """This is the connection in use; when it `answers`, its socket may soon belong to the answer alone."""
        self._connection = connection
        self._socket = connection.sock if answers else None

    def _cut(self) -> None:
        self.passed = True
        line: Any = self._socket or getattr(self._connection, "sock", None)
        # Not the method of an SSL socket: it would take the encryption away from under the thread that reads.
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(line, socket.SHUT_RDWR)


def _open_session(deadline: Deadline) -> "requests.Session":
    """A session whose connections show themselves to the deadline."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            _show_connections(self.poolmanager, deadline)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            known = proxy in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **options)
            if not known:
                _show_connections(manager, deadline)
            return manager

    session = requests.Session()
    # Else requests sends a password that stands in ~/.netrc for this host, or for all, in place of the token.
    session.auth = _leave
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())
    return session


def _show_connections(manager: Any, deadline: Deadline) -> None:
    """Have all connections that this manager makes tell the deadline when they are used."""

    def shown(pool: Any) -> Any:
        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def connect(self) -> None:
                deadline.watch(self)
                super().connect()

            def putrequest(self, *arguments: Any, **options: Any) -> None:
                deadline.watch(self)
                super().putrequest(*arguments, **options)

            def getresponse(self, *arguments: Any, **options: Any) -> Any:
                deadline.watch(self, answers=True)
                return super().getresponse(*arguments, **options)

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    manager.pool_classes_by_scheme = {scheme: shown(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}


def _leave(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
    return request
