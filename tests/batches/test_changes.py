"""Terms: what may be written, what is refused and in which words, and the table that all of it stands in."""

import pytest
from hypothesis import given, strategies as st

from telltale.batches.changes import CHANGES, KNOWN, LAYERS, NOTHING, Term, describe_changes, parse_term
from telltale.errors import RecipeError


@pytest.mark.parametrize(
    ("text", "low", "high", "probability"),
    [
        ("flip", 0, 0, 0.5),
        ("flip@0.25", 0, 0, 0.25),
        ("rotation", -15, 15, 1),
        ("rotation=20", -20, 20, 1),
        ("rotation=10:90@0.1", 10, 90, 0.1),
        ("zoom=0.2", 0.8, 1.25, 1),
        ("zoom=2:3", 2, 3, 1),
        ("crop=0.5", 0.5, 1, 1),
        ("crop=0.6:0.7", 0.6, 0.7, 1),
        ("blur=2", 0, 2, 0.5),
        ("noise=1e1@1", 0, 10, 1),
        ("cutout=0.4", 0.4, 0.4, 0.5),
        ("randaugment", 2, 9, 1),
        ("randaugment=3", 3, 9, 1),
        ("randaugment=1:15", 1, 15, 1),
        ("mixup=0.4", 0.4, 0.4, 1),
    ],
)
def test_a_term_says_range_and_probability(text, low, high, probability):
    term = parse_term(text)
    assert (term.low, term.high, term.probability) == (low, high, probability)
    assert term.name == text.partition("=")[0].partition("@")[0]


@pytest.mark.parametrize(
    "text",
    [
        "flip=0.5", "flip=", "rotation=", "rotation=left", "rotation=-20", "rotation=20:-20", "rotation=500",
        "rotation=nan", "rotation=1:2:3", "rotation=:", "rotation=inf", "zoom=1", "zoom=0:2", "zoom=-1", "crop=0",
        "crop=2", "blur=-1", "cutout=1.5", "randaugment=0:9", "randaugment=2:31", "randaugment=2.5:9",
        "randaugment=2:9.5", "trivialaugment=3", "mixup=0", "elastic=0.5",
    ],
)  # fmt: skip
def test_a_value_outside_of_what_is_possible_is_refused(text):
    with pytest.raises(RecipeError, match="has a value that cannot be used") as caught:
        parse_term(text)
    change = KNOWN[text.partition("=")[0]]
    assert caught.value.expected == change.takes
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["flip@", "flip@2", "flip@-0.1", "flip@half", "flip@nan", "rotation=20@0.5@1"])
def test_a_probability_outside_of_0_to_1_is_refused(text):
    with pytest.raises(RecipeError, match=r"has a probability that cannot be used\. A number from 0 to 1 after the @"):
        parse_term(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("flp", "flip"), ("vertical-flip", "vertical_flip"), ("Rotation=20", "rotation"), ("mix-up", "mixup")],
)
def test_a_wrong_name_gets_the_right_one(text, meant):
    with pytest.raises(RecipeError, match=f"No augmentation named .* Did you mean .*'{meant}'"):
        parse_term(text)


def test_other_names_are_suggested_where_they_may_be_written():
    with pytest.raises(RecipeError, match="Did you mean 'light'"):
        parse_term("lihgt", ("light",))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_with_its_usual_number_is_what_the_name_alone_means(change):
    assert parse_term(f"{change.name}@{change.probability}") == parse_term(change.name)
    if change.spread is not NOTHING:
        assert parse_term(f"{change.name}={change.usual}") == parse_term(change.name)


@given(st.data())
def test_a_term_and_its_text_are_the_same(data):
    change = data.draw(st.sampled_from(CHANGES))
    probability = data.draw(st.floats(0, 1))
    if change.spread is NOTHING:
        low = high = 0.0
    elif change.spread is LAYERS:
        low, high = float(data.draw(st.integers(1, 10))), float(data.draw(st.integers(0, 30)))
    else:
        low, high = sorted(data.draw(st.lists(st.floats(change.lowest, change.highest), min_size=2, max_size=2)))
    term = Term(change.name, low, high, probability)
    assert parse_term(str(term)) == term


@given(st.sampled_from(CHANGES), st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_whatever_is_drawn_from_lies_between_lowest_and_highest(change, low, high):
    if change.spread in (NOTHING, LAYERS):
        return
    for text in (f"{change.name}={low}", f"{change.name}={low}:{high}"):
        try:
            term = parse_term(text)
        except RecipeError:
            continue
        assert change.lowest <= term.low <= term.high <= change.highest


def test_the_table_has_a_row_for_each_change_with_terms_that_can_be_parsed():
    rows = [line for line in describe_changes().splitlines() if line.startswith("| `")]
    assert len(rows) == len(CHANGES) == len(KNOWN)
    for row, change in zip(rows, CHANGES, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0] == f"`{change.name}`"
        assert cells[1] == change.does
        assert parse_term(cells[4].strip("`")) == parse_term(change.name)


def test_words_are_for_people():
    assert parse_term("rotation=20@0.5").words == "rotation -20 to 20 degrees for 50 %"
    assert parse_term("randaugment=3:15").words == "randaugment 3 operations of magnitude 15"
    assert parse_term("trivialaugment").words == "trivialaugment"
