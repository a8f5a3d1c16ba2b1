"""What can go wrong, and how it is said.

    TelltaleError            anything that Telltale raises on purpose
    ├── ImageError           one picture cannot be used: it is quarantined, the rest goes on
    └── UserError            one clear message, no traceback
        ├── SourceError      the data cannot be read: folder, table, archive, URL
        ├── DataError        the data was read, but nothing can be learned from it as it is
        │   └── ChangedDataError   the pictures or labels are not those that a run began with
        ├── ModelError       an unknown network, missing or unfitting weights
        ├── BundleError      a saved classifier or run that is damaged, foreign or too new
        ├── RecipeError      a setting that cannot be
        ├── OutputError      a place that cannot be written (exit code 1)
        ├── PlaceError       a mirror that cannot be used: credentials, permission, room, its address
        └── DownloadError    a transfer that failed (exit code 1)

Exit codes of the command line: 0 ok, 1 failed, 2 usage or input, 75 interrupted and resumable.
"""

from typing import ClassVar


class TelltaleError(Exception):
    """Anything that Telltale raises on purpose."""


class ImageError(TelltaleError):
    """One picture that cannot be used.

    `reason` is a short fixed name such as `"truncated"`; reports count by it.
    `detail` is a sentence for people.

    >>> error = ImageError("empty", "The file has no bytes.")
    >>> error.reason, str(error)
    ('empty', 'The file has no bytes.')
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return ImageError, (self.reason, self.detail)


class UserError(TelltaleError):
    """One message in three parts: what was given, what was expected, what to do next.

    >>> print(UserError("No pictures in 'photos/'.", expected="One folder per class.", do="Check the path."))
    No pictures in 'photos/'. One folder per class. Check the path.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, given: str, *, expected: str, do: str) -> None:
        super().__init__(f"{given} {expected} {do}")
        self.given = given
        self.expected = expected
        self.do = do

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.given, self.expected, self.do)


def _rebuild(kind: type[UserError], given: str, expected: str, do: str) -> UserError:
    return kind(given, expected=expected, do=do)


class SourceError(UserError):
    """The data cannot be read: folder, table, archive or URL."""


class DataError(UserError):
    """The data was read, but nothing can be learned from it as it is."""


class ChangedDataError(DataError):
    """The pictures or labels are not those that a run began with."""


class ModelError(UserError):
    """An unknown network, or weights that are missing or do not fit."""


class BundleError(UserError):
    """A saved classifier or run that is damaged, foreign or too new."""


class RecipeError(UserError):
    """A setting that cannot be."""


class OutputError(UserError):
    """A place that cannot be written."""

    exit_code: ClassVar[int] = 1


class PlaceError(UserError):
    """A mirror that cannot be used: credentials, permission, room, or its address."""


class DownloadError(UserError):
    """A transfer that failed; what was received is kept, the same command goes on from there."""

    exit_code: ClassVar[int] = 1


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came, and everything is saved.

    `text` says where it stopped, `run` is the folder to go on in.
    """

    def __init__(self, text: str, run: str) -> None:
        super().__init__(text)
        self.text = text
        self.run = run
