"""`find_login`: the credentials for Google Drive that this machine has, and tokens made from them.

The only file that knows google-auth. No message holds a token, or anything that stands in a file with credentials.
"""

import contextlib
import functools
import json
import logging
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from telltale.errors import PlaceError
from telltale.storage.drive_refusals import LOGIN, judge_break, refuse_credentials
from telltale.storage.place import Away

if TYPE_CHECKING:
    import requests

VARIABLE: Final = "TELLTALE_DRIVE_CREDENTIALS"
SCOPE: Final = "https://www.googleapis.com/auth/drive"

TIMEOUT: Final = (10.0, 30.0)
"""Seconds to wait for a connection to what gives out tokens, and for its next bytes."""

PROBE: Final = 1.5
"""Seconds to wait for the metadata server that machines of Google have; elsewhere nothing answers there."""

_TOKENS: Final = "https://oauth2.googleapis.com/token"


class Login:
    """Signs requests in the name of one account."""

    def __init__(self, credentials: Any, session: "requests.Session", url: str) -> None:
        from google.auth.transport.requests import Request

        self._credentials = credentials
        self._request = functools.partial(Request(session), timeout=TIMEOUT)
        self._url = url

    def sign(self, method: str, address: str) -> dict[str, str]:
        """The headers that show who asks; a token that is old is replaced first."""
        headers: dict[str, str] = {}
        with self._explained():
            self._credentials.before_request(self._request, method, address, headers)
        return headers

    def renew(self) -> None:
        """Get a new token, also if the old one seems good."""
        with self._explained():
            self._credentials.refresh(self._request)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        # TypeError: what google-auth raises where a web page comes in place of a token.
        except (GoogleAuthError, TypeError, ValueError) as error:
            raise _judge(error, self._url) from error


def require_packages() -> None:
    """`PlaceError` where the packages for Google Drive are not installed."""
    try:
        import google.auth.transport.requests  # noqa: F401 - it needs requests
    except ImportError as error:
        raise PlaceError(
            "Google Drive needs packages that are not installed.",
            expected="google-auth and requests.",
            do="pip install 'telltale[drive]'",
        ) from error


def find_login(session: "requests.Session", url: str) -> Login:
    """The file in TELLTALE_DRIVE_CREDENTIALS, else what google-auth finds: `PlaceError` where there is nothing."""
    path = os.environ.get(VARIABLE, "")
    return Login(_read_file(path) if path else _find_default(session), session, url)


def _read_file(path: str) -> Any:
    """The credentials in a JSON file, either of a service account or of a person."""
    kinds = {"service_account": _open_service_account, "authorized_user": _open_person}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        build = kinds[found["type"]]
    except OSError as error:
        raise _unusable(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _unusable("it is not JSON") from error
    except (KeyError, TypeError) as error:
        client = isinstance(found, dict) and ("installed" in found or "web" in found)
        raise _unusable(
            "it describes a client, which is not yet a login" if client else "it is of a kind that is not known here"
        ) from error
    try:
        return build(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable("it is incomplete or damaged") from error


def _unusable(why: str) -> PlaceError:
    return PlaceError(
        f"The file {os.environ[VARIABLE]!r} in {VARIABLE} gives no credentials: {why}.",
        expected="The JSON file with the key of a service account (type service_account), or with a person's login "
        "(type authorized_user).",
        do=f"Name another file, or log in. {LOGIN}. Files of other kinds: GOOGLE_APPLICATION_CREDENTIALS=FILE.json",
    )


def _open_service_account(found: dict[str, Any]) -> Any:
    from google.oauth2.service_account import Credentials

    return Credentials.from_service_account_info(found, scopes=[SCOPE])  # type: ignore[no-untyped-call]


def _open_person(found: dict[str, Any]) -> Any:
    from google.oauth2.credentials import Credentials

    # Without a scope, so that it is renewed with all that the person has granted, if only for files of one app.
    return Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=found["refresh_token"],
        token_uri=found.get("token_uri") or _TOKENS,
        client_id=found["client_id"],
        client_secret=found["client_secret"],
        quota_project_id=found.get("quota_project_id"),
    )


def _find_default(session: "requests.Session") -> Any:
    """What GOOGLE_APPLICATION_CREDENTIALS, gcloud, Colab or a machine of Google gives."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        with _quietly():
            return google.auth.default(scopes=[SCOPE], request=_probing(session))[0]
    except (GoogleAuthError, ValueError, OSError) as error:
        named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        if named:
            raise PlaceError(
                f"The file {named!r} in GOOGLE_APPLICATION_CREDENTIALS gives no credentials.",
                expected="A JSON file that google-auth can read.",
                do=f"Correct the path, unset the variable, or set {VARIABLE}.",
            ) from error
        raise PlaceError(
            "Google Drive needs credentials, and there are none.",
            expected="A login or the key of a service account.",
            do=LOGIN,
        ) from error


def _probing(session: "requests.Session") -> Any:
    """Requests for google-auth, which give up at once where no metadata server answers.

    By itself it asks three times for three seconds. What is raised here is no `TransportError`, so it does not ask
    again; the environment variables that shorten it are read when its module is imported, which is too early.
    """
    from google.auth.exceptions import DefaultCredentialsError, TransportError
    from google.auth.transport.requests import Request

    request = Request(session)

    def ask(url: str, method: str = "GET", *, headers: Any = None, timeout: Any = TIMEOUT, **options: Any) -> Any:
        if "metadata-flavor" not in (headers or {}):
            return request(url, method, headers=headers, timeout=timeout, **options)
        try:
            return request(url, method, headers=headers, timeout=PROBE, **options)
        except TransportError as error:
            raise DefaultCredentialsError("no metadata server") from error  # type: ignore[no-untyped-call]

    return ask


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what google-auth says of projects: none is needed here, and where it is Drive's refusal says so."""
    log = logging.getLogger("google.auth")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _judge(error: Exception, url: str) -> Away | PlaceError:
    """What it means that there is no token."""
    from google.auth.exceptions import RefreshError, TransportError

    first, second = [*error.args, None, None][:2]
    if isinstance(error, TransportError) or isinstance(first, Exception):
        return judge_break(error, url)
    if isinstance(error, RefreshError) and not error.retryable:
        if isinstance(second, dict) and isinstance(second.get("error"), str):
            return refuse_credentials(
                url, f"{second['error']}: {second.get('error_description', '')}"[:300].rstrip(": .")
            )
        if isinstance(first, str) and first.startswith(("Reauthentication", "The credentials do not")):
            return refuse_credentials(url, first.partition(".")[0])
    return Away(f"{url} does not answer (no token came from where Google gives them out)")
