"""Known pictures have known measures, and those of a photo's copies are nearly those of the photo."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from telltale.data.measures import THUMBNAIL, measure
from telltale.data.samples import draw_picture


def plain(*colour, height=40, width=60):
    return np.full((height, width, 3), colour, np.uint8)


def gradient(height=256, width=256):
    """Black on the left, white on the right."""
    return np.repeat(np.tile(np.linspace(0, 255, width).round().astype(np.uint8), (height, 1))[..., None], 3, axis=2)


def board(side=8, height=256, width=256):
    """Black and white squares of `side` pixels."""
    down, across = np.indices((height, width))
    fields = ((down // side + across // side) % 2 * 255).astype(np.uint8)
    return np.repeat(fields[..., None], 3, axis=2)


def noise(seed=0, height=256, width=256):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


KNOWN = {
    "black": (plain(0, 0, 0), {"brightness": 0, "contrast": 0, "low": 0, "high": 0, "sharpness": 0, "colour": 0}),
    "white": (plain(255, 255, 255), {"brightness": 1, "contrast": 0, "low": 1, "high": 1, "sharpness": 0, "colour": 0}),
    "grey": (plain(128, 128, 128), {"brightness": 128 / 255, "contrast": 0, "low": 128 / 255, "high": 128 / 255}),
    "red": (plain(255, 0, 0), {"brightness": 0.298, "contrast": 0, "colour": 1}),
    "gradient": (gradient(), {"brightness": 0.5, "contrast": 12**-0.5, "low": 0.01, "high": 0.99, "colour": 0}),
    "board": (board(), {"brightness": 0.5, "contrast": 0.5, "low": 0, "high": 1, "colour": 0}),
    "one pixel": (plain(255, 255, 255, height=1, width=1), {"brightness": 1, "contrast": 0, "sharpness": 0}),
    "a line": (plain(0, 0, 255, height=1, width=3000), {"brightness": 29 / 255, "contrast": 0, "colour": 1}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_pictures_have_known_measures(name):
    pixels, expected = KNOWN[name]
    found = measure(pixels)
    for measured, value in expected.items():
        assert getattr(found, measured) == pytest.approx(value, abs=0.005), measured


@pytest.mark.parametrize("name", ["black", "white", "grey", "red", "one pixel", "a line"])
def test_flat_pictures_have_no_fingerprint(name):
    assert measure(KNOWN[name][0]).fingerprint is None


@pytest.mark.parametrize("name", ["gradient", "board"])
def test_other_pictures_have_a_fingerprint_of_64_bytes(name):
    assert len(measure(KNOWN[name][0]).fingerprint) == 64


def test_a_picture_with_one_bright_pixel_of_a_thousand_is_flat_in_both_percentiles():
    pixels = plain(0, 0, 0, height=100, width=100)
    pixels[0, :10] = 255
    assert (measure(pixels).low, measure(pixels).high) == (0, 0)
    pixels[:2] = 255
    assert (measure(pixels).low, measure(pixels).high) == (0, 1)


def test_sharpness_falls_where_a_picture_is_blurred_and_not_where_it_is_darker():
    sharp = noise(3, 400, 500)
    found = [measure(np.asarray(cv2.GaussianBlur(sharp, (0, 0), width))).sharpness for width in (1, 2, 4)]
    assert measure(sharp).sharpness > found[0] > found[1] > found[2] > 0
    darker = (sharp * 0.5).astype(np.uint8)
    assert measure(darker).sharpness == pytest.approx(measure(sharp).sharpness, rel=0.03)


@pytest.mark.parametrize("size", [(16, 16), (31, 17), (300, 500), (1000, 20), (5, 900)], ids=str)
def test_a_thumbnail_is_the_whole_picture_in_16_by_16(size):
    pixels = gradient(*size)
    found = np.frombuffer(measure(pixels).thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3)
    goal = (np.arange(THUMBNAIL) + 0.5) * 255 / THUMBNAIL
    assert np.abs(found[:, :, 0] - goal).max() < 12
    assert np.ptp(found.astype(int), axis=0).max() <= 1 and np.ptp(found.astype(int), axis=2).max() == 0


def change(pixels, kind):
    image = Image.fromarray(pixels)
    if kind == "jpeg":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=60)
        return np.asarray(Image.open(file).convert("RGB"))
    factor = {"double": 2, "half": 0.5}[kind]
    return np.asarray(image.resize((round(image.width * factor), round(image.height * factor))))


@pytest.mark.parametrize("kind", ["jpeg", "double", "half"])
@pytest.mark.parametrize("shape", ["bar", "cross", "ring"])
def test_copies_of_a_picture_have_its_measures(shape, kind):
    pixels = draw_picture(shape, np.random.default_rng(5))
    one, other = measure(pixels), measure(change(pixels, kind))
    for name in ("brightness", "contrast", "low", "high", "colour"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=0.05), name


def test_a_large_picture_is_reduced_by_blocks_and_keeps_its_mean():
    pixels = noise(1, 1290, 700)
    assert measure(pixels).brightness == pytest.approx(float((pixels @ [0.299, 0.587, 0.114]).mean()) / 255, abs=0.003)
    assert measure(pixels).contrast < 0.1, "noise goes with the blocks"


def test_rows_that_are_not_contiguous_give_the_same():
    pixels = noise(2, 300, 400)
    turned = np.ascontiguousarray(pixels[:, ::-1])
    assert measure(pixels[:, ::-1]) == measure(turned)
