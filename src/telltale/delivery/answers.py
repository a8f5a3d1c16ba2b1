"""`read_answers`: what a run's classifier answered on its test pictures, as its folder says it, without a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.index import Index
from telltale.data.manifest import FILE as TRAINING, NEW, Manifest
from telltale.data.splits import Splits
from telltale.errors import BundleError
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.metrics import Floats, Interval
from telltale.evaluation.predictions import explain_damage, read_predictions
from telltale.files import measure_folder, read_json
from telltale.model.bundle import FORMAT_VERSION, IN_RUN, find_bundle
from telltale.training.run import Run, open_run

ANSWERS: Final = "test_predictions.parquet"
"""In a run folder: what was said of its test pictures."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The test pictures of a run with its answers, all in one order.

    `index` has them, and `labels` their classes as the run learned them; `probabilities` float32 `[n, classes]`.
    `used` are the pixels (hashes) that it has learned from or chosen with; of a cross-validation none, for there each
    picture was answered by a classifier that has not seen it.
    """

    run: Run
    index: Index
    labels: Sequence[str]
    classes: tuple[str, ...]
    probabilities: Floats
    used: frozenset[bytes]
    manifests: Sequence[tuple[pa.Array | None, Manifest]]

    @property
    def pixels(self) -> list[bytes]:
        """Hash of each picture's pixels: what it is known by in every run."""
        return self.index.table.column("pixels").to_pylist()  # type: ignore[no-any-return]

    def look_up(self, samples: pa.Table) -> NDArray[np.int8]:
        """What each of these samples is to the classifier that answered it: as `Manifest.look_up`."""
        known = np.full(samples.num_rows, NEW, np.int8)
        for pixels, manifest in self.manifests:
            rows = np.arange(samples.num_rows)
            if pixels is not None:
                rows = np.flatnonzero(pc.is_in(samples.column("pixels"), value_set=pixels).to_numpy())
            known[rows] = manifest.look_up(samples.take(pa.array(rows)))
        return known

    @property
    def network(self) -> str:
        """Its network and the side of its input, such as "mobilenetv2_035 at 96"."""
        content = read_json(self.run.bundle / "classifier.json", "classifier", FORMAT_VERSION)
        try:
            return f"{content['backbone']['architecture']['name']} at {content['preprocess']['size']}"
        except (KeyError, TypeError):
            return self.run.recipe.model

    @property
    def megabytes(self) -> float:
        """Size of its bundle, 10^6 bytes."""
        return measure_folder(self.run.bundle) / 1e6

    @property
    def ece(self) -> Interval | None:
        """Calibration error on its whole test part, where its evaluation has one."""
        try:
            check = Evaluation.load(self.run.folder / "evaluation.json").calibration
        except BundleError:
            return None
        return check.ece_after if check else None


def read_answers(path: str | Path) -> Answers:
    """The answers in a run folder; `BundleError` where it is none, is not finished, or does not hold together."""
    run = open_run(path)
    find_bundle(run.folder)
    source = run.folder / ANSWERS
    if not source.is_file():
        raise BundleError(
            f"The run {str(run)!r} has no {ANSWERS}.",
            expected="A run whose test pictures were scored, as `telltale train` does at its end.",
            do=f"Finish it: telltale train --resume {run}",
        )
    whole = Index.load(run.folder / "index.arrow")
    said = read_predictions(source)
    rows = pc.index_in(pa.array(said.paths, pa.string()), value_set=whole.table.column("path").combine_chunks())
    if rows.null_count:
        raise explain_damage(source, "it names pictures that are not in index.arrow")
    folds = sorted(run.folder.glob("fold-*")) if run.recipe.folds else []
    manifests = [_read_fold(fold) for fold in folds] or [(None, _read_manifest(run.folder, whole))]
    used = frozenset(manifests[0][1].table.column("pixels").to_pylist() if not folds else ())
    labels = [said.classes[label] for label in said.labels.tolist()]
    return Answers(run, whole.take(rows.to_numpy()), labels, said.classes, said.probabilities, used, manifests)


def _read_manifest(folder: Path, index: Index) -> Manifest:
    """What the classifier of a run has learned from; by its split where the bundle does not say."""
    listed = folder / IN_RUN / TRAINING
    if listed.is_file():
        return Manifest.load(listed)
    splits = Splits.load(folder / "splits.arrow", index)
    return Manifest.of(index.table, splits.parts, splits.radius)


def _read_fold(folder: Path) -> tuple[pa.Array, Manifest]:
    """The pixels that one classifier of a cross-validation was tested on, and what it has learned from."""
    index = Index.load(folder / "index.arrow")
    splits = Splits.load(folder / "splits.arrow", index)
    return splits.test.table.column("pixels").combine_chunks(), _read_manifest(folder, index)
