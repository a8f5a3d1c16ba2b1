"""Named recipes: whole systems that people have published, as settings with their source and the range to expect.

One TOML file each: the settings of `telltale.training.recipe.Recipe`, then a table `[about]`.
"""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from telltale.errors import RecipeError
from telltale.registry import select, suggest
from telltale.training.recipe import Recipe

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run of a recipe should reach: `low <= metric <= high` on the pictures that `on` names.

    `reported` holds the figures of the source, in its own words.
    """

    metric: str
    low: float
    high: float
    on: str
    reported: str

    def __str__(self) -> str:
        return f"{self.metric} {self.low:.2f} to {self.high:.2f} {self.on}"


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """A recipe with a name, and where it comes from.

    `notes` say for each setting what the source says, or that it does not; `also` what the source did besides training.
    """

    name: str
    title: str
    source: str
    data: str
    expect: Expectation
    notes: tuple[str, ...]
    also: tuple[str, ...]
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def list_recipes(pattern: str = "*") -> tuple[NamedRecipe, ...]:
    """The named recipes that match a shell pattern, by name; a plain word matches anywhere in the name.

    >>> [recipe.name for recipe in list_recipes("dog-")]
    ['dog-breeds']
    """
    files = {path.stem: path for path in _files()}
    return tuple(_read(files[name]) for name in select(files, pattern))


def find_recipe(name: str | Path) -> Path:
    """The TOML file of a named recipe, or the file itself where `name` is the path of one.

    A name goes before a file that is called the same. `RecipeError` where there is neither.

    >>> find_recipe("dog-breeds").name
    'dog-breeds.toml'
    """
    files = {path.stem: path for path in _files()}
    if str(name) in files:
        return files[str(name)]
    if Path(name).is_file():
        return Path(name)
    close = suggest(str(name), files)
    raise RecipeError(
        f"There is no recipe and no file {str(name)!r}.",
        expected=f"Did you mean {' or '.join(map(repr, close))}?" if close else f"One of {', '.join(files)}.",
        do="List them with `telltale models --recipes`, or give the path of a recipe.toml.",
    )


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.toml"), key=lambda path: path.stem)


def _read(path: Path) -> NamedRecipe:
    about = tomllib.loads(path.read_text(encoding="utf-8"))["about"]
    return NamedRecipe(
        path.stem,
        about["title"],
        about["source"],
        about["data"],
        Expectation(**about["expect"]),
        tuple(about["notes"]),
        tuple(about["also"]),
        Recipe.load(path),
    )
