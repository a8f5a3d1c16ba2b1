"""Colours: each change does what its word says, and all of them together what they do one after the other."""

import numpy as np
import pytest
import torch

from telltale.batches.augmentation import parse_augmentation

LUMA = np.array([0.299, 0.587, 0.114])
SIZE = 24


def draw_squares(count=6, low=60, high=180):
    """Of middling brightness, so that nothing is cut off at 0 or 255."""
    rng = np.random.default_rng(0)
    grounds = rng.integers(low, high, (count, 1, 1, 3))
    return np.clip(grounds + rng.integers(-30, 31, (count, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


def change(terms, squares):
    """Float `[n, size, size, 3]`."""
    augmentation = parse_augmentation(terms.split())
    changed = augmentation.apply(torch.from_numpy(squares), np.arange(len(squares)), seed=0, epoch=1)
    return changed.permute(0, 2, 3, 1).double().numpy()


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.2])
def test_brightness_multiplies_every_value(factor):
    squares = draw_squares()
    np.testing.assert_allclose(change(f"brightness={factor}:{factor}", squares), squares * factor, atol=1e-3)


def test_brightness_is_cut_off_at_255():
    squares = draw_squares(high=250)
    assert change("brightness=2:2", squares).max() == 255


@pytest.mark.parametrize("factor", [0.4, 1.3])
def test_contrast_keeps_the_mean_grey_and_multiplies_the_distance_from_it(factor):
    squares = draw_squares()
    changed = change(f"contrast={factor}:{factor}", squares)
    grey = (squares @ LUMA).mean(axis=(1, 2))[:, None, None, None]
    np.testing.assert_allclose(changed, grey + factor * (squares - grey), atol=2e-3)
    np.testing.assert_allclose((changed @ LUMA).mean(axis=(1, 2)), grey.ravel(), atol=1e-2)


@pytest.mark.parametrize("factor", [0.05, 0.5, 1.4])
def test_saturation_multiplies_the_distance_from_the_grey_of_the_pixel(factor):
    squares = draw_squares()
    grey = (squares @ LUMA)[..., None]
    changed = change(f"saturation={factor}:{factor}", squares)
    np.testing.assert_allclose(changed, grey + factor * (squares - grey), atol=2e-3)


def test_rgb_shift_adds_to_each_channel_another_value():
    squares = draw_squares(40)
    added = change("rgb_shift=20", squares) - squares
    np.testing.assert_allclose(added, added[:, :1, :1].repeat(SIZE, 1).repeat(SIZE, 2), atol=1e-3)
    added = added[:, 0, 0]
    assert np.abs(added).max() <= 20.001 and np.abs(added).max() > 18
    assert np.abs(np.corrcoef(added.T) - np.eye(3)).max() < 0.5


def test_a_hue_of_a_full_turn_is_none():
    squares = draw_squares()
    np.testing.assert_allclose(change("hue=360:360", squares), squares, atol=1e-3)
    np.testing.assert_allclose(change("hue=-360:-360", squares), squares, atol=1e-3)


def test_a_hue_keeps_the_luma_and_leaves_greys_alone():
    squares = draw_squares()
    changed = change("hue=40:40", squares)
    assert np.abs(changed - squares).max() > 10
    np.testing.assert_allclose(changed @ LUMA, squares @ LUMA, atol=0.05)
    grey = np.full((1, SIZE, SIZE, 3), 90, np.uint8)
    np.testing.assert_allclose(change("hue=90:90", grey), grey, atol=0.05)


def test_three_hues_of_a_third_are_a_full_turn():
    """Red becomes a kind of green, green a kind of blue: the angle goes one way round."""
    square = np.full((1, SIZE, SIZE, 3), (150, 110, 110), np.uint8)
    once = change("hue=120:120", square)[0, 0, 0]
    twice = change("hue=240:240", square)[0, 0, 0]
    assert sorted([square[0, 0, 0].argmax(), once.argmax(), twice.argmax()]) == [0, 1, 2]
    np.testing.assert_allclose((square[0, 0, 0] + once + twice) / 3, square[0, 0, 0] @ LUMA, atol=0.01)


def test_all_together_are_one_after_the_other():
    squares = draw_squares(low=100, high=140)
    step = squares * 1.1
    grey = (step @ LUMA).mean(axis=(1, 2))[:, None, None, None]
    step = grey + 0.8 * (step - grey)
    grey = (step @ LUMA)[..., None]
    step = grey + 1.2 * (step - grey)
    changed = change("saturation=1.2:1.2 contrast=0.8:0.8 rgb_shift=7:7 brightness=1.1:1.1", squares)
    np.testing.assert_allclose(changed, step + 7, atol=2e-3)


def test_contrast_measures_the_picture_before_it_moves():
    """Half black, half white, and zoomed into the white half: the mean is still that of the whole."""
    square = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    square[:, :, SIZE // 2 :] = 200
    changed = change("contrast=0.5:0.5 shift=-0.5:-0.5", square)
    np.testing.assert_allclose(changed[:, :, : SIZE // 2 - 1], 150, atol=0.01)
