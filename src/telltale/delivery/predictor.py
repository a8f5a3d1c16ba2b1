"""`predict`: pictures to rows of label and probability, in the order given, with memory that stays flat.

A picture that cannot be read becomes a row with `status` `error` and its reason, one that the classifier's rule refuses
a row with `status` `unknown` and its reason. Neither is ever replaced or left out.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from telltale.data.archive import FolderStore, Store, is_path, is_remote
from telltale.data.decoding import decode
from telltale.data.source import list_pictures
from telltale.data.store import portable_name
from telltale.device import workers
from telltale.errors import ImageError, RecipeError
from telltale.files import make_folder, write_atomic
from telltale.model.bundle import load
from telltale.model.classifier import Answers, Classifier, answer
from telltale.model.rejection import ACCEPTED, UNLIKE
from telltale.progress import Advance, Tell, silent
from telltale.registry import Registry
from telltale.threads import map_in_order

COLUMNS: Final = ("filename", "label", "prob", "status", "reason")
SETS: Final = (*COLUMNS, "set")
"""The columns with the classes that go with each answer."""

_CHUNK: Final = 16


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture's answer.

    `status` is `ok`; `unknown` where the classifier's rule refuses the answer: `label` is then empty, `prob` that of
    the most probable class; or `error`: no `prob` either. `reason` says why. `set` are the classes that go with the
    answer: the true one is among them as often as the classifier's rule says.
    """

    filename: str
    label: str
    prob: float | None
    status: str
    reason: str = ""
    set: tuple[str, ...] = ()

    def to_dict(self, columns: Sequence[str] = COLUMNS) -> dict[str, Any]:
        """Column to value."""
        return {name: list(self.set) if name == "set" else getattr(self, name) for name in columns}


