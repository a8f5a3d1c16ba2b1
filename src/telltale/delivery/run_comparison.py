"""`compare_runs`: finished runs on the test pictures that they have in common, with McNemar's test.

Nothing is computed anew: every run folder holds what its classifier answered on its test pictures. They are joined by
the hash of their pixels, so names and places may differ, and classes are joined by name.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telltale.data.index import Index
from telltale.data.manifest import NEW
from telltale.data.markup import Markup, embed, escape, lay_out, lay_table, paragraph
from telltale.delivery.answers import Answers, read_answers
from telltale.errors import DataError, RecipeError
from telltale.evaluation.clustered import find_clusters, number_clusters
from telltale.evaluation.comparison import Answered, Comparison, Paired, compare_all, say_chance
from telltale.evaluation.evaluation import score
from telltale.evaluation.metrics import Interval
from telltale.progress import Note, Tell, silent
from telltale.training.ledger import record_look
from telltale.training.run import Run
from telltale.values import to_plain
from telltale.words import enumerate_words, fit, printable, shorten

LOOKED = (
    "These runs were compared on their test pictures: if one is chosen by that, its test score is too good by a "
    "little. Score the chosen one on pictures that no run has seen: telltale evaluate RUN DATA."
)
"""What everyone should know who compares runs."""

_SHOWN = 5
"""Pictures that differ, as text and in a notebook."""


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs: what it is, and how it does on the pictures that all were compared on."""

    name: str
    """The name of its folder; its path where several have that name."""
    folder: Path
    network: str
    fit: str
    megabytes: float
    """Size of its bundle."""
    tested: int
    """Pictures in its own test part."""
    metrics: Mapping[str, Interval]
    """By the names in `NAMES`, on the pictures that are compared."""
    ece: Interval | None
    """Calibration error on its whole test part, where its evaluation has one."""
    looks: int
    """How often its test pictures have been scored, with this comparison."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**to_plain(self), "folder": str(self.folder), "megabytes": round(self.megabytes, 3)}


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Runs on the test pictures that they have in common: each run's figures, and every pair of them tested.

    `index` has the pictures that were compared; `notes` say which were left out and why.
    """

    runs: tuple[ComparedRun, ...]
    comparison: Comparison
    index: Index
    notes: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """Pictures that were compared."""
        return self.comparison.pictures

    @property
    def verdict(self) -> str:
        """What this says, in sentences."""
        return self.comparison.verdict

    @property
    def best(self) -> ComparedRun:
        """The run that is right most often; of equals the one with the smaller log loss."""
        return next(one for one in self.runs if one.name == self.comparison.ranking[0].name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.comparison.to_dict(),
            "runs": [one.to_dict() for one in self.runs],
            "notes": [*self.notes, LOOKED],
        }

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        """For notebooks: the verdict, the runs, the pairs, and the pictures that tell most."""
        rows = [
            [one.name, one.network, str(one.metrics["accuracy"]), str(one.metrics["log_loss"])] for one in self.runs
        ]
        blocks = [lay_table(rows, ["run", "network", "accuracy", "log loss"])]
        blocks.append(lay_table([list(map(str, _figures(pair))) for pair in self.comparison.pairs], PAIR_COLUMNS))
        blocks += [_show_differing(self.index, pair) for pair in self.comparison.pairs[:1]]
        return lay_out(f"{self.pictures:,} test pictures", paragraph(self.verdict), *blocks, paragraph(LOOKED))


PAIR_COLUMNS = ("first", "second", "both right", "only first", "only second", "neither", "p")


