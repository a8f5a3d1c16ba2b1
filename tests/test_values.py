"""What is saved as plain values is the same again, and what is something else is noticed."""

import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import given, strategies as st

from telltale.values import from_plain, to_plain


@dataclass(frozen=True)
class Leaf:
    name: str
    share: float
    sure: bool = True


@dataclass(frozen=True)
class Tree:
    leaves: tuple[Leaf, ...]
    best: Leaf | None
    pair: tuple[int, str]
    sizes: dict[int, float]


LEAVES = st.builds(Leaf, st.text(), st.floats(allow_nan=False), st.booleans())
TREES = st.builds(
    Tree,
    st.lists(LEAVES).map(tuple),
    st.none() | LEAVES,
    st.tuples(st.integers(), st.text()),
    st.dictionaries(st.integers(), st.floats(allow_nan=False)),
)


@given(TREES)
def test_a_value_survives_json(tree):
    text = json.dumps(to_plain(tree), allow_nan=False)
    assert from_plain(Tree, json.loads(text)) == tree


def test_no_number_survives_too():
    assert math.isnan(from_plain(Leaf, to_plain(Leaf("a", math.nan))).share)


def test_what_has_a_default_may_be_missing():
    assert from_plain(Leaf, {"name": "a", "share": 1}) == Leaf("a", 1.0)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([], TypeError),
        ({"name": "a"}, TypeError),
        ({"name": "a", "share": "much"}, ValueError),
        ({"name": "a", "share": None}, TypeError),
        ({"name": "a", "share": 1, "sure": "no"}, TypeError),
        ({"name": 3, "share": 1}, TypeError),
        ({"name": "a", "share": 1, "height": 2}, TypeError),
    ],
    ids=str,
)
def test_something_else_is_noticed(values, error):
    with pytest.raises(error):
        from_plain(Leaf, values)


def test_a_tuple_of_another_length_is_noticed():
    plain = to_plain(Tree((), None, (1, "a"), {}))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        from_plain(Tree, plain | {"pair": [1]})
