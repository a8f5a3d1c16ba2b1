"""Write docs/<command>.md from what `telltale <command> --help` prints, and the pages that are tables of the code:
augmentation, checks, recipes, quality and settings.

--check: are they current?

python docs/generate.py [--check]
"""

import ast
import inspect
import itertools
import os
import sys
from dataclasses import fields
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from telltale.batches.augmentation import describe_presets
from telltale.batches.changes import describe_changes
from telltale.cli import app
from telltale.data.checks import describe_checks
from telltale.training.candidates import CANDIDATES
from telltale.training.quality import QUALITIES, choose_quality
from telltale.training.recipe import Recipe
from telltale.training.recipes import NamedRecipe, find_recipe, list_recipes

DOCS = Path(__file__).parent
WIDTH = "80"


def pages() -> dict[str, str]:
    """File name to content: one page per command, the checks of `telltale inspect`, the recipes, and `--quality`."""
    commands = {f"{name}.md": page(name) for name in sorted(get_command(app).commands)}
    checks = f"# What `telltale inspect` looks for\n\n{describe_checks()}"
    changes = f"# How training pictures can be changed\n\n{describe_changes()}\n{describe_presets()}"
    commands |= {"augmentation.md": changes, "settings.md": describe_settings()}
    return commands | {"checks.md": checks, "recipes.md": describe_recipes(), "quality.md": describe_quality()}


def page(name: str) -> str:
    """The page of one command: what it prints about itself."""
    environment = {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    answer = CliRunner().invoke(app, [name, "--help"], prog_name="telltale", env=environment)
    if answer.exit_code:
        raise SystemExit(f"`telltale {name} --help` failed:\n{answer.output}")
    text = "\n".join(line.rstrip() for line in answer.output.strip("\n").splitlines())
    return f"# telltale {name}\n\n```text\n{text}\n```\n"


def describe_recipes() -> str:
    """A table of all named recipes, then a section for each: where its settings come from, and the settings."""
    recipes = list_recipes()
    rows = [f"| [{one.name}](#{one.name}) | {one.title} | {one.expect} | {one.expect.reported} |" for one in recipes]
    lines = [
        "# Recipes\n",
        "Systems that others have published, as settings: `telltale train DATA --recipe NAME`. Flags come after them:",
        "`--recipe cats-dogs-cnn --epochs 3` changes one. `telltale models --recipes` lists them.\n",
        "| recipe | what it is | to expect | the source's own figures |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join([*lines, *map(describe_recipe, recipes)]) + "\n"


def describe_recipe(recipe: NamedRecipe) -> str:
    """The section of one recipe."""
    settings = find_recipe(recipe.name).read_text(encoding="utf-8").partition("\n[about]")[0]
    facts = {"Source": recipe.source, "Data": recipe.data, "To expect": f"{recipe.expect}."}
    facts["The source's own figures"] = f"{recipe.expect.reported}."
    lines = [f"\n## {recipe.name}\n", f"{recipe.title}.\n", *(f"* {name}: {text}" for name, text in facts.items())]
    lines += ["\n```toml", settings.strip(), "```\n", *(f"* {note}" for note in recipe.notes)]
    if recipe.also:
        heading = "What it did besides training (`--mirror` and `--tracker` do it here):"
        lines += [f"\n{heading}\n", *(f"* {one}" for one in recipe.also)]
    return "\n".join(lines)


def describe_settings() -> str:
    """A table of all settings of a recipe: name, value where nothing is said, and what the code says about it."""
    body = ast.parse(inspect.getsource(Recipe)).body[0].body
    texts = {
        one.target.id: " ".join(said.value.value.split())
        for one, said in itertools.pairwise(body)
        if isinstance(one, ast.AnnAssign) and isinstance(said, ast.Expr)
    }
    rows = [f"| `{one.name}` | {_show(one.default)} | {texts[one.name]} |" for one in fields(Recipe)]
    lines = [
        "# Settings of a training\n",
        "`telltale train DATA --set NAME=VALUE`, or a recipe.toml for `--recipe`; many have a flag of their own. Every",
        "run folder holds its settings as recipe.toml.\n",
        "| setting | usual | what it is |",
        "|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _show(value: object) -> str:
    """A default in a table."""
    words = {True: "yes", False: "no"} if isinstance(value, bool) else {}
    text = ", ".join(value) if isinstance(value, tuple) else words.get(value, value)
    return f"`{text}`" if text != "" else ""


def describe_quality() -> str:
    """What `--quality` chooses on a CPU and on a GPU for some numbers of pictures, and what it chooses from."""
    chosen = [
        f"* {choose_quality(name, device=device, pictures=pictures).why}"
        for device in ("cpu", "cuda")
        for name in QUALITIES
        for pictures in ((500, 2_500, 20_000, 200_000) if name == "best" else (2_500,))
    ]
    rows = [
        f"| {one.model} | {one.size} | {one.accuracy:.2f} | {one.parameters:.1f} | {one.cpu:,.0f} "
        f"| {one.cpu_training:,.0f} | {one.gpu:,.0f} |"
        for one in CANDIDATES
    ]
    lines = [
        "# What `telltale train --quality` chooses\n",
        *chosen,
        "\nIt chooses from these networks. The last three columns are images per second: features on two cores,",
        "learning with all layers on two cores, features on an RTX 4090. Sources:",
        "`src/telltale/training/candidates.py`.\n",
        "| network | input | ImageNet top-1, % | million parameters | two cores | learning | GPU |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    # The help is as wide as the terminal; Python asks COLUMNS first.
    os.environ["COLUMNS"] = WIDTH
    wanted = pages()
    here = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    generated = {name for name, text in here.items() if text.startswith(f"# telltale {name.removesuffix('.md')}\n")}
    stale = sorted({name for name, text in wanted.items() if here.get(name) != text} | (generated - wanted.keys()))
    if "--check" in sys.argv[1:]:
        if stale:
            raise SystemExit(f"Not current: {', '.join(f'docs/{name}' for name in stale)}. Run: make docs")
        return
    for name in stale:
        if name in wanted:
            (DOCS / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        else:
            (DOCS / name).unlink()
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
