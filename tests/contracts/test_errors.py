"""Every error for users has its three parts, and its words stand in a test."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import telltale.errors
from telltale.errors import UserError

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "telltale"
KINDS = {name for name, kind in vars(telltale.errors).items() if isinstance(kind, type) and issubclass(kind, UserError)}
RUN = 3
"""Words in a row that a test must quote, where a message has as many between two inserted values."""


def errors() -> list[tuple[str, ast.Call]]:
    """`file:line` and the call of every error for users in the package."""
    found = []
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                found.append((f"{path.relative_to(SRC).as_posix()}:{node.lineno}", node))
    return found


ERRORS = errors()


def words(text: str) -> list[str]:
    """Lower-case words; backslashes of regular expressions are no letters of theirs."""
    return re.findall(r"[\w'-]+", re.sub(r"\\(.)", r"\1", text).lower())


def pieces(node: ast.expr) -> list[list[str]]:
    """The words of each literal piece of a message, longest first."""
    if isinstance(node, ast.JoinedStr):
        parts = [part for part in node.values if isinstance(part, ast.Constant)]
    else:
        parts = [part for part in ast.walk(node) if isinstance(part, ast.Constant)]
    found = [words(part.value) for part in parts if isinstance(part.value, str)]
    return sorted((piece for piece in found if piece), key=len, reverse=True)


@cache
def quoted() -> tuple[str, ...]:
    """Every string in the tests, as words between single spaces."""
    texts = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path != Path(__file__):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            texts += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return tuple(f" {' '.join(words(text))} " for text in texts)


def is_quoted(piece: list[str]) -> bool:
    """Whether some string of the tests has a run of this piece's words."""
    size = min(RUN, len(piece))
    runs = [f" {' '.join(piece[start : start + size])} " for start in range(len(piece) - size + 1)]
    return any(run in text for run in runs for text in quoted())


@pytest.mark.parametrize("call", [call for _, call in ERRORS], ids=[where for where, _ in ERRORS])
def test_an_error_says_what_was_expected_and_what_to_do(call):
    assert {"expected", "do"} <= {keyword.arg for keyword in call.keywords}
    assert len(call.args) == 1


def test_every_message_is_quoted_in_a_test():
    unquoted = []
    for where, call in ERRORS:
        found = pieces(call.args[0])
        if found and len(found[0]) < 2:  # "{name} is {value}." says too little: look at what it expects and advises
            found = [piece for keyword in call.keywords for piece in pieces(keyword.value)]
        if found and not any(is_quoted(piece) for piece in found if len(piece) == max(map(len, found))):
            unquoted.append(f"{where}: {ast.unparse(call.args[0])[:100]}")
    assert not unquoted, "no test quotes these messages:\n" + "\n".join(unquoted)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_is_documented_in_the_tree(kind):
    assert kind in telltale.errors.__doc__
    assert getattr(telltale.errors, kind).exit_code in (1, 2)