def compare_runs(paths: Sequence[str | Path | Run], *, seed: int = 0, tell: Tell = silent) -> RunComparison:
    """These runs, or the runs in these folders, on the test pictures that all have scored and none has learned from.

    Where a run's classifier knows a picture (it has learned from it, from one that looks the same, or chose between
    settings with it), the picture is left out for all, and `notes` say so. A look is written into the ledger of every
    run. Raises `DataError` where no picture is left, `RecipeError` for fewer than two different runs, `BundleError` for
    a run that is not finished or damaged. `seed` is that of the bootstrap of the log loss.
    """
    folders = [one.folder if isinstance(one, Run) else one for one in paths]
    tested = [read_answers(path) for path in _check_paths(folders)]
    names = _name(tested)
    notes, rows = _find_common(tested, names)
    pictures = [one.index.take(own) for one, own in zip(tested, rows, strict=True)]
    classes = tuple(dict.fromkeys(name for one in tested for name in one.classes))
    labels = np.array([classes.index(name) for name in np.array(tested[0].labels, object)[rows[0]]], np.int32)
    answered = Answered(classes, labels, pictures[0].paths, _find_groups(pictures))
    answers = {
        name: _spread(one.probabilities[own], one.classes, classes)
        for name, one, own in zip(names, tested, rows, strict=True)
    }
    comparison = compare_all(answered, answers, seed=seed)
    by = f"telltale compare {' '.join(map(str, folders))}"
    runs = []
    for name, one in zip(names, tested, strict=True):
        figures = score(labels, answers[name], classes, paths=answered.paths, clusters=answered.groups).metrics
        how = one.run.recipe.how
        looks = record_look(one.run, by, len(labels))
        runs.append(
            ComparedRun(name, one.run.folder, one.network, how, one.megabytes, len(one.index), figures, one.ece, looks)
        )
    for note in notes:
        tell(Note(note))
    tell(Note(LOOKED, warning=True))
    counts = ", ".join(f"{printable(one.name)} {one.looks}" for one in runs)
    tell(Note(f"Test pictures were scored so often until now: {counts} times."))
    return RunComparison(tuple(runs), comparison, pictures[0], tuple(notes))


def name_comparison(paths: Sequence[str | Path]) -> str:
    """A name for the folder with the results.

    >>> name_comparison(["runs/pets", "runs/pets-2"]), name_comparison(["a", "b", "c"])
    ('pets-and-pets-2', 'a-and-2-others')
    """
    first, *others = (Path(path).resolve().name or "run" for path in paths)
    return f"{first[:80]}-and-{others[0][:80]}" if len(others) == 1 else f"{first[:80]}-and-{len(others)}-others"


