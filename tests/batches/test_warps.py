"""Geometry, on a picture whose red is the number of the column and whose green is that of the row: after a change, a
pixel's colour says where it came from."""

import cv2
import numpy as np
import pytest
import torch

from telltale.batches.augmentation import parse_augmentation

SIZE = 256
INNER = slice(100, 156)


def draw_places(count=1):
    rows, columns = np.indices((SIZE, SIZE))
    places = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    return torch.from_numpy(np.tile(places, (count, 1, 1, 1)))


def places_after(terms, count=1, epoch=1):
    """Float `[count, 256, 256, 2]`: x and y in the picture as it came, for each pixel of the changed one."""
    augmentation = parse_augmentation(terms.split())
    changed = augmentation.apply(draw_places(count), np.arange(count), seed=0, epoch=epoch)
    return changed[:, :2].permute(0, 2, 3, 1).double().numpy()


def slopes(places):
    """`[[dx/dx', dx/dy'], [dy/dx', dy/dy']]` of each picture, in its middle, where nothing is mirrored."""
    inner = places[:, INNER, INNER]
    across, down = np.diff(inner, axis=2).mean(axis=(1, 2)), np.diff(inner, axis=1).mean(axis=(1, 2))
    return np.stack([across, down], axis=2)


def draw_bar(size=33):
    square = np.zeros((size, size, 3), np.uint8)
    square[4:9, 6:20] = (250, 100, 40)
    square[20:30, 25:28] = (10, 200, 90)
    return square


@pytest.mark.parametrize("turns", [-1, 0, 1, 2])
@pytest.mark.parametrize("size", [32, 33])
def test_a_rotation_by_right_angles_is_that_of_numpy(turns, size):
    bar = draw_bar(size)
    term = f"rotation={90 * turns}:{90 * turns}"
    turned = parse_augmentation([term]).apply(torch.from_numpy(bar[None]), np.array([0]), seed=0, epoch=1)
    np.testing.assert_allclose(turned[0].permute(1, 2, 0), np.rot90(bar, turns), atol=0.05)


@pytest.mark.parametrize("degrees", [-30, 7, 20, 45])
def test_a_rotation_has_its_angle_and_its_middle(degrees):
    places = places_after(f"rotation={degrees}:{degrees}")
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    np.testing.assert_allclose(slopes(places)[0], [[cosine, -sine], [sine, cosine]], atol=1e-4)
    np.testing.assert_allclose(places[0, 127:129, 127:129].mean(axis=(0, 1)), 127.5, atol=1e-3)


@pytest.mark.parametrize("factor", [0.8, 1.25, 4])
def test_a_zoom_enlarges_about_the_middle(factor):
    places = places_after(f"zoom={factor}:{factor}")
    np.testing.assert_allclose(slopes(places)[0], np.eye(2) / factor, atol=1e-4)
    np.testing.assert_allclose(places[0, 127:129, 127:129].mean(axis=(0, 1)), 127.5, atol=1e-3)


@pytest.mark.parametrize("degrees", [-30, 10])
def test_a_shear_slants_the_rows_or_the_columns(degrees):
    found = slopes(places_after(f"shear={degrees}:{degrees}", count=24))
    slant = np.tan(np.radians(degrees))
    rows, columns = np.array([[1, slant], [0, 1]]), np.array([[1, 0], [slant, 1]])
    of_rows = [np.allclose(one, rows, atol=1e-4) for one in found]
    of_columns = [np.allclose(one, columns, atol=1e-4) for one in found]
    assert 4 <= sum(of_rows) <= 20
    assert sum(of_rows) + sum(of_columns) == 24


def test_a_shift_by_whole_pixels_is_exact_inside_and_mirrored_at_the_edge():
    pixels = 32
    places = places_after(f"shift={pixels / SIZE}:{pixels / SIZE}")[0]
    expected = np.arange(SIZE) - pixels
    assert np.abs(places[..., 0] - np.where(expected < 0, -expected - 1, expected)).max() < 1e-3
    assert np.abs(places[pixels:, :, 1] - np.arange(SIZE - pixels)[:, None]).max() < 1e-3


def test_a_shift_draws_both_directions_apart():
    moved = 127.5 - places_after("shift=0.1", count=40)[:, 127:129, 127:129].mean(axis=(1, 2))
    assert np.abs(moved).max() <= 0.1 * SIZE + 1e-3
    assert np.abs(moved).max() > 0.08 * SIZE
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.5


