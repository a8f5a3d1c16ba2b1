"""README and guide keep their word: the Python runs, the commands exist, a first result comes early."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.exceptions import TyperException
from typer.main import get_command

from telltale.cli import app
from telltale.data.samples import draw_picture, draw_samples

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [path for path in (README, ROOT / "docs" / "guide.md") if path.exists()]
SHELL = ("sh", "bash", "console")


def blocks(page: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Language, number of the first line, and lines of each fenced block."""
    language, start, inside = "", 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            inside.append(line)
        elif start:
            yield language, start, inside
            start = 0
        else:
            language, start, inside = line.removeprefix("```").strip(), number + 1, []
    assert not start, f"{page.name}: the block at line {start} has no end"


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of each command; in a console block a command stands after `$ `, the rest is output."""
    for language, start, lines in blocks(page):
        if language not in SHELL:
            continue
        for number, line in enumerate(lines, start):
            if language == "console" and not line.startswith("$ "):
                continue
            for part in line.removeprefix("$ ").split("&&"):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                if words:
                    yield number, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, tmp_path):
    """All blocks of a page in order, as one program, where `photos/` is a folder of pictures and `photo.jpg` is one."""
    program = [""] * len(page.read_text(encoding="utf-8").splitlines())
    for language, start, lines in blocks(page):
        if language == "python":
            program[start - 1 : start - 1 + len(lines)] = lines  # so that a traceback names the page's own lines
    draw_samples(tmp_path / "photos", count=80)
    Image.fromarray(draw_picture("circle", np.random.default_rng(0))).save(tmp_path / "photo.jpg")
    script = tmp_path / page.with_suffix(".py").name
    script.write_text("\n".join(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    root = get_command(app)
    for number, words in commands(page):
        where = f"{page.name}:{number}: {shlex.join(words)}"
        if words[0] == "make":
            assert set(words[1:]) <= targets, where
        elif words[0] == "telltale" and words[1:] != ["--help"] and words[1:] != ["--version"]:
            assert words[1] in root.commands, where
            try:
                if "--help" not in words:
                    root.commands[words[1]].make_context(words[1], words[2:])
            except TyperException as error:
                pytest.fail(f"{where}: {error}")


def test_first_result_comes_early():
    """By line 25 a reader has seen a command and its output (a console block: `$ `, then output); 120 lines in all."""
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    results = [
        number
        for language, start, inside in blocks(README)
        if language == "console" and any(line.startswith("$ ") for line in inside)
        for number, line in enumerate(inside, start)
        if line.strip() and not line.startswith("$ ")
    ]
    assert results, "no console block shows a command with its output"
    assert min(results) <= 25


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert target.startswith(("https://", "mailto:")) or (page.parent / target).exists(), (
                f"{page.name}: {target}"
            )
