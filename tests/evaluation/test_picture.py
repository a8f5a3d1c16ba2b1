"""The confusion matrix as a picture: right size, right colours, any names."""

import io

import numpy as np
import pytest
from PIL import Image

from telltale.evaluation.evaluation import score
from telltale.evaluation.picture import RAMP, _percent, colour, draw_confusion


def drawn(confusion, names=None):
    rows, columns = np.nonzero(confusion)
    times = np.asarray(confusion)[rows, columns]
    names = names or [f"class {number}" for number in range(len(confusion))]
    probabilities = np.eye(len(names))[np.repeat(columns, times)]
    return Image.open(io.BytesIO(draw_confusion(score(np.repeat(rows, times), probabilities, names))))


@pytest.mark.parametrize("classes", [1, 2, 10, 31, 120, 300])
def test_any_number_of_classes_gives_a_picture_of_a_screen(classes):
    image = drawn(np.eye(classes, dtype=int) * 12)
    assert image.format == "PNG"
    assert 200 < image.height < 2200
    assert 300 < image.width < 2200


def test_colours_are_single_hue_and_darken_with_the_share():
    shades = colour(np.linspace(0, 1, 101)).astype(int)
    assert (np.diff(shades.sum(axis=1)) < 0).all()
    assert (shades[:, 2] >= shades[:, 1]).all()
    assert (shades[:, 1] >= shades[:, 0]).all()


def test_faultless_matrix_is_a_dark_diagonal_on_white():
    pixels = np.asarray(drawn(np.eye(31, dtype=int) * 5))
    rows, columns = np.nonzero((pixels == RAMP[-1]).all(axis=2))
    inside = columns < pixels.shape[1] - 120  # the scale stands on the right
    assert inside.sum() == 31 * 26 * 26
    assert np.corrcoef(rows[inside], columns[inside])[0, 1] > 0.99


def test_counts_are_drawn_up_to_30_classes():
    """White ink lies on the dark cells of 30 classes, none on those of 31."""
    for classes, counted in ((30, True), (31, False)):
        pixels = np.asarray(drawn(np.eye(classes, dtype=int) * 8))
        rows, columns = np.nonzero((pixels == RAMP[-1]).all(axis=2))
        first = pixels[rows.min() + 3 : rows.min() + 20, columns.min() + 3 : columns.min() + 20]
        assert (first == 255).all(axis=2).any() == counted


@pytest.mark.parametrize(
    "names",
    [["<script>", "\x1b[31m"], ["", "a" * 500], ["кошка", "äöü"], ["猫", "\U0001f408"], ["a\nb", "\udcff"]],
    ids=["markup", "long", "letters", "pictographs", "odd"],
)
def test_any_name_can_be_drawn(names):
    assert drawn([[3, 1], [0, 4]], names).width < 900


def test_same_evaluation_same_bytes():
    evaluation = score(np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]], ["a", "b"])
    assert draw_confusion(evaluation) == draw_confusion(evaluation)


def test_the_normalised_matrix_says_percent():
    """The same colours, other numbers: rows of one picture and of a thousand say the same."""
    small, large = (
        score(np.array([0, 1]).repeat(times), np.eye(2)[np.array([0, 1]).repeat(times)], ["a", "b"])
        for times in (1, 999)
    )
    plain, one, other = (
        np.asarray(Image.open(io.BytesIO(draw_confusion(evaluation, normalised=normalised))))[118:, :300]
        for evaluation, normalised in ((large, False), (small, True), (large, True))
    )
    np.testing.assert_array_equal(one, other)
    assert (plain != other).any()


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.01, "<0.1"), (0.3, "0.3"), (9.94, "9.9"), (52.4, "52"), (99.6, "99.6"), (99.99, "99.9"), (100, "100")],
)
def test_percent_rounds_nothing_to_all_or_none(share, words):
    assert _percent(share) == words
