"""The preview: the very pixels that the network sees, under any names."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from telltale.batches.augmentation import parse_augmentation
from telltale.training.preview import EPOCHS, MOST, draw_preview

SIDE = 128
"""At this size pictures are shown pixel for pixel."""


def draw_squares(count, size=SIDE):
    """Coarse coloured noise, so that each place of each picture is unlike all others."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


def preview(squares, terms="light", names=None, seed=0):
    names = names or [f"class {number}" for number in range(len(squares))]
    data = draw_preview(squares, parse_augmentation(terms.split()), seed=seed, names=names)
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image)


def places_of(tile, page):
    """Where on the page `tile` stands, pixel for pixel: (top, left)."""
    found = np.argwhere((page == tile[0, 0]).all(axis=2))
    return [
        (top, left)
        for top, left in found.tolist()
        if np.array_equal(page[top : top + len(tile), left : left + len(tile)], tile)
    ]


@pytest.mark.parametrize("terms", ["light", "strong", "light mixup=1 cutmix=1"])
def test_every_tile_is_what_the_network_sees(terms):
    squares, augmentation = draw_squares(3), parse_augmentation(terms.split())
    page, rows = preview(squares, terms, seed=5), np.arange(3)
    lefts = set()
    for epoch in range(1, EPOCHS + 1):
        seen = augmentation.apply(torch.from_numpy(squares), rows, seed=5, epoch=epoch)
        if augmentation.mixes:
            seen = augmentation.mix(seen, rows, seed=5, epoch=epoch)[0]
        for one in seen.round().byte().permute(0, 2, 3, 1).numpy():
            lefts |= {left for _, left in places_of(one, page)}
    assert len(lefts) == EPOCHS
    tops = [places_of(square, page)[0][0] for square in squares]
    assert tops == sorted(tops) and tops[1] - tops[0] == tops[2] - tops[1] > SIDE


@pytest.mark.parametrize("terms", ["none", "flip@0"])
def test_what_is_not_changed_is_there_once(terms):
    squares = draw_squares(3)
    page = preview(squares, terms)
    places = [places_of(square, page) for square in squares]
    assert [len(found) for found in places] == [1, 1, 1]
    (top, left), (second, right), (third, _) = (found[0] for found in places)
    assert top == second == third and right - left > SIDE
    assert page.shape[0] < preview(squares, "flip").shape[0]


def test_at_most_six_pictures_are_shown_and_the_input_stays():
    squares = draw_squares(9)
    before = squares.copy()
    squares.flags.writeable = False  # as a file that is mapped into memory
    page = preview(squares)
    np.testing.assert_array_equal(squares, before)
    assert len(places_of(squares[MOST - 1], page)) == 1
    assert not places_of(squares[MOST], page)


@pytest.mark.parametrize("size", [8, 32, 224, 300])
def test_pictures_of_any_size_make_a_page_of_a_screen(size):
    page = preview(draw_squares(2, size))
    assert page.shape[1] == preview(draw_squares(1)).shape[1] < 1200
    assert 300 < page.shape[0] < 700


def test_small_pictures_keep_their_pixels():
    square = draw_squares(1, 16)
    assert places_of(square[0].repeat(8, 0).repeat(8, 1), preview(square))


@pytest.mark.parametrize(
    "names",
    [["<script>", "\x1b[31m"], ["", "a" * 500], ["кошка", "äöü"], ["猫", "\U0001f408"], ["a\nb", "\udcff"]],
    ids=["markup", "long", "letters", "pictographs", "odd"],
)
@pytest.mark.parametrize("terms", ["flip", "cutmix"])
def test_any_name_can_be_written(names, terms):
    squares = draw_squares(2)
    assert preview(squares, terms, names).shape == preview(squares, terms).shape


def test_names_and_shares_are_written():
    squares = draw_squares(2)
    assert not np.array_equal(preview(squares, names=["cat", "dog"]), preview(squares, names=["cat", "bird"]))
    # A second line under each picture says how much the other label counts.
    assert preview(squares, "mixup").shape[0] > preview(squares, "flip").shape[0]


def test_many_changes_are_named_in_several_lines():
    squares = draw_squares(1)
    assert preview(squares, "distortions light medium").shape[0] > preview(squares, "flip").shape[0]


def test_same_pictures_same_bytes():
    squares = draw_squares(2)
    assert np.array_equal(preview(squares, "strong"), preview(squares, "strong"))
    assert not np.array_equal(preview(squares, "strong"), preview(squares, "strong", seed=1))
