"""Every registry of the package: names that can be typed, things that are documented, help for a wrong name."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest

import telltale
from telltale.errors import UserError
from telltale.registry import Registry

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
