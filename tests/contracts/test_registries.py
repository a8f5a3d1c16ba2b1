"""Every registry of the package: names that can be typed, things that are documented, help for a wrong name."""

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import telltale
from telltale.errors import UserError
from telltale.registry import Registry
from telltale.training.trackers import TRACKERS

NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


def registries() -> Iterator[tuple[str, Registry]]:
    """`module.VARIABLE` and the registry, for all of the package."""
    seen = set()
    for found in pkgutil.walk_packages(telltale.__path__, "telltale."):
        if found.name.endswith("__main__"):
            continue
        for name, thing in vars(importlib.import_module(found.name)).items():
            if isinstance(thing, Registry) and id(thing) not in seen:
                seen.add(id(thing))
                yield f"{found.name}.{name}", thing


REGISTRIES = dict(registries())
ENTRIES = [(where, name) for where, registry in REGISTRIES.items() for name in registry]


def test_there_are_registries():
    assert REGISTRIES


@pytest.mark.parametrize(("where", "name"), ENTRIES, ids=[f"{where.split('.')[-1]}-{name}" for where, name in ENTRIES])
def test_an_entry_has_a_name_to_type_and_says_what_it_is(where, name):
    assert NAME.fullmatch(name), f"{where}: {name!r} cannot be typed easily"
    thing = REGISTRIES[where][name]
    if callable(thing):
        assert inspect.getdoc(thing), f"{where}[{name!r}] has no docstring"
    else:
        assert str(thing).strip(), f"{where}[{name!r}] is empty"


@pytest.mark.parametrize("where", REGISTRIES)
def test_a_wrong_name_gets_the_right_ones(where):
    registry = REGISTRIES[where]
    assert registry.kind.strip()
    assert len(registry) == len(list(registry)) > 0
    first = next(iter(registry))
    assert first in registry
    with pytest.raises(UserError, match=f"No {registry.kind} named .* Did you mean .*{re.escape(first)}") as caught:
        registry[f"{first}x"]
    assert all(name in caught.value.do for name in registry)
    with pytest.raises(UserError, match=f"No {registry.kind} named '§§§'. Known: "):
        registry["§§§"]


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_hears_a_training_to_its_end(name, tmp_path):
    """Two sessions, each in a process of its own as a training is, without a network and without a login."""
    session = Path(__file__).parents[1] / "training" / "trackers" / "session.py"
    alone = {
        "HOME": str(tmp_path),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": "",
        "WANDB_MODE": "offline",
    }
    (tmp_path / "pets").mkdir()
    for first, last, *rest in (("1", "2"), ("3", "3", "finished")):
        command = [sys.executable, str(session), name, "pets", first, last, *rest]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | alone, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "", "standard output is for results"
        assert f"\n{name}: " in f"\n{done.stderr}", "it says where to look"
        assert "warning: " not in done.stderr
