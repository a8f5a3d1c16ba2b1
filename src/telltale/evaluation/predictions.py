"""`Predictions`: what was said of each picture, and the Parquet file that keeps it beside an evaluation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telltale.arrow import UNREADABLE
from telltale.errors import BundleError
from telltale.evaluation.metrics import Floats, Ints
from telltale.files import write_atomic


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labelled pictures with the probability of each class, `[n, classes]`; `labels` int `[n]` are numbers of these."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Ints
    probabilities: Floats


def write_predictions(path: Path, predictions: Predictions) -> Path:
    """Write one row per picture as Parquet: path, label, predicted, and the probability of each class in order.

    The names of the classes are in the metadata of the column `probabilities`, one per line.
    """
    from pyarrow import parquet

    classes, probabilities = predictions.classes, predictions.probabilities
    names = pa.array(classes)
    kind = pa.field("probabilities", pa.list_(pa.float32(), len(classes)))
    table = pa.table(
        [
            pa.array(predictions.paths or [""] * len(predictions.labels), pa.string()),
            pa.DictionaryArray.from_arrays(predictions.labels.astype(np.int32), names),
            pa.DictionaryArray.from_arrays(probabilities.argmax(axis=1).astype(np.int32), names),
            pa.FixedSizeListArray.from_arrays(pa.array(probabilities.astype(np.float32).ravel()), len(classes)),
        ],
        schema=pa.schema(
            [
                pa.field("path", pa.string()),
                pa.field("label", pa.dictionary(pa.int32(), pa.string())),
                pa.field("predicted", pa.dictionary(pa.int32(), pa.string())),
                kind.with_metadata({"classes": "\n".join(classes)}),
            ]
        ),
    )
    return write_atomic(path, lambda file: parquet.write_table(table, file))


def read_predictions(path: Path) -> Predictions:
    """What `write_predictions` wrote, probabilities as float32; `BundleError` where it is something else or damaged."""
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["path", "label", "probabilities"])
        facts = table.schema.field("probabilities").metadata or {}
        classes = tuple(facts[b"classes"].decode().split("\n"))
        labels = pc.index_in(table.column("label").cast(pa.string()), value_set=pa.array(classes))
        if labels.null_count:
            raise ValueError("a label is none of the classes")
        numbers = table.column("probabilities").combine_chunks().flatten().to_numpy()
        probabilities = numbers.astype(np.float32).reshape(table.num_rows, len(classes))
        return Predictions(
            classes, tuple(table.column("path").to_pylist()), labels.to_numpy().astype(np.int32), probabilities
        )
    except (KeyError, TypeError, *UNREADABLE) as error:
        raise explain_damage(path, f"{type(error).__name__}: {error}") from error


def explain_damage(path: Path, why: str) -> BundleError:
    """The error for answers that cannot be used."""
    return BundleError(
        f"The answers in {str(path)!r} cannot be used ({why}).",
        expected="The file that `telltale train` wrote, beside the index.arrow of the same run.",
        do="Copy the run again from where it is whole, or train again.",
    )
