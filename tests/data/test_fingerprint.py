"""A fingerprint hardly changes where a picture does, and changes its signs where the picture is mirrored."""

import io

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from telltale.data.duplicates import RADIUS
from telltale.data.fingerprint import BYTES, SCALE, SIDE, fingerprint, fingerprint_matrix, mirror
from telltale.data.measures import measure


def draw_scene(number, height=96, width=128):
    """A picture with large and small patches of colour, as photos have them; no two numbers look alike."""
    rng = np.random.default_rng([7, number])
    scene = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60), (6, 45), (12, 30), (24, 15)):
        patches = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        scene += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + rng.uniform(70, 170, 3) + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)


def look(pixels):
    return np.frombuffer(measure(pixels).fingerprint, np.int8).astype(np.float32)


def distance(one, other):
    return float(np.linalg.norm(look(one) - look(other))) * SCALE


def save_again(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def scale(pixels, factor):
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((round(image.width * factor), round(image.height * factor))))


def brighten(pixels, factor):
    return np.clip(pixels * factor, 0, 255).astype(np.uint8)


def crop(pixels, share=0.03):
    rows, columns = (round(side * share) for side in pixels.shape[:2])
    return pixels[rows // 3 : pixels.shape[0] - rows + rows // 3, columns // 2 : pixels.shape[1] - columns // 2]


CHANGES = {
    "saved again at 95": (lambda pixels: save_again(pixels, 95), 0.05),
    "saved again at 40": (lambda pixels: save_again(pixels, 40), 0.1),
    "half": (lambda pixels: scale(pixels, 0.5), 0.1),
    "double": (lambda pixels: scale(pixels, 2), 0.1),
    "brighter": (lambda pixels: brighten(pixels, 1.2), RADIUS),
    "darker": (lambda pixels: brighten(pixels, 0.8), RADIUS),
    "cropped": (crop, RADIUS),
    "all at once": (lambda pixels: save_again(brighten(crop(scale(pixels, 0.7)), 1.15), 60), RADIUS),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_copy_has_nearly_the_same_fingerprint(kind):
    change, most = CHANGES[kind]
    for number in range(20):
        scene = draw_scene(number)
        assert distance(change(scene), scene) <= most


def test_different_pictures_are_far_apart():
    looks = np.stack([look(draw_scene(number)) for number in range(60)])
    apart = np.linalg.norm(looks[:, None] - looks[None], axis=2)[np.triu_indices(60, 1)] * SCALE
    assert apart.min() > 2 * RADIUS


def test_mirroring_a_fingerprint_is_mirroring_the_picture():
    for number in range(20):
        scene = draw_scene(number)
        flipped = look(np.ascontiguousarray(scene[:, ::-1]))
        assert np.abs(mirror(look(scene).astype(np.int8)) - flipped).max() <= 1
        assert np.abs(flipped - look(scene)).max() > 20, "it is another fingerprint"


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.integers(-127, 127), min_size=BYTES, max_size=BYTES))
def test_mirroring_twice_gives_the_same(values):
    one = np.array([values], np.int8)
    np.testing.assert_array_equal(mirror(mirror(one)), one)
    assert mirror(one).dtype == np.int8


@pytest.mark.parametrize("spread", [0, 1, 1.9, 2.1, 10])
def test_a_picture_needs_some_contrast_to_have_one(spread):
    square = np.full((SIDE, SIDE, 3), 100, np.float32)
    square[::2] += spread
    square[1::2] -= spread
    rounded = square.astype(np.uint8)
    assert (fingerprint(rounded[..., 0], rounded) is None) == (rounded[..., 0].std() < 2)


def test_contrast_and_brightness_do_not_count_for_the_shape():
    square = cv2.resize(draw_scene(1), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    pale = (square * 0.3 + 90).astype(np.uint8)
    one, other = (
        np.frombuffer(fingerprint(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), each), np.int8).astype(int)
        for each in (square, pale)
    )
    assert np.abs(one - other)[:48].max() <= 2


def test_colour_counts():
    scene = draw_scene(2)
    grey = np.repeat(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert distance(scene, grey) > 0.1
    assert not look(grey)[48:].any()


ROWS = [b"a" * BYTES, None, b"b" * BYTES, b"c" * BYTES, None]


@pytest.mark.parametrize(
    ("column", "rows", "letters"),
    [
        (pa.chunked_array([], pa.binary(BYTES)), [], ""),
        (pa.chunked_array([pa.array([], pa.binary(BYTES))]), [], ""),
        (pa.chunked_array([pa.array([None, None], pa.binary(BYTES))]), [], ""),
        (pa.chunked_array([pa.array(ROWS, pa.binary(BYTES))]), [0, 2, 3], "abc"),
        (pa.chunked_array([pa.array(ROWS, pa.binary(BYTES)).slice(1, 2)]), [1], "b"),
        (pa.chunked_array([pa.array(ROWS[2:4], pa.binary(BYTES)).slice(1)]), [0], "c"),
        (pa.chunked_array([pa.array(ROWS, pa.binary(BYTES))] * 2).slice(2, 6), [0, 1, 3, 5], "bcab"),
    ],
    ids=["no chunk", "no row", "nulls", "one chunk", "a slice", "a slice without nulls", "a slice of two chunks"],
)
def test_fingerprints_are_read_from_any_column(column, rows, letters):
    found, points = fingerprint_matrix(column)
    assert found.tolist() == rows
    assert points.shape == (len(rows), BYTES) and points[:, 0].tolist() == [ord(letter) for letter in letters]
