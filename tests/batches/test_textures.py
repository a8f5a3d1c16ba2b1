"""Blur, noise and cutout: as strong as they say, and nowhere else."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from telltale.batches.augmentation import parse_augmentation
from telltale.batches.textures import add_noise


def change(terms, squares, rows=None, epoch=1):
    """Float `[n, size, size, 3]`."""
    rows = np.arange(len(squares)) if rows is None else np.asarray(rows)
    changed = parse_augmentation(terms.split()).apply(torch.from_numpy(squares), rows, seed=0, epoch=epoch)
    return changed.permute(0, 2, 3, 1).double().numpy()


def draw_grey(count, size, value=128):
    return np.full((count, size, size, 3), value, np.uint8)


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3])
def test_blur_is_a_gaussian_of_its_standard_deviation(sigma):
    point = np.zeros((1, 41, 41, 3), np.uint8)
    point[0, 20, 20] = 255
    blurred = change(f"blur={sigma}:{sigma}@1", point)[0, :, :, 0]
    away = np.arange(41) - 20
    bell = np.exp(-(away**2) / (2 * sigma**2))
    np.testing.assert_allclose(blurred, 255 * np.outer(bell, bell) / bell.sum() ** 2, atol=0.3)
    assert blurred.sum() == pytest.approx(255, rel=1e-4)


def test_blur_is_near_to_that_of_pillow():
    rng = np.random.default_rng(0)
    square = rng.integers(0, 256, (8, 8, 3)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    blurred = change("blur=2:2@1", square[None])[0]
    theirs = np.asarray(Image.fromarray(square).filter(ImageFilter.GaussianBlur(2)), float)
    assert np.abs(blurred - theirs).mean() < 1.5


def test_no_blur_is_no_change_and_a_wide_one_fits_a_small_picture():
    squares = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.testing.assert_allclose(change("blur=0@1", squares), squares, atol=1e-4)
    flat = change("blur=10:10@1", squares)
    assert flat.std(axis=(1, 2)).max() < squares.std(axis=(1, 2)).min() / 2
    np.testing.assert_allclose(change("blur=10:10@1", draw_grey(1, 8)), 128, atol=1e-3)


def test_noise_is_gaussian_of_its_standard_deviation_on_every_pixel_and_channel():
    noise = change("noise=20:20@1", draw_grey(1, 160))[0] - 128
    assert abs(noise.mean()) < 0.5
    assert noise.std() == pytest.approx(20, rel=0.02)
    flat = noise.ravel() / 20
    assert (flat**4).mean() == pytest.approx(3, abs=0.15)
    assert (np.abs(flat) < 1).mean() == pytest.approx(0.683, abs=0.01)
    assert (np.abs(flat) < 2).mean() == pytest.approx(0.954, abs=0.006)
    channels = np.corrcoef(noise.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 0.03
    for side in (0, 1):
        neighbours = np.corrcoef(noise[:-1, :-1].ravel(), np.roll(noise, -1, side)[:-1, :-1].ravel())[0, 1]
        assert abs(neighbours) < 0.02
    power = np.abs(np.fft.fft2(noise[..., 0])) ** 2
    assert power.max() < 30 * power.mean()


def test_noise_of_two_pictures_or_epochs_has_nothing_in_common():
    one, two = change("noise=20:20@1", draw_grey(2, 80))
    again = change("noise=20:20@1", draw_grey(1, 80), epoch=2)[0]
    for other in (two, again):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03


def test_noise_is_made_of_numbers_that_are_the_same_on_every_device():
    """Whole numbers and a table: what NumPy makes of them on its own is equal to the last bit."""
    size, seed = 12, (54321, 43210)
    numbers = {"noise": torch.tensor([[1.0, *seed]])}
    found = add_noise(torch.full((1, 3, size, size), 100.0), numbers)[0].numpy() - 100
    words = (np.arange(size**2, dtype=np.uint64) + seed[0] + (seed[1] << 16)) & 0xFFFFFFFF
    for bits, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        words = (words ^ (words >> np.uint64(bits))) * np.uint64(factor) & np.uint64(0xFFFFFFFF)
    levels = np.stack([(words >> np.uint64(10 * channel)) & np.uint64(1023) for channel in range(3)])
    order = found.reshape(3, -1)
    values, ranks = np.unique(levels, return_index=True)
    assert len(values) > 150
    assert (np.diff(order.ravel()[ranks]) > 0).all(), "a higher level is a higher value"
    for level in values:
        assert np.ptp(order[levels == level]) == 0


def test_a_cutout_is_a_grey_rectangle_of_its_size_and_the_rest_stays():
    squares = np.random.default_rng(0).integers(0, 100, (60, 40, 40, 3), np.uint8)
    changed = change("cutout=0.25:0.5@1", squares)
    grey = (changed == 128).all(axis=3)
    np.testing.assert_array_equal(changed[~grey], squares[~grey])
    inner = 0
    for one in grey:
        rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        assert one.sum() == len(rows) * len(columns)
        assert max(len(rows), len(columns)) <= 20
        if rows[0] > 0 and rows[-1] < 39 and columns[0] > 0 and columns[-1] < 39:
            inner += 1
            assert min(len(rows), len(columns)) >= 10
    assert 10 < inner < 60


def test_middles_of_cutouts_lie_anywhere():
    """A rectangle reaches over the edge where its middle lies near it: each quarter is covered as often."""
    grey = (change("cutout=0.2@1", draw_grey(500, 40, 7)) == 128).all(axis=3).mean(axis=0)
    quarters = [block.mean() for half in np.split(grey, 2) for block in np.split(half, 2, axis=1)]
    np.testing.assert_allclose(quarters, 0.04 * (1 - 0.05) ** 2, rtol=0.25)
    assert grey[8:32, 8:32].min() > 0.01 and grey[0, 0] > 0


@pytest.mark.parametrize(("term", "share"), [("blur=2:2@0.3", 0.3), ("noise=9:9", 0.5), ("cutout@0.8", 0.8)])
def test_as_many_pictures_are_changed_as_the_probability_says(term, share):
    squares = np.random.default_rng(0).integers(0, 256, (300, 12, 12, 3), np.uint8)
    changed = (change(term, squares) != squares).any(axis=(1, 2, 3)).mean()
    assert abs(changed - share) < 0.1
