"""`examine`: a classifier on further pictures, beside what its run scored on the test part: `Examination`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.index import Index, scan
from telltale.data.manifest import NEW
from telltale.data.splits import Splits
from telltale.errors import BundleError, OutputError
from telltale.evaluation.clustered import find_clusters
from telltale.evaluation.evaluation import Evaluation, score
from telltale.evaluation.scoring import evaluate
from telltale.evaluation.shift import Shift, measure_shift
from telltale.model.bundle import IN_RUN
from telltale.model.classifier import Classifier
from telltale.progress import Tell, silent
from telltale.training.ledger import read_looks, record_look
from telltale.training.run import Run
from telltale.values import to_plain

EVALUATE: Final = "telltale evaluate"


@dataclass(frozen=True)
class Examination:
    """How good a classifier is on further pictures, and, where its run is known, how they differ from the test part."""

    evaluation: Evaluation
    """Of all pictures that were given."""
    index: Index
    """Those pictures."""
    run: Run | None = None
    reference: Evaluation | None = None
    """What the run scored on its test part."""
    fresh: Evaluation | None = None
    """Of those pictures that the run has not seen: what is compared with `reference`."""
    shift: Shift | None = None
    """None where there is nothing to compare; `notes` say why."""
    tested: int = 0
    """Pictures that are test pictures of the run."""
    looks: int = 0
    """How often test pictures of the run were scored, now included; 0 where that is unknown."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: those of the evaluation, and beside them what it is compared with."""
        return self.evaluation.to_dict() | {
            "run": None if self.run is None else {"folder": str(self.run), "looks": self.looks, "tested": self.tested},
            "reference": self.reference.to_dict() if self.reference else None,
            "fresh": self.fresh.to_dict() if self.fresh else None,
            "shift": to_plain(self.shift),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Past:
    """What a run scored: its test pictures, the pictures behind `evaluation`, and that."""

    test: Index
    scored: Index
    evaluation: Evaluation


def find_run(path: str | Path) -> Run | None:
    """The run that a classifier at `path` is of: a run folder, or the bundle in one; None where it is a bundle only."""
    path = Path(path)
    folder = path.absolute().parent if path.name == IN_RUN else path
    return Run(path.parent if path.name == IN_RUN else path) if (folder / "recipe.toml").is_file() else None


def examine(
    classifier: Classifier,
    data: Index | str | Path,
    *,
    run: Run | None = None,
    seen: str = "refuse",
    seed: int = 0,
    tell: Tell = silent,
) -> Examination:
    """Score `classifier` on `data`, as `evaluate` does, and compare it with what its `run` scored on the test part.

    Compared are the pictures that the run has not seen: no test pictures, none that it learned from. Where test
    pictures are among them, that is a further look at those: it is written down in the run's ledger, and said. Raises
    what `evaluate` raises; what a run lacks for the comparison is said in `notes`.
    """
    index = data if isinstance(data, Index) else scan(data, tell=tell)
    evaluation = evaluate(classifier, index, seen=seen, seed=seed, tell=tell)
    if run is None:
        note = "This is a bundle without its run; with the run folder the result is compared with its test part."
        return Examination(evaluation, index, notes=(note,))
    try:
        past = _open_past(run)
    except BundleError as error:
        return Examination(evaluation, index, run, notes=(f"There is no test result to compare with: {error.given}",))
    pictures = _find_scored(index, evaluation)
    tested = pc.is_in(
        pictures.table.column("pixels"), value_set=past.test.table.column("pixels").combine_chunks()
    ).to_numpy()
    examination = Examination(evaluation, index, run, past.evaluation, looks=len(read_looks(run)))
    if tested.any():
        examination = _count_look(examination, int(tested.sum()))
    new = ~tested
    if any((evaluation.seen.learned, evaluation.seen.alike, evaluation.seen.chose)) and classifier.manifest:
        new &= classifier.manifest.look_up(pictures.table) == NEW
    return _compare(examination, past, pictures, classifier, new, seed=seed, tell=tell)


def _open_past(run: Run) -> _Past:
    index = Index.load(run.folder / "index.arrow")
    splits = Splits.load(run.folder / "splits.arrow", index)
    # In a cross-validation every picture was tested once.
    scored = index.take(np.flatnonzero(splits.parts >= 0)) if run.recipe.folds else splits.test
    return _Past(splits.test, scored, Evaluation.load(run.folder / "evaluation.json"))


def _find_scored(index: Index, evaluation: Evaluation) -> Index:
    """The pictures of `index` that were scored, in the order of the evaluation."""
    usable = index.readable
    usable = usable.take(np.flatnonzero(usable.codes >= 0))
    if len(usable) == len(evaluation.paths):
        return usable
    row_of = {path: row for row, path in enumerate(usable.paths)}  # some were skipped
    return usable.take(np.array([row_of[path] for path in evaluation.paths]))


def _count_look(examination: Examination, tested: int) -> Examination:
    """`examination` with this look at `tested` test pictures, in words and in the ledger."""
    run, evaluation = examination.run, examination.evaluation
    if run is None:
        return examination
    notes, looks = [], examination.looks + 1
    try:
        looks = record_look(run, EVALUATE, tested)
    except OutputError as error:
        notes.append(f"This look at test pictures could not be written down: {error.given}")
    if tested == evaluation.images:
        evaluation = replace(evaluation, looks=looks)  # it says so itself
    else:
        which = "1 is a test picture" if tested == 1 else f"{tested:,} are test pictures"
        notes.insert(
            0,
            f"Of these {evaluation.images:,} pictures {which} of this run, which has now scored test pictures {looks} "
            "times: what was chosen after the first may fit them.",
        )
    return replace(examination, evaluation=evaluation, tested=tested, looks=looks, notes=tuple(notes))


def _compare(
    examination: Examination,
    past: _Past,
    pictures: Index,
    classifier: Classifier,
    new: NDArray[np.bool_],
    **how: Any,
) -> Examination:
    """`examination` with the shift between the pictures that are `new`, bool `[n]`, and the test part."""
    evaluation, notes = examination.evaluation, list(examination.notes)
    if not new.any():
        why = "These are pictures that the run knows" if not examination.tested else "These are its test pictures"
        if examination.tested and examination.tested < evaluation.images:
            why = "All of these are test pictures of the run, or known to it from its training"
        return replace(examination, notes=(*notes, f"{why}: there is nothing to compare."))
    if past.evaluation.classes != classifier.classes:
        return replace(examination, notes=(*notes, "The run's test result is of other classes: it is not compared."))
    fresh = evaluation
    if not new.all():
        rows = np.flatnonzero(new)
        paths = [evaluation.paths[row] for row in rows]
        fresh = score(
            evaluation.labels[rows],
            evaluation.probabilities[rows],
            evaluation.classes,
            paths=paths,
            clusters=find_clusters(pictures.take(rows)),
        )
        left = evaluation.images - len(rows)
        notes.append(f"Compared with the test part are the {len(rows):,} new ones, without {left:,} that it knows.")
        pictures = pictures.take(rows)
    both = past.evaluation, fresh
    shift = measure_shift(past.scored, pictures, classifier.extractor, evaluations=both, **how)
    return replace(examination, fresh=fresh, shift=shift, notes=tuple(notes))
