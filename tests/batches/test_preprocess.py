"""Every picture, however odd its shape, becomes the square that the network sees, always the same one."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from telltale.batches.preprocess import RESIZES, Preprocess, shrink
from telltale.errors import RecipeError

SIDES = st.one_of(st.sampled_from([1, 2, 3]), st.integers(1, 300))
TARGETS = st.integers(8, 64)


def draw_gradient(height, width):
    """A smooth picture: colours that turn slowly over it."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(3 * x + y), np.cos(2 * y - x), np.sin(4 * x * y + 1)]
    return (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def draw_noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=80, deadline=None)
@given(height=SIDES, width=SIDES, size=TARGETS, resize=st.sampled_from(RESIZES))
def test_the_square_has_its_size_and_is_always_the_same(height, width, size, resize):
    pixels = draw_noise(height, width)
    kept = pixels.copy()
    preprocess = Preprocess(size, resize)
    square = preprocess.apply(pixels)
    assert square.shape == (size, size, 3) and square.dtype == np.uint8 and square.flags.c_contiguous
    np.testing.assert_array_equal(preprocess.apply(pixels), square)
    np.testing.assert_array_equal(pixels, kept)


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, size=TARGETS, colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_one_colour_stays_that_colour(height, width, size, colour):
    pixels = np.full((height, width, 3), colour, np.uint8)
    for resize in ("crop", "squash"):
        assert (Preprocess(size, resize).apply(pixels) == colour).all(), resize


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, size=TARGETS)
def test_pad_shows_all_of_the_picture_in_the_middle_of_grey(height, width, size):
    square = Preprocess(size, "pad").apply(np.full((height, width, 3), 9, np.uint8))
    inside = (square == 9).all(axis=-1)
    assert ((square == 128).all(axis=-1) | inside).all()
    shown = [np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)]
    for found, side in zip(shown, (height, width), strict=True):
        length = max(1, round(side * size / max(height, width)))
        assert len(found) == length and found[-1] - found[0] == length - 1
        before, after = found[0], size - 1 - found[-1]
        assert abs(before - after) <= 1
    assert inside.sum() == len(shown[0]) * len(shown[1])


@pytest.mark.parametrize("resize", RESIZES)
def test_a_picture_of_the_right_size_is_left_alone(resize):
    pixels = draw_noise(32, 32)
    np.testing.assert_array_equal(Preprocess(32, resize).apply(pixels), pixels)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32), (32, 47), (33, 32)])
def test_crop_takes_the_middle(height, width):
    pixels = draw_noise(height, width)
    top, left = (height - 32) // 2, (width - 32) // 2
    square = Preprocess(32, "crop").apply(pixels)
    np.testing.assert_array_equal(square, pixels[top : top + 32, left : left + 32])


def test_crop_keeps_proportions_and_squash_does_not():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 200
    assert (Preprocess(20, "crop").apply(pixels) == 200).all()
    squashed = Preprocess(20, "squash").apply(pixels)
    assert (squashed[:, 6:14] == 200).all() and (squashed[:, :4] == 0).all() and (squashed[:, 16:] == 0).all()


CASES = [((240, 320), 64), ((224, 224), 224), ((500, 375), 160), ((97, 301), 40), ((50, 60), 64), ((20, 30), 48)]


@pytest.mark.parametrize(("shape", "size"), CASES, ids=str)
def test_a_smooth_picture_is_within_two_levels_of_pillows_antialiased_one(shape, size):
    pixels = draw_gradient(*shape)
    ours = shrink(pixels, size, size).astype(int)
    theirs = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(ours - theirs).mean() < 2


def test_a_fine_pattern_does_not_alias():
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[::2, ::2] = pixels[1::2, 1::2] = 255
    small = shrink(pixels, 64, 64)
    assert abs(int(small.min()) - 127) <= 1 and abs(int(small.max()) - 127) <= 1


@given(
    size=st.integers(8, 4096),
    resize=st.sampled_from(RESIZES),
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.01, 1)] * 3),
)
def test_settings_come_back_from_json(size, resize, mean, std):
    preprocess = Preprocess(size, resize, mean, std)
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize("size", [-1, 0, 7, 4097])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(RecipeError, match=rf"The input size is {size}\. 8 to 4096 pixels\. Give another --img-size"):
        Preprocess(size)


@pytest.mark.parametrize("resize", ["", "Crop", "stretch"])
def test_a_resize_that_is_not_known_is_refused(resize):
    with pytest.raises(RecipeError, match=rf"The resize is '{resize}'\. One of crop, squash, pad\. Give one of them"):
        Preprocess(resize=resize)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(60, 200), width=st.integers(60, 200), resize=st.sampled_from(RESIZES))
def test_a_map_of_the_square_lies_where_the_network_saw_it(height, width, resize):
    preprocess = Preprocess(64, resize)
    picture = draw_gradient(height, width)
    heat = preprocess.apply(picture)[..., 0].astype(np.float32) / 255
    placed = preprocess.place_back(heat, height, width)
    assert placed.shape == (height, width) and placed.dtype == np.float32
    seen = np.isfinite(placed)
    side = min(height, width)
    assert seen.sum() == (side * side if resize == "crop" else height * width)
    assert np.nanmin(placed) >= 0 and np.nanmax(placed) <= 1
    # Most of it: at the edges of a padded picture the grey around it shines in.
    assert np.median(np.abs(placed[seen] - picture[..., 0][seen] / 255)) < 0.04


@pytest.mark.parametrize("shape", [(1, 1), (1, 30_000), (30_000, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("resize", RESIZES)
def test_a_map_is_laid_over_any_picture(resize, shape):
    placed = Preprocess(8, resize).place_back(np.ones((1, 1), np.float32), *shape)
    assert placed.shape == shape
    np.testing.assert_allclose(placed[np.isfinite(placed)], 1, rtol=1e-6)