class Onlooker(Protocol):
    """Who else sees the pictures, such as `telltale.delivery.explaining.HeatmapFolder`; called from several threads."""

    def reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What is to be kept of a decoded picture until it is answered."""

    def receive(
        self,
        names: Sequence[str],
        pictures: Sequence[NDArray[np.uint8]],
        squares: Sequence[NDArray[np.uint8]],
        classes: Sequence[int],
    ) -> None:
        """Pictures by their names in the output: reduced, as the network sees them, and the number of their class."""


def predict(
    classifier: Classifier | str | Path,
    inputs: Iterable[str | Path],
    *,
    accept_all: bool = False,
    onlooker: Onlooker | None = None,
    tell: Tell = silent,
) -> Iterator[Prediction]:
    """A `Prediction` for every picture in `inputs`: picture files, folders (all pictures below, sorted) or archives.

    `classifier` may be the path of a bundle or of a run folder; with `accept_all` it answers, too, where its rule
    refuses. Pictures are read while the caller consumes; one that is not there is a row with its reason. `onlooker`
    receives those that could be read, before their rows come out. Raises `SourceError` at once where none of `inputs`
    exists.
    """
    if not isinstance(classifier, Classifier):
        classifier = load(classifier)
    known = replace(classifier, rule=None) if accept_all else classifier
    places = list(inputs)
    some_exist = any(not is_path(one) or os.path.lexists(one) for one in places)
    found = [_pictures(one, may_be_missing=some_exist) for one in places]
    total = sum(len(paths) for _, paths, _ in found)
    pictures = ((store, path, name(path)) for store, paths, name in found for path in paths)

    readers = max((store.readers for store, _, _ in found), default=1)

    def rows() -> Iterator[Prediction]:
        done = 0
        for answers in _answer_all(pictures, known, onlooker, readers=readers):
            done += len(answers)
            tell(Advance("predict", done, total))
            yield from answers

    return rows()


def predict_stored(classifier: Classifier, store: Store, paths: Iterable[str]) -> Iterator[Prediction]:
    """A `Prediction` for each of these paths in `store`, in their order: for pictures that an `Index` names."""
    pictures = ((store, path, path) for path in paths)
    for answers in _answer_all(pictures, classifier, None, readers=store.readers):
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


def _answer_all(
    pictures: Iterator[tuple[Store, str, str]], classifier: Classifier, onlooker: Onlooker | None, *, readers: int
) -> Iterator[list[Prediction]]:
    """Answers chunk by chunk, in order; so many `readers` at once are best for the stores."""

    def work(chunk: list[tuple[Store, str, str]]) -> list[Prediction]:
        return _answer(chunk, classifier, onlooker)

    return map_in_order(work, _chunks(pictures), threads=max(workers(), readers))


def _answer(chunk: list[tuple[Store, str, str]], classifier: Classifier, onlooker: Onlooker | None) -> list[Prediction]:
    extractor = classifier.extractor
    squares, kept, reasons = [], [], []
    for store, path, _ in chunk:
        try:
            pixels = decode(store.read(path)).pixels
            squares.append(extractor.preprocess.apply(pixels))
            if onlooker is not None:
                kept.append(onlooker.reduce(pixels))
            reasons.append("")
        except ImageError as error:
            reasons.append(f"{error.reason}: {error.detail}")
        except FileNotFoundError:
            reasons.append("missing: There is no such file.")
        except OSError as error:
            reasons.append(f"unreadable: {error.strerror or error}")
    seen = extractor.engine.run(squares) if squares else np.empty((0, extractor.backbone.dimension), np.float32)
    said = answer(classifier, seen)
    if onlooker is not None and squares:
        names = [name for (_, _, name), reason in zip(chunk, reasons, strict=True) if not reason]
        onlooker.receive(names, kept, squares, said.probabilities.argmax(axis=1).tolist())
    rows = iter(range(len(seen)))
    return [
        Prediction(name, "", None, "error", reason) if reason else _explain(classifier, said, next(rows), name)
        for (_, _, name), reason in zip(chunk, reasons, strict=True)
    ]


def _explain(classifier: Classifier, said: Answers, row: int, name: str) -> Prediction:
    """One answer as a prediction; where it is refused, with the reason."""
    best = int(said.probabilities[row].argmax())
    label, prob = classifier.classes[best], float(said.probabilities[row, best])
    fitting = tuple(label for label, fits in zip(classifier.classes, said.sets[row], strict=True) if fits)
    rule, verdict = classifier.rule, said.verdicts[row]
    if rule is None or verdict == ACCEPTED:
        return Prediction(name, label, prob, "ok", set=fitting)
    reason = f"unsure: The most probable class is {label!r} with {prob:.3f}, and {rule.threshold:.3f} is needed."
    if verdict == UNLIKE:
        # What the sets promise is about pictures like those; about others nothing is known.
        reason, fitting = "unlike: It is unlike the pictures that were learned from.", ()
    return Prediction(name, "", prob, "unknown", reason, fitting)


def _write_csv(predictions: Iterable[Prediction], file: BinaryIO, columns: Sequence[str] = COLUMNS) -> None:
    """Comma-separated, with a header; probabilities with 6 digits, a set as a JSON list."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for one in predictions:
        prob = "" if one.prob is None else f"{one.prob:.6f}"
        cells = {**one.to_dict(columns), "prob": prob, "set": json.dumps(one.set, ensure_ascii=False)}
        writer.writerow([cells[name] for name in columns])
    text.detach()


def _write_jsonl(predictions: Iterable[Prediction], file: BinaryIO, columns: Sequence[str] = COLUMNS) -> None:
    """One JSON object per line; `prob` is null where there is none."""
    for one in predictions:
        file.write(json.dumps(one.to_dict(columns), ensure_ascii=False).encode() + b"\n")


def _write_parquet(predictions: Iterable[Prediction], file: BinaryIO, columns: Sequence[str] = COLUMNS) -> None:
    """Parquet with the same columns; `prob` is float32, null where there is none, `set` a list of strings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"prob": pa.float32(), "set": pa.list_(pa.string())}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in columns])
    rows = iter(predictions)
    with pq.ParquetWriter(file, schema) as writer:
        while part := list(islice(rows, 65_536)):
            writer.write_table(pa.Table.from_pylist([one.to_dict(columns) for one in part], schema=schema))


FORMATS = Registry[Callable[[Iterable[Prediction], BinaryIO, Sequence[str]], None]](
    "output format", {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}
)
"""How predictions are written, by the ending of the file; the last argument are the columns."""


def write_predictions(predictions: Iterable[Prediction], path: str | Path, *, columns: Sequence[str] = COLUMNS) -> Path:
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
    return write_atomic(path, lambda file: FORMATS[ending](predictions, file, columns))
