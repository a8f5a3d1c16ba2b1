"""`connect`: the library that reads a URL (`s3://bucket/folder`, `gs://…`, `memory://…`), and what its errors mean."""

import errno
from typing import Any, Final

from telltale.errors import SourceError
from telltale.registry import suggest

EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""URL schemes to the extra of this package that reads and writes them."""

_KNOWN: Final = {
    "read": "s3://, gs://, https:// or another that fsspec reads.",
    "write": "gdrive://, s3://, gs:// or another that fsspec writes.",
}
_READ_ONLY: Final = {"http", "https", "data", "github", "zip", "tar", "reference"}


def connect(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it; `SourceError` for a URL that cannot be right."""
    kind = find_kind(url)
    try:
        return start(kind, url)
    except Exception as error:  # some connect here, and each library raises errors of its own
        raise explain(refusal(error) or OSError(errno.EIO, words(error)), url) from error


def find_kind(url: str, use: str = "read") -> Any:
    """The class of fsspec file systems that can `read` or `write` what is behind a URL; `SourceError` without one."""
    import fsspec

    scheme, _, rest = url.partition("://")
    _check(url, scheme, rest)
    try:
        if use == "write" and scheme.lower() in _READ_ONLY:
            raise ValueError(scheme)
        return _find_class(scheme.lower())
    except ValueError as error:
        close = suggest(scheme.lower(), set(fsspec.available_protocols()) - _READ_ONLY)
        raise SourceError(
            f"There is no way to {use} {scheme!r} URLs.",
            expected=f"Did you mean {close[0]}://?" if close else _KNOWN[use],
            do="Check the URL, or install the fsspec package of that service.",
        ) from error
    except ImportError as error:
        extra = EXTRAS.get(scheme.lower(), "")
        raise SourceError(
            f"{scheme}:// needs a package that is not installed.",
            expected="The library of that service." if extra else f"{error}.",
            do=f"pip install 'telltale[{extra}]'" if extra else "Install that package.",
        ) from error


def start(kind: Any, url: str, **options: Any) -> tuple[Any, str]:
    """A file system of this class and the path of the URL in it; raises whatever the library raises."""
    # A listing that is kept would hide what has been added since.
    files = kind(**{"use_listings_cache": False, **kind._get_kwargs_from_urls(url), **options})
    return files, str(kind._strip_protocol(url)).rstrip("/") or "/"


def walks(files: Any) -> bool:
    """Does this file system use fsspec's general way to list what is below a folder?

    It goes on where a folder may not be listed, and says nothing, unless it gets `on_error="raise"`.
    """
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    if files.async_impl:
        return type(files)._find is AsyncFileSystem._find
    return type(files).find is AbstractFileSystem.find


def _find_class(scheme: str) -> Any:
    """The file system of a scheme; `ValueError` for an unknown one, `ImportError` where its package is missing."""
    import fsspec

    if EXTRAS.get(scheme) == "gcs":
        # Not the class that gcsfs registers: that one first asks for the kind of bucket over gRPC, which takes a minute
        # where only https to the storage API is let through (gcsfs 2026.10.1).
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem
    return fsspec.get_filesystem_class(scheme)


def _check(url: str, scheme: str, rest: str) -> None:
    if not rest.strip("/"):
        raise SourceError(
            f"{url!r} names no folder.", expected=f"{scheme}://bucket/folder.", do="Add the bucket and the folder."
        )
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise SourceError(
            f"The {scheme} URL of {rest.partition('/')[0].rpartition('@')[2]!r} holds a password.",
            expected="A URL without it: it would end up in logs and run folders.",
            do="Give the password where the library of that service looks for it (environment or settings file).",
        )


def refusal(error: Exception) -> OSError | None:
    """The error as one of the system's where it is a clear no; None where another attempt may bring a yes."""
    code = getattr(error, "code", 0)
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return error
    if code in (401, 403) or any("Credential" in kind.__name__ for kind in type(error).__mro__):
        return PermissionError(errno.EACCES, words(error))
    if (isinstance(code, int) and 400 <= code < 500 and code not in (408, 429)) or isinstance(error, ValueError):
        return OSError(errno.EINVAL, words(error))
    if isinstance(error, OSError) and error.errno in (errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG, errno.ENOSYS):
        return error
    return None


def words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def explain(error: OSError, url: str) -> SourceError:
    """What a clear no means for the place itself."""
    if isinstance(error, FileNotFoundError):
        return SourceError(
            f"There is no {url!r}.",
            expected="A bucket and a folder that are there and hold something.",
            do="Check the spelling; capitals count.",
        )
    if isinstance(error, PermissionError):
        return SourceError(
            f"{url!r} may not be read ({words(error)}).",
            expected="Credentials that may list and read it.",
            do=_LOGINS.get(EXTRAS.get(url.partition("://")[0].lower(), ""), "Log in with the tool of that service."),
        )
    return SourceError(
        f"{url!r} cannot be read ({words(error)}).",
        expected="A folder of pictures, a table or an archive.",
        do="Check the URL.",
    )


_LOGINS: Final = {
    "s3": "Log in with 'aws configure' or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    "for a public bucket set FSSPEC_S3_ANON=true.",
    "gcs": "Log in with 'gcloud auth application-default login'; for a public bucket set FSSPEC_GS_TOKEN=anon.",
}
