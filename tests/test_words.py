"""Names are shown without what a terminal would obey, and never wider than there is room."""

import pytest
from hypothesis import given, strategies as st

from telltale.words import columns, fit, printable, shorten


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [("n02085620-Chihuahua", 11, "n0208…uahua"), ("cat", 5, "cat"), ("猫" * 10, 7, "猫猫…猫"), ("a\tb", 0, "a?b")],
)
def test_long_names_keep_both_ends(name, width, shown):
    assert (shorten(name, width) if width else printable(name)) == shown


@given(st.text(), st.integers(3, 40))
def test_a_name_fits_and_has_no_control_characters(name, width):
    shown = fit(name, width)
    assert columns(shown) == width and shown.isprintable()
    assert columns(shorten(name, width)) <= width


@given(st.text())
def test_what_is_short_and_printable_stays(name):
    assert (printable(name) == name) == (name.isprintable() or not name)
