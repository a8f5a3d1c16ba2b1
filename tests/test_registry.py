"""A wrong name gets an answer that helps."""

import pytest
from hypothesis import given, strategies as st

from telltale.errors import UserError
from telltale.registry import Registry, suggest, unknown

COLOURS = Registry[int]("colour", {"red": 1, "green": 2, "blue": 3})


def test_a_registry_is_a_sorted_set_of_names():
    assert list(COLOURS) == ["blue", "green", "red"]
    assert len(COLOURS) == 3 and "red" in COLOURS and "pink" not in COLOURS and 3 not in COLOURS
    assert [COLOURS[name] for name in COLOURS] == [3, 2, 1]


def test_a_registry_keeps_its_things_to_itself():
    things = {"a": 1}
    registry = Registry("letter", things)
    things["b"] = 2
    assert list(registry) == ["a"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gren", r"No colour named 'gren'\. Did you mean 'green'\? Choose one of: blue, green, red\."),
        ("xyz", r"No colour named 'xyz'\. Known: blue, green, red\. Choose one of"),
        ("", r"No colour named ''\. Known: blue, green, red"),
    ],
    ids=["close", "far", "empty"],
)
def test_a_wrong_name_is_answered(name, words):
    with pytest.raises(UserError, match=words):
        COLOURS[name]


def test_several_names_may_be_meant():
    _, expected, do = unknown("network", "resnet5", ["resnet50", "resnet51", "vit"], "List them.")
    assert expected == "Did you mean 'resnet51' or 'resnet50'?" or expected == "Did you mean 'resnet50' or 'resnet51'?"
    assert do == "List them."


def test_a_long_list_is_cut():
    _, expected, _ = unknown("letter", "§", "abcdefghijkl", "Choose.")
    assert expected == "Known: a, b, c, d, e, f, g, h and 4 more."


@given(st.sets(st.text(min_size=1), min_size=1, max_size=6), st.text())
def test_what_is_suggested_is_known_and_a_known_name_comes_first(names, wrong):
    assert set(suggest(wrong, names)) <= names
    for name in names:
        assert suggest(name, names)[0] == name
