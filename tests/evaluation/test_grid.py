"""Pictures of any size, with names from anywhere, side by side."""

import io

import numpy as np
import pytest
from PIL import Image

from telltale.evaluation.grid import MOST, WRONG, draw_grid

RED = np.full((20, 30, 3), (200, 0, 0), np.uint8)


def colours(png):
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return {colour for _, colour in image.getcolors(1 << 24)}


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (64, 64), (900, 700)], ids=str)
def test_any_picture_is_shown_whole_in_its_tile(shape):
    png = draw_grid([np.full((*shape, 3), (0, 200, 0), np.uint8)], true=["cat"], predicted=["cat"])
    assert (0, 200, 0) in colours(png)


def test_a_wrong_answer_is_seen():
    right = draw_grid([RED], true=["cat"], predicted=["cat"])
    wrong = draw_grid([RED], true=["cat"], predicted=["dog"])
    assert WRONG not in colours(right)
    assert WRONG in colours(wrong)


@pytest.mark.parametrize("count", [0, 1, 6, 7, 24, 40])
def test_the_picture_grows_with_the_rows_up_to_a_limit(count):
    image = Image.open(io.BytesIO(draw_grid([RED] * count, true=["cat"] * count, predicted=["dog"] * count)))
    rows = -(-min(count, MOST) // 6)
    assert image.height == 88 + rows * 194


@pytest.mark.parametrize("name", ["", "a" * 500, "line\nbreak", "\x1b[31m", "猫と犬", "Straße"])
def test_any_name_can_be_written(name):
    assert draw_grid([RED], true=[name], predicted=["cat"]).startswith(b"\x89PNG")
