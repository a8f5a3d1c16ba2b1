"""`judge_answer`, `judge_break`: what a refusal of Google Drive, or a broken connection, means for its caller.

What the reasons are: https://developers.google.com/workspace/drive/api/guides/handle-errors
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

from telltale.errors import PlaceError
from telltale.storage.place import Away

LOGIN: Final = (
    "In Colab: from google.colab import auth; auth.authenticate_user(). Elsewhere: gcloud auth application-default "
    "login --client-id-file=CLIENT.json --scopes=openid,https://www.googleapis.com/auth/drive,"
    "https://www.googleapis.com/auth/cloud-platform, or the key of a service account: "
    "TELLTALE_DRIVE_CREDENTIALS=KEY.json"
)
"""How one logs in. The client is one's own: gcloud's may not ask for Drive since June 2025."""

LONGEST_WAIT: Final = 600.0


class Busy(Away):
    """There were too many questions: the next one must wait."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One kind of no: the reasons that Drive gives for it, and the three parts of its message."""

    reasons: tuple[str, ...]
    given: str
    expected: str
    do: str


_PASSING: Final = {408, 425, 429}
_BUSY: Final = {
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "sharingRateLimitExceeded",
    "dailyLimitExceeded",
    "downloadQuotaExceeded",
}
_REFUSALS: Final = (
    _Refusal(
        (
            "storageQuotaExceeded",
            "teamDriveFileLimitExceeded",
            "numChildrenInNonRootLimitExceeded",
            "activeItemCreationLimitExceeded",
        ),
        "has no room left",
        "Room for a few checkpoints; a service account has no room of its own.",
        "Free some room (the bin counts too); with a service account use a folder of a shared drive (gdrive:// and its "
        "id), or log in as a person.",
    ),
    _Refusal(
        ("accessNotConfigured", "SERVICE_DISABLED"),
        "cannot be reached: the Drive API is off in the project of these credentials",
        "A Google Cloud project with the Drive API.",
        "Turn it on at https://console.cloud.google.com/apis/library/drive.googleapis.com; after gcloud's login also: "
        "gcloud auth application-default set-quota-project PROJECT",
    ),
    _Refusal(
        ("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        "cannot be used: the login does not reach as far as Drive",
        "Credentials with the scope https://www.googleapis.com/auth/drive.",
        LOGIN,
    ),
)
_FORBIDDEN: Final = _Refusal(
    (),
    "may not be used so with these credentials",
    "Permission to list, read, write and delete there.",
    "Share the folder with that account as an editor (in a shared drive: content manager), or use other credentials.",
)
_UNKNOWN: Final = _Refusal(
    (),
    "did not get the answer that Google Drive gives",
    "A server that speaks version 3 of the Drive API.",
    "Check TELLTALE_DRIVE_URL if it is set, else run the same command again later.",
)


def judge_answer(status: int, headers: Mapping[str, str], body: bytes, url: str) -> Away | PlaceError:
    """What to raise for an answer that is no success."""
    reason, message = read_reason(body)
    said = " ".join(part for part in (str(status), reason and f"{reason}:", message) if part).rstrip(".:")
    if status in _PASSING or status >= 500 or status < 400 or reason in _BUSY:
        kind_of_away = Busy if status == 429 or reason in _BUSY else Away
        return kind_of_away(f"{url} does not answer now ({said})", wait=_read_wait(headers))
    if status == 401:
        return refuse_credentials(url, said)
    kind = next((kind for kind in _REFUSALS if reason in kind.reasons), _FORBIDDEN if status == 403 else _UNKNOWN)
    return PlaceError(f"{url} {kind.given} ({said}).", expected=kind.expected, do=kind.do)


def refuse_credentials(url: str, said: str) -> PlaceError:
    """Whoever gave them out does not take the credentials."""
    if "iat and exp" in said:
        return PlaceError(
            f"{url} cannot be used while the clock of this machine is wrong ({said}).",
            expected="A clock that is right to within a few minutes.",
            do="Set the clock (for example 'sudo timedatectl set-ntp true'), then run the same command again.",
        )
    return PlaceError(
        f"{url}: the credentials have expired or were refused ({said}).",
        expected="Credentials that are still valid.",
        do=f"Log in again; what is missing is sent then. {LOGIN}",
    )


def judge_break(error: BaseException, url: str) -> Away | PlaceError:
    """What to raise where there was no whole answer."""
    errors = list(_chain(error))
    if any("CERTIFICATE_VERIFY_FAILED" in str(one) for one in errors):
        return PlaceError(
            f"{url} cannot be reached safely: the certificate of the server is not accepted.",
            expected="The certificate of Google, or of a proxy that this machine trusts.",
            do="Check the date of this machine; behind a proxy that reads https, name its certificates in "
            "REQUESTS_CA_BUNDLE.",
        )
    return Away(f"{url} does not answer ({_say(errors)})")


def read_reason(body: bytes) -> tuple[str, str]:
    """The reason for programs and the one for people; empty where the answer is none of Drive's."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, IndexError):
        error: Any = json.loads(body)["error"]
        details = [detail.get("reason", "") for detail in error.get("details", [])]
        reasons = [one.get("reason", "") for one in error.get("errors", [])]
        # The newer one is the more exact one: `insufficientPermissions` is `forbidden` in some older answers.
        found = next((one for one in details + reasons if any(one in kind.reasons for kind in _REFUSALS)), "")
        return str(found or [*reasons, *details, error.get("status", "")][0]), _first_line(
            str(error.get("message", ""))
        )
    return "", ""


def _say(errors: list[BaseException]) -> str:
    """Why a connection broke, in few words: the libraries' own hold addresses, and some addresses are secrets."""
    if any("Timeout" in type(one).__name__ for one in errors):
        return "no answer in time"
    if any("NameResolution" in type(one).__name__ or "gaierror" in type(one).__name__ for one in errors):
        return "its address was not found"
    said = [one.strerror for one in errors if isinstance(one, OSError) and one.errno and one.strerror]
    return _first_line(said[-1]) if said else "the connection broke"


def _chain(error: BaseException | None) -> "list[BaseException]":
    """The error and those that it hides, outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _read_wait(headers: Mapping[str, str]) -> float:
    """Seconds for which the server asks to be left alone; it says a number or a time."""
    said = headers.get("Retry-After", "").strip()
    with contextlib.suppress(ValueError, TypeError):
        seconds = float(said) if said.isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
        return min(LONGEST_WAIT, max(0.0, seconds))
    return 0.0


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
