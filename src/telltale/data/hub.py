"""Data sets in the format of Hugging Face `datasets`: saved in a folder (`save_to_disk`), or on the hub (`hf://user/name`).

The library is an extra (`pip install 'telltale[hf]'`). It runs no code that comes with a data set (since version 4).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from telltale.data.row_store import WHOLE, RowStore
from telltale.errors import SourceError
from telltale.progress import Note, Tell, silent

_NAME: Final = re.compile(
    r"hf:(?://)?(?:datasets/)?(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[^#\s]+))?(?:#(?P<config>\S+))?"
)


def is_hub(location: str) -> bool:
    """Does the text name a data set on the hub?

    >>> is_hub("hf://user/name"), is_hub("hf:user/name@main#small"), is_hub("hf.csv")
    (True, True, False)
    """
    return location.startswith("hf:")


def open_hub(location: str, *, tell: Tell = silent) -> RowStore:
    """The rows of a data set on the hub: `hf://user/name`, with `@revision` and `#configuration` where they are needed.

    It is downloaded once into the hub's own cache (`HF_HOME`) and found there when the hub does not answer.
    """
    match = _NAME.fullmatch(location)
    if not match:
        raise SourceError(
            f"{location!r} names no data set on the hub.",
            expected="hf://user/name, with @revision or #configuration behind it where they are needed.",
            do="Copy the name from the data set's page.",
        )
    datasets = _import(location)
    name, revision, config = match["name"], match["revision"], match["config"]
    lasting = f"hf://{name}" + (f"@{revision}" if revision else "") + (f"#{config}" if config else "")
    tell(Note(f"{lasting} is loaded from the hub, or from its cache on this machine."))
    with _explained(lasting), _quiet(datasets):
        found = datasets.load_dataset(name, config, revision=revision)
    return _open(lasting, found, _caches(datasets))


def is_saved(folder: Path) -> bool:
    """Did `save_to_disk` write this folder?"""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def open_saved(folder: Path) -> RowStore:
    """The rows of a data set that was saved with `save_to_disk`; nothing is written there."""
    datasets = _import(str(folder))
    with _explained(str(folder)), _quiet(datasets):
        found = datasets.load_from_disk(str(folder))
    return _open(str(folder), found, [folder, *_caches(datasets)])


def _open(location: str, found: Any, folders: list[Path]) -> RowStore:
    parts = dict(found) if isinstance(found, dict) else {str(found.split or WHOLE): found}
    return RowStore(location, {re.sub(r"[^\w.-]", "_", name): rows for name, rows in parts.items()}, folders)


def _caches(datasets: Any) -> list[Path]:
    """Where the library keeps pictures that it has not put into Arrow files."""
    return [Path(datasets.config.HF_DATASETS_CACHE), Path(datasets.config.HF_CACHE_HOME)]


def _import(location: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise SourceError(
            f"{location!r} is a Hugging Face data set, and the package 'datasets' is not installed.",
            expected="The extra [hf].",
            do="pip install 'telltale[hf]'",
        ) from error
    return datasets


@contextlib.contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the library's own progress bars, which would run through ours."""
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not shown:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def _explained(location: str) -> Iterator[None]:
    """Turn what the library raises into one `SourceError`."""
    try:
        yield
    except Exception as error:  # the library passes on errors of the hub, of pyarrow, of the disk and its own
        kinds = {kind.__name__ for kind in type(error).__mro__}
        first = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
        if "DatasetNotFoundError" in kinds:
            raise SourceError(
                f"There is no data set {location!r} on the hub that may be read ({first}).",
                expected="A public data set, or one that your login may read.",
                do="Check the name; for a private or gated one run 'hf auth login'.",
            ) from error
        if kinds & {"ConnectionError", "OfflineModeIsEnabled", "TimeoutError", "TransportError", "HTTPError"}:
            raise SourceError(
                f"The hub does not answer for {location!r} ({first}).",
                expected="A connection, or the data set in the hub's cache on this machine.",
                do="Check the connection, or download the data set where there is one and give its folder.",
            ) from error
        raise SourceError(
            f"The data set {location!r} cannot be read ({first}).",
            expected="A data set in Arrow or Parquet, with its configuration behind # where it has several.",
            do="Check the name of the configuration on the data set's page, or copy the folder again.",
        ) from error