def test_a_crop_has_its_area_is_nearly_square_and_lies_inside():
    places = places_after("crop=0.3:0.6", count=40)
    found = slopes(places)
    widths, heights = found[:, 0, 0], found[:, 1, 1]
    assert 0.299 < (widths * heights).min() < 0.35 and 0.55 < (widths * heights).max() < 0.601
    assert np.abs(np.log(widths / heights)).max() <= np.log(4 / 3) + 1e-4
    assert np.abs(np.log(widths / heights)).max() > np.log(1.2)
    # Nowhere mirrored: all steps are alike.
    assert np.abs(np.diff(places[..., 0], axis=2) - widths[:, None, None]).max() < 2e-3
    assert np.abs(np.diff(places[..., 1], axis=1) - heights[:, None, None]).max() < 2e-3
    middles = places.mean(axis=(1, 2))
    assert middles.std(axis=0).min() > 10


def test_a_large_crop_is_as_long_as_fits():
    found = slopes(places_after("crop=0.95:0.95", count=30))
    assert np.diagonal(found, axis1=1, axis2=2).max() <= 1 + 1e-4
    np.testing.assert_allclose(found[:, 0, 0] * found[:, 1, 1], 0.95, atol=1e-3)


def test_moves_compose_in_the_order_that_is_documented():
    """First zoomed, then rotated, then shifted: the shift is of the side, not of the zoomed picture."""
    places = places_after("shift=0.125:0.125 rotation=90:90 zoom=2:2")[0]
    np.testing.assert_allclose(places[159:161, 159:161].mean(axis=(0, 1)), 127.5, atol=1e-3)
    np.testing.assert_allclose(slopes(places[None])[0], [[0, -0.5], [0.5, 0]], atol=1e-4)


def test_a_grid_keeps_the_edges_and_never_turns_back():
    places = places_after("grid_distortion=0.9@1", count=20)
    for axis, side in ((0, 2), (1, 1)):
        steps = np.diff(places[..., axis], axis=side)
        assert steps.min() > -1e-3
    across = places[:, 0, :, 0]
    assert across[:, 0].max() < 3 and across[:, -1].min() > 252
    assert np.abs(across - np.arange(SIZE)).max() > 15
    # A column of cells is moved as one: x says nothing of y.
    assert np.abs(places[..., 0] - places[:, :1, :, 0]).max() < 1e-2


def test_columns_of_a_grid_are_as_wide_as_their_value_allows():
    edges = np.linspace(0, SIZE - 1, 6)
    places = places_after("grid_distortion=0.3@1", count=40)[:, 0, :, 0]
    found = np.stack([np.interp(edges, np.arange(SIZE), one) for one in places])
    widths = np.diff(found, axis=1) / (SIZE / 5)
    assert 0.7 / 1.3 < widths.min() < 0.8 and 1.2 < widths.max() < 1.3 / 0.7


@pytest.mark.parametrize("strength", [-0.3, -0.05, 0.05, 0.3])
def test_a_lens_is_that_of_opencv(strength):
    middle = (SIZE - 1) / 2
    camera = np.array([[SIZE, 0, middle], [0, SIZE, middle], [0, 0, 1]], np.float64)
    lens = np.array([strength, strength, 0, 0, 0], np.float64)
    across, down = cv2.initUndistortRectifyMap(camera, lens, None, camera, (SIZE, SIZE), cv2.CV_32FC1)
    places = places_after(f"optical_distortion={strength}:{strength}@1")[0]
    inside = (across >= 0) & (across <= SIZE - 1) & (down >= 0) & (down <= SIZE - 1)
    np.testing.assert_allclose(places[inside], np.stack([across, down], axis=-1)[inside], atol=0.01)
    assert inside.mean() > 0.8


def test_elastic_moves_smoothly_by_no_more_than_its_value_and_folds_nothing():
    places = places_after("elastic=0.1@1", count=12)
    inner = slice(40, 216)
    moved = places - np.stack(np.indices((SIZE, SIZE))[::-1], axis=-1)
    assert np.abs(moved[:, inner, inner]).max() <= 0.1 * SIZE
    assert 3 < moved[:, inner, inner].std() < 12
    assert np.abs(moved[:, inner, inner].mean()) < 2
    steps = [np.diff(places[:, inner, inner, 0], axis=2), np.diff(places[:, inner, inner, 1], axis=1)]
    assert min(one.min() for one in steps) > 0
    assert max(np.abs(np.diff(one, 2, axis=1)).max() for one in steps) < 0.02


def test_what_comes_in_from_outside_is_the_picture():
    """No colour that was not there: a plain picture stays plain, however far it is moved."""
    square = torch.full((8, 40, 40, 3), 77, dtype=torch.uint8)
    terms = ["rotation=180", "zoom=0.2:0.5", "shift=0.9", "shear=50", "elastic=0.2@1", "optical_distortion=0.35@1"]
    changed = parse_augmentation(terms).apply(square, np.arange(8), seed=0, epoch=1)
    np.testing.assert_allclose(changed, 77, atol=1e-3)
