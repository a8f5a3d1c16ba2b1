"""`judge`: what an error of a bucket's library means: `Away`, or a `PlaceError` that says what to do.

The libraries know a hundred errors and each has classes of its own. What tells them apart is in codes and words, and
often only in an error that another one hides; so the whole chain is read.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from telltale.errors import PlaceError
from telltale.storage.connection import EXTRAS, words
from telltale.storage.place import Away

_LOGINS: Final = {
    "s3": "Log in with 'aws configure' or 'aws sso login', or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gcs": "Log in with 'gcloud auth application-default login'; "
    "in Colab: from google.colab import auth; auth.authenticate_user()",
}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One kind of no: how it is recognised, and the three parts of its message. `{login}` is how one logs in there."""

    pattern: str
    given: str
    expected: str
    do: str


_AWAY: Final = re.compile(
    r"SlowDown|ServiceUnavailable|InternalError|RequestTimeout\b|OperationAborted|rateLimitExceeded|TransportError"
    r"|<(?:408|425|429|5(?!07)\d\d)>"
)
"""What passes by itself, whatever else the answer says. Codes stand in angle brackets here: see `_describe`."""

_SILENT: Final = re.compile(r"(?i)connect|time(d )?out|network|unreachable|name resolution|<EHOST|<ENET")

_REFUSALS: Final = (
    _Refusal(
        r"RequestTimeTooSkewed|difference between the request time|Invalid JWT|iat and exp|Token used too early",
        "does not accept this machine's clock",
        "A clock that is right to within a few minutes.",
        "Set the clock (for example 'sudo timedatectl set-ntp true'), then run the same command again.",
    ),
    _Refusal(
        r"ExpiredToken|RequestExpired|TokenRefreshRequired|invalid_grant|RefreshError|TokenRetrievalError|Reauthentication|SSOToken",
        "does not accept the credentials any more: they have expired or were withdrawn",
        "Credentials that are still valid.",
        "{login}; what is missing is sent then.",
    ),
    _Refusal(
        r"NoCredentials|PartialCredentials|DefaultCredentialsError|ProfileNotFound|Anonymous caller|TokenLoadError",
        "needs credentials, and none were found",
        "Credentials that may list, read, write and delete there.",
        "{login}.",
    ),
    _Refusal(
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSecurity|InvalidToken|AuthFailure|unauthorized_client|<401>"
        r"|AuthenticationException|LogonFailure|error_perm\s+530",
        "does not know these credentials",
        "The key and secret of one account, both complete.",
        "{login}.",
    ),
    _Refusal(
        r"NoSuchBucket|bucket does not exist|InvalidBucketName|Invalid bucket name|ContainerNotFound",
        "names a bucket that does not exist",
        "A bucket that is there: Telltale makes folders, but no buckets.",
        "Check the spelling, or make the bucket with the tools of that service.",
    ),
    _Refusal(
        r"(?i)quota.?exceeded|exceed\w* .*quota|StorageFull|InsufficientStorage|<507>|<ENOSPC>|<EDQUOT>",
        "has no room left",
        "Room for a few checkpoints.",
        "Free some room there or raise the quota; nothing of what is there was changed.",
    ),
    _Refusal(
        r"AccessDenied|AllAccessDisabled|AccountProblem|InvalidObjectState|Forbidden: |PermissionError|<403>"
        r"|<EACCES>|<EPERM>|<EROFS>|\(400\) when calling the Head",
        "may not be used with these credentials",
        "Permission to list, read, write and delete there.",
        "Give the account that permission (S3: ListBucket, GetObject, PutObject and DeleteObject; Google: the role "
        "Storage Object User), or use other credentials.",
    ),
    _Refusal(
        # What fsspec's file systems raise that only read: http, git, reference, ...
        r"NotImplementedError",
        "is of a kind that cannot be written",
        "A place where files can be written, read and deleted.",
        "Give another mirror.",
    ),
)


def judge(error: BaseException, url: str) -> Away | PlaceError:
    """The error to raise instead. What is not known passes for something that may pass: a mirror is tried again."""
    if isinstance(error, Away | PlaceError):
        return error
    text = _describe(error)
    if _AWAY.search(text) or any(getattr(one, "retryable", False) is True for one in chain(error)):
        return Away(f"{url} does not answer now ({_say(error)})", wait=_asked_pause(error))
    for kind in _REFUSALS:
        if re.search(kind.pattern, text):
            login = _LOGINS.get(EXTRAS.get(url.partition("://")[0].lower(), ""), "Log in with the tool of that service")
            return PlaceError(
                f"{url} {kind.given} ({_say(error)}).", expected=kind.expected, do=kind.do.replace("{login}", login)
            )
    what = "does not answer" if _SILENT.search(text) else "has a problem"
    return Away(f"{url} {what} ({_say(error)})")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it hides, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_past_end(error: BaseException) -> bool:
    """Is it the answer to a question for bytes behind the end of a file? S3 and Google answer so for empty ones too."""
    return bool(re.search(r"InvalidRange|<416>|not satisfiable", _describe(error)))


def _describe(error: BaseException) -> str:
    """Types, codes and words of the whole chain, one a line; `<503>` is a status, `<ENOSPC>` an error of the system."""
    import errno

    lines = []
    for one in chain(error):
        # aiohttp warns of whoever reads its `code`.
        codes = {getattr(one, "status", None) or getattr(one, "code", None), *_read_codes(one)}
        number = getattr(one, "errno", None)
        # Not by number alone: SSL errors have numbers of their own.
        codes |= {errno.errorcode.get(number)} if isinstance(one, OSError) and isinstance(number, int) else set()
        lines.append(f"{type(one).__name__} {''.join(f'<{code}>' for code in codes if code)} {one}")
    return "\n".join(lines)


def _read_codes(error: BaseException) -> Iterator[object]:
    """Code and HTTP status in an error of botocore."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        yield response.get("Error", {}).get("Code")
        yield response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _asked_pause(error: BaseException) -> float:
    """Seconds for which the server asks to be left alone, at most five minutes; 0 where it does not say."""
    for one in chain(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            with contextlib.suppress(ValueError, AttributeError):
                return min(300.0, max(0.0, float(headers.get("retry-after", 0))))
    return 0.0


def _say(error: BaseException) -> str:
    """The words of the first error of the chain that has any, and says more than a status."""
    said = [words(one) for one in chain(error) if str(one).strip() and not str(one).strip().isdigit()]
    return said[0].rstrip(".") if said else words(error)
