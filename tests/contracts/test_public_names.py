"""The public names: sorted, all there, and still what they were after the packages beneath were imported."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import telltale

NAMES = sorted(telltale._HOME)


def test_names_are_sorted():
    assert list(telltale._HOME) == NAMES
    assert telltale.__all__ == sorted([*NAMES, "__version__"])
    assert set(telltale.__all__) <= set(dir(telltale))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_module_has(name):
    thing = getattr(telltale, name)
    assert thing is getattr(import_module(telltale._HOME[name]), name)
    assert thing.__module__ == telltale._HOME[name], "a public name lives where it is defined"
    assert inspect.getdoc(thing), f"telltale.{name} has no docstring"


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'telltale' has no attribute 'nothing'"):
        _ = telltale.nothing


def test_type_checkers_see_the_same_table():
    tree = ast.parse(Path(telltale.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == telltale._HOME


def test_verbs_stay_callable_after_their_packages_were_imported():
    # A package telltale/fit/ would replace the function telltale.fit as soon as anything in it is imported.
    program = """
import pkgutil, importlib, telltale
for found in pkgutil.walk_packages(telltale.__path__, "telltale."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
for name in telltale._HOME:
    for _ in range(2):
        assert callable(getattr(telltale, name)), name
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert telltale.__version__ == version("telltale")
