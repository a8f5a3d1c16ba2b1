"""`predict`: pictures to rows of label and probability, in the order given, with memory that stays flat.

A picture that cannot be read becomes a row with `status` `error` and its reason; it is never replaced or left out.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from telltale.data.archive import FolderStore, Store, is_path, is_remote
from telltale.data.decoding import decode
from telltale.data.source import list_pictures
from telltale.data.store import portable_name
from telltale.device import workers
from telltale.errors import ImageError, RecipeError
from telltale.files import make_folder, write_atomic
from telltale.model.bundle import load
from telltale.model.classifier import Classifier
from telltale.progress import Advance, Tell, silent
from telltale.registry import Registry
from telltale.threads import map_in_order

COLUMNS: Final = ("filename", "label", "prob", "status", "reason")
_CHUNK: Final = 16


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture's answer: `status` is `ok`, or `error` with a `reason`, an empty `label` and no `prob`."""

    filename: str
    label: str
    prob: float | None
    status: str
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Column to value."""
        return {name: getattr(self, name) for name in COLUMNS}


def predict(
    classifier: Classifier | str | Path, inputs: Iterable[str | Path], *, tell: Tell = silent
) -> Iterator[Prediction]:
    """A `Prediction` for every picture in `inputs`: picture files, folders (all pictures below, sorted) or archives.

    `classifier` may be the path of a bundle or of a run folder. Pictures are read while the caller consumes; one that
    is not there is a row with its reason. Raises `SourceError` at once where none of `inputs` exists.
    """
    if not isinstance(classifier, Classifier):
        classifier = load(classifier)
    known = classifier
    places = list(inputs)
    some_exist = any(not is_path(one) or os.path.lexists(one) for one in places)
    found = [_pictures(one, may_be_missing=some_exist) for one in places]
    total = sum(len(paths) for _, paths, _ in found)
    pictures = ((store, path, name(path)) for store, paths, name in found for path in paths)

    def work(chunk: list[tuple[Store, str, str]]) -> list[Prediction]:
        return _answer(chunk, known)

    def rows() -> Iterator[Prediction]:
        done = 0
        readers = max([workers(), *(store.readers for store, _, _ in found)])
        for answers in map_in_order(work, _chunks(pictures), threads=readers):
            done += len(answers)
            tell(Advance("predict", done, total))
            yield from answers

    return rows()


def predict_stored(classifier: Classifier, store: Store, paths: Iterable[str]) -> Iterator[Prediction]:
    """A `Prediction` for each of these paths in `store`, in their order: for pictures that an `Index` names."""
    pictures = ((store, path, path) for path in paths)

    def work(chunk: list[tuple[Store, str, str]]) -> list[Prediction]:
        return _answer(chunk, classifier)

    for answers in map_in_order(work, _chunks(pictures), threads=max(workers(), store.readers)):
        yield from answers


def _pictures(location: str | Path, *, may_be_missing: bool) -> tuple[Store, list[str], Callable[[str], str]]:
    """A store, paths in it, and how each is called in the output: as the user named it, in valid UTF-8."""
    name, file = portable_name(str(location)), portable_name(Path(location).name)
    if may_be_missing and is_path(location) and not os.path.lexists(location):
        return FolderStore(Path(location).parent), [file], lambda path: name
    store, paths = list_pictures(location)
    if (Path(location).is_file() or is_remote(location)) and paths == [file]:
        return store, paths, lambda path: name
    return store, paths, lambda path: f"{name.rstrip('/')}/{path}"


def _chunks(pictures: Iterator[tuple[Store, str, str]]) -> Iterator[list[tuple[Store, str, str]]]:
    while chunk := list(islice(pictures, _CHUNK)):
        yield chunk


def _answer(chunk: list[tuple[Store, str, str]], classifier: Classifier) -> list[Prediction]:
    extractor = classifier.extractor
    squares, reasons = [], []
    for store, path, _ in chunk:
        try:
            squares.append(extractor.preprocess.apply(decode(store.read(path)).pixels))
            reasons.append("")
        except ImageError as error:
            reasons.append(f"{error.reason}: {error.detail}")
        except FileNotFoundError:
            reasons.append("missing: There is no such file.")
        except OSError as error:
            reasons.append(f"unreadable: {error.strerror or error}")
    table = classifier.head.probabilities(extractor.engine.run(squares)) if squares else np.empty((0, 0))
    rows = iter(table)
    answers = []
    for (_, _, name), reason in zip(chunk, reasons, strict=True):
        if reason:
            answers.append(Prediction(name, "", None, "error", reason))
        else:
            row = next(rows)
            best = int(row.argmax())
            answers.append(Prediction(name, classifier.classes[best], float(row[best]), "ok"))
    return answers


def _write_csv(predictions: Iterable[Prediction], file: BinaryIO) -> None:
    """Comma-separated, with a header; probabilities with 6 digits."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in predictions:
        prob = "" if one.prob is None else f"{one.prob:.6f}"
        writer.writerow([one.filename, one.label, prob, one.status, one.reason])
    text.detach()


def _write_jsonl(predictions: Iterable[Prediction], file: BinaryIO) -> None:
    """One JSON object per line; `prob` is null where there is none."""
    for one in predictions:
        file.write(json.dumps(one.to_dict(), ensure_ascii=False).encode() + b"\n")


def _write_parquet(predictions: Iterable[Prediction], file: BinaryIO) -> None:
    """Parquet with the same columns; `prob` is float32, null where there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float32() if name == "prob" else pa.string()) for name in COLUMNS])
    rows = iter(predictions)
    with pq.ParquetWriter(file, schema) as writer:
        while part := list(islice(rows, 65_536)):
            writer.write_table(pa.Table.from_pylist([one.to_dict() for one in part], schema=schema))


FORMATS = Registry[Callable[[Iterable[Prediction], BinaryIO], None]](
    "output format", {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}
)
"""How predictions are written, by the ending of the file."""


def write_predictions(predictions: Iterable[Prediction], path: str | Path) -> Path:
    """Write predictions to `path` as its ending says (.csv, .jsonl, .parquet), whole or not at all."""
    path = Path(path)
    ending = path.suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise RecipeError(
            f"The output {str(path)!r} ends in {path.suffix or 'nothing'!r}.",
            expected=f"One of {', '.join('.' + name for name in FORMATS)}.",
            do="Give the file one of these endings.",
        )
    make_folder(path.parent)
    return write_atomic(path, lambda file: FORMATS[ending](predictions, file))
