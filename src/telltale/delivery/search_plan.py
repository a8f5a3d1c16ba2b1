"""What a search tries: candidates from names, presets and grids, and the rungs of successive halving."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from telltale.errors import RecipeError
from telltale.training.quality import choose_quality
from telltale.training.recipe import Recipe, read_time

FACTOR: Final = 3
"""Of so many candidates one goes on to the next rung, and so many times the epochs are done there (Jamieson and
Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"; Li et al. 2018, "Hyperband",
find little difference between 3 and 4)."""

SHARED: Final = (
    "seed", "val_split", "test_split", "near_duplicates", "mirrored_duplicates", "lookalikes", "fix_leaks",
    "labels_fix",
)  # fmt: skip
"""Settings that decide which picture is in which part: the same for all candidates of one search."""

BY: Final = ("accuracy", "loss")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to train that takes part in a search."""

    name: str
    """What tells it from the others, such as `mobilenetv2_100 lr=0.001`."""
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a search tries, and how.

    >>> SearchSettings(by="speed")
    Traceback (most recent call last):
    telltale.errors.RecipeError: Candidates are to be ranked by 'speed'. One of accuracy, loss. Give one of them with \
--by.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Recipe` that hold for every candidate, also over a preset."""
    models: tuple[str, ...] = ()
    """Networks: each is a candidate."""
    qualities: tuple[str, ...] = ()
    """Presets (`fast`, `balanced`, `best`): each is a candidate."""
    vary: tuple[str, ...] = ()
    """Texts such as `lr=0.001,0.003`: fields of `Recipe` with the values to try, all combined with each other and with
    each network and preset. What is a list itself (`augment`) is separated by `|`."""
    candidates: tuple[Candidate, ...] = ()
    """More of them, ready made; only what splits the data is the same for all."""
    by: str = "accuracy"
    """`accuracy` on the validation part, ties by log loss; or `loss`, ties by accuracy."""
    time: str = ""
    """Time for all candidates together, such as `10m`; the winner's test comes after it. Empty: no limit."""
    halving: bool = False
    """Successive halving for networks that are trained; probes are computed whole."""

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise RecipeError(
                f"Candidates are to be ranked by {self.by!r}.",
                expected=f"One of {', '.join(BY)}.",
                do="Give one of them with --by.",
            )
        if self.time and not read_time(self.time):
            raise RecipeError(
                f"The time for the search is {self.time!r}.",
                expected="A number with s, m or h, such as 10m.",
                do="Give another --time, or leave it out.",
            )

    @property
    def seconds(self) -> float:
        """The time limit; infinite where there is none."""
        return read_time(self.time) if self.time else math.inf


@dataclass(frozen=True, slots=True)
class Rung:
    """One round of successive halving: how many candidates train, and for which share of their epochs."""

    count: int
    share: float


def plan_candidates(
    settings: SearchSettings, *, device: str = "auto", pictures: int | None = None
) -> tuple[Candidate, ...]:
    """The candidates that `settings` name; those that would be the same training are there once.

    Presets are chosen for this device and number of pictures. Raises `RecipeError` for an unknown field, an impossible
    value, candidates that would be split in different ways, and where there are fewer than two.

    >>> settings = SearchSettings({"epochs": 2}, models=("cnn",), vary=("lr=0.01,0.001",))
    >>> [one.name for one in plan_candidates(settings)]
    ['lr=0.01', 'lr=0.001']
    """
    starts, grid = list(_find_starts(settings, device, pictures)), _read_grid(settings.vary)
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    alone = len(starts) == 1 and not settings.candidates
    found: dict[Recipe, Candidate] = {}
    for start, recipe in starts:
        for varied in combinations:
            words = [f"{name}={value}" for name, value in varied.items()]
            named = " ".join(words if words and alone else [start, *words])
            changed = recipe.with_settings(varied)
            found.setdefault(changed.resolved, Candidate(named, changed))
    for one in settings.candidates:
        found.setdefault(one.recipe.resolved, one)
    candidates = tuple(found.values())
    if len(candidates) < 2:
        named = f": {candidates[0].name}" if candidates else ""
        raise RecipeError(
            f"There is nothing to compare with each other{named}.",
            expected="At least two candidates that are trained in different ways.",
            do="Give --model or --quality more than once, or --vary NAME=VALUE,VALUE; telltale train trains one.",
        )
    check_candidates(candidates)
    return candidates


def _find_starts(settings: SearchSettings, device: str, pictures: int | None) -> Iterator[tuple[str, Recipe]]:
    """Name and recipe of each network and preset; of the usual recipe where only fields of it are varied."""
    given = dict(settings.settings)
    usual = Recipe(**given)
    yield from ((name, replace(usual, model=name)) for name in settings.models)
    if settings.qualities:
        from telltale.model.zoo import find_silence

        hub = not find_silence()
        for name in settings.qualities:
            choice = choose_quality(name, device=device, pictures=pictures, hub=hub)
            yield name, Recipe(**{**choice.settings, **given})
    if settings.vary and not settings.models and not settings.qualities:
        yield usual.model, usual


def _read_grid(vary: Sequence[str]) -> dict[str, list[str]]:
    """Name of a field to its values, as texts."""
    grid: dict[str, list[str]] = {}
    for text in vary:
        name, sign, values = text.partition("=")
        name = name.strip()
        # What a list holds is separated by commas already.
        listed = isinstance(getattr(Recipe(), name, None), tuple)
        found = [one.strip() for one in values.split("|" if listed or "|" in values else ",")]
        if not sign or not name or not (listed or all(found)):
            raise RecipeError(
                f"--vary {text!r} names no values.",
                expected="NAME=VALUE,VALUE with a setting of the recipe; lists are separated by |.",
                do="Write for example --vary lr=0.001,0.003 or --vary 'augment=flip|light'.",
            )
        grid[name] = list(dict.fromkeys(grid.get(name, []) + found))
    return grid


def check_candidates(candidates: Sequence[Candidate]) -> None:
    """Raise `RecipeError` where candidates would be split in different ways, or share a name."""
    for name in SHARED:
        values = list(dict.fromkeys(getattr(one.recipe, name) for one in candidates))
        if len(values) > 1:
            raise RecipeError(
                f"{name} is {values[0]!r} for one candidate and {values[1]!r} for another.",
                expected="The same for all: it decides which pictures are trained and scored on.",
                do=f"Take {name} out of --vary, and give one value with --set {name}=VALUE.",
            )
    if any(one.recipe.folds for one in candidates):
        raise RecipeError(
            "folds is set, and candidates are compared on one split.",
            expected="folds 0.",
            do="Leave folds out; telltale train --folds tests the winner on every picture.",
        )
    names = [one.name for one in candidates]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise RecipeError(
            f"Two candidates are called {twice[0]!r}.",
            expected="A name for each.",
            do="Give them different names.",
        )


def plan_rungs(count: int, epochs: int) -> tuple[Rung, ...]:
    """Rounds for `count` candidates that would train for `epochs` each: the best third of each goes on.

    The last round has all epochs. A round more is begun only where the first then still has a whole epoch.

    >>> [(one.count, round(one.share, 2)) for one in plan_rungs(9, 27)]
    [(9, 0.11), (3, 0.33), (1, 1.0)]
    >>> plan_rungs(4, 2)
    (Rung(count=4, share=1.0),)
    """
    counts = [count]
    while counts[-1] > 1 and FACTOR ** len(counts) <= epochs:
        counts.append(math.ceil(counts[-1] / FACTOR))
    return tuple(Rung(number, float(FACTOR) ** (place + 1 - len(counts))) for place, number in enumerate(counts))


def shorten_recipe(recipe: Recipe, share: float) -> Recipe:
    """The recipe with that share of its epochs, at least one."""
    return recipe if share == 1 else replace(recipe, epochs=max(1, round(share * recipe.epochs)))


def find_differences(recipes: Sequence[Recipe]) -> list[str]:
    """Names of the settings that are not the same in all, in the order of `Recipe`.

    >>> find_differences([Recipe(lr=0.1), Recipe(lr=0.2)])
    ['lr']
    """
    return [one.name for one in fields(Recipe) if len({getattr(recipe, one.name) for recipe in recipes}) > 1]


def split_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings that decide the split, by name."""
    return {name: value for name, value in asdict(recipe).items() if name in SHARED}
