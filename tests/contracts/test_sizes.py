"""Budgets that keep the code readable: to argue with in review, but not to pass by unseen."""

import ast
import statistics
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "telltale"
FILES = sorted(SRC.rglob("*.py"))

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60
PARAMETERS = 6


def functions(path: Path) -> list[ast.FunctionDef]:
    """All functions and methods of a file."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    """Lines from `def` to the last statement."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_a_file_is_one_room(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES_OF_A_FILE, f"{lines} lines: is this one thing?"
    for function in functions(path):
        where = f"{path.name}:{function.lineno} {function.name}"
        if path.parent.name == "cli":
            # A command's parameters are its flags, one a line; test_cli_surface.py watches those.
            assert length(function) - (function.body[0].lineno - function.lineno) <= LINES_OF_A_FUNCTION, where
            continue
        assert length(function) <= LINES_OF_A_FUNCTION, f"{where} has {length(function)} lines"
        arguments = function.args
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        names = [name for name in names if name not in ("self", "cls")]
        assert len(names) <= PARAMETERS, f"{where} takes {len(names)} parameters"


def test_most_functions_are_short():
    lengths = [length(function) for path in FILES for function in functions(path)]
    assert statistics.median(lengths) <= 12