def _check_paths(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    places = [Path(path).resolve() for path in paths]
    if len(set(places)) < max(2, len(places)):
        given = "The same run was given twice" if len(places) > 1 else f"{len(places)} run was given"
        raise RecipeError(
            f"{given}: there is nothing to compare.",
            expected="Two run folders or more, each once.",
            do="Name them: telltale compare runs/FIRST runs/SECOND.",
        )
    return paths


def _name(tested: Sequence[Answers]) -> list[str]:
    """What to call each run: by its folder's name, by its path where several have that name."""
    names = [one.run.folder.resolve().name for one in tested]
    return [name if names.count(name) == 1 else str(one.run.folder) for name, one in zip(names, tested, strict=True)]


def _find_common(tested: Sequence[Answers], names: Sequence[str]) -> tuple[list[str], list[NDArray[np.int64]]]:
    """Rows of each run's test pictures that are compared, in one order for all; sentences about those left out."""
    places = []
    for one in tested:
        pixels = one.pixels
        # Of several pictures with the same pixels the first counts: they are one witness.
        places.append({pixels[row]: row for row in range(len(pixels) - 1, -1, -1)})
    common = [one for one in tested[0].pixels if all(one in place for place in places)]
    common = list(dict.fromkeys(common))
    notes = list(_explain_missing(tested, names, set(common)))
    agreed = [
        pixels for pixels in common if len({one.labels[p[pixels]] for one, p in zip(tested, places, strict=True)}) == 1
    ]
    if len(agreed) < len(common):
        notes.append(f"{_left_out(len(common) - len(agreed))}: the runs give different labels.")
    samples = tested[0].index.take(np.array([places[0][pixels] for pixels in agreed], np.int64)).table
    known = {name: one.look_up(samples) != NEW for name, one in zip(names, tested, strict=True)}
    for name, which in known.items():
        if which.any():
            why = f"{printable(name)} knows the same, or one that looks the same, from its training"
            notes.append(f"{_left_out(int(which.sum()))}: {why}.")
    new = [pixels for pixels, seen in zip(agreed, np.any(list(known.values()), axis=0), strict=True) if not seen]
    if not new:
        raise DataError(
            f"{enumerate_words([printable(name) for name in names])} have no test pictures in common that none has "
            f"learned from. {' '.join(notes)}",
            expected="Test pictures that all of them have scored and that are new to all.",
            do="Train them with the same data, --seed, --val-split and --test-split, and compare again; or score each "
            "on the same new pictures: telltale evaluate RUN DATA.",
        )
    return notes, [np.array([place[pixels] for pixels in new], np.int64) for place in places]


def _explain_missing(tested: Sequence[Answers], names: Sequence[str], common: set[bytes]) -> Iterator[str]:
    """Sentences about test pictures that another run was not tested on; runs of which the same is true are joined."""
    told: dict[tuple[int, int, tuple[str, ...], int], list[str]] = {}
    for name, one in zip(names, tested, strict=True):
        own = set(one.pixels)
        alone = own - common
        if alone:
            lacking = [
                (other, with_) for other, with_ in zip(names, tested, strict=True) if not own <= set(with_.pixels)
            ]
            used = alone & frozenset[bytes]().union(*(with_.used for _, with_ in lacking))
            told.setdefault((len(alone), len(own), tuple(other for other, _ in lacking), len(used)), []).append(name)
    for (alone_, own_, others, used_), group in told.items():
        whose = enumerate_words([printable(name) for name in group])
        also = f", but used {f'{used_:,} of them' if used_ < alone_ else 'them'} in training" if used_ else ""
        yield (
            f"{alone_:,} of the {own_:,} test pictures of {whose} are left out: "
            f"{enumerate_words([printable(name) for name in others])} "
            f"{'was' if len(others) == 1 else 'were'} not tested on them{also}."
        )


def _left_out(count: int) -> str:
    """How many.

    >>> _left_out(1)
    '1 common picture is left out'
    """
    return f"{count:,} common picture{' is' if count == 1 else 's are'} left out"


def _find_groups(pictures: Sequence[Index]) -> NDArray[np.int64] | None:
    """Number of each picture's cluster, by the first run whose data name groups; None where each is alone."""
    named = (one for one in pictures if one.table.column("group").null_count < len(one))
    return number_clusters(find_clusters(next(named, pictures[0])))


def _spread(probabilities: NDArray[np.float32], own: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.float32]:
    """Probabilities `[n, own classes]` as `[n, classes]`: 0 for a class that this classifier does not know."""
    wide = np.zeros((len(probabilities), len(classes)), np.float32)
    wide[:, [classes.index(name) for name in own]] = probabilities
    return wide


def _lines(found: RunComparison) -> list[str]:
    """The verdict, the runs and the pairs as text for 80 columns."""
    width = min(22, max(4, *(len(shorten(one.name, 22)) for one in found.runs)))
    lines = [*textwrap.wrap(found.verdict, 80), ""]
    lines.append(f"{'run':<{width}}  {'accuracy':<20}  {'log loss':<20}  {'MB':>6}")
    order = [one.name for one in found.comparison.ranking]
    for one in sorted(found.runs, key=lambda run: order.index(run.name)):
        accuracy, loss = str(one.metrics["accuracy"]), str(one.metrics["log_loss"])
        lines.append(f"{fit(one.name, width)}  {accuracy:<20}  {loss:<20}  {one.megabytes:>6.1f}")
    lines += [
        "",
        f"{'first':<15}  {'second':<15}  {'both right':>10} {'only 1st':>9} {'only 2nd':>9} {'neither':>8}  p",
    ]
    for pair in found.comparison.pairs:
        first, second, both, before, after, neither, p = _figures(pair)
        lines.append(f"{fit(first, 15)}  {fit(second, 15)}  {both:>10} {before:>9} {after:>9} {neither:>8}  {p}")
    if len(found.comparison.pairs) == 1 and found.comparison.pairs[0].differing:
        lines += ["", *_describe_differing(found.comparison.pairs[0])]
    return lines


def _figures(pair: Paired) -> list[str]:
    counts = [f"{count:,}" for count in (pair.both, pair.only_first, pair.only_second, pair.neither)]
    chance = say_chance(pair.chance)
    return [*pair.names, *counts, chance.removeprefix("p = ").replace("p < ", "<")]


def _describe_differing(pair: Paired) -> Iterator[str]:
    first, second = (printable(name, 20) for name in pair.names)
    yield "The pictures that tell them apart most:"
    for one in pair.differing[:_SHOWN]:
        said = f"{first} says {printable(one.first, 20)} ({one.first_probability:.2f})"
        also = f"{second} says {printable(one.second, 20)} ({one.second_probability:.2f})"
        yield f"  {shorten(one.path, 60)} is {printable(one.true, 20)}"
        yield f"    {said}, {also}"


def _show_differing(index: Index, pair: Paired) -> Markup:
    """The first pictures that differ as a table with small pictures; those that can still be read."""
    from telltale.data.decoding import decode
    from telltale.errors import ImageError

    rows = []
    for one in pair.differing[:_SHOWN]:
        try:
            picture = embed(decode(index.store.read(one.path)).pixels)
        except (ImageError, OSError):
            picture = Markup(escape("gone"))
        said = [f"{one.first} ({one.first_probability:.2f})", f"{one.second} ({one.second_probability:.2f})"]
        rows.append([picture, one.path, one.true, *said])
    return lay_table(rows, ["", "picture", "is", *pair.names]) if rows else Markup("")
