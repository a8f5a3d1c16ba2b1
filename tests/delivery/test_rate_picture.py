"""The picture of a learning-rate search: the curve, and a line at the rate to use."""

import io

import numpy as np
import pytest
from PIL import Image

from telltale.delivery.rate_picture import SIZE, draw_rates

RATES = np.geomspace(1e-6, 1, 61).tolist()
LOSSES = [1.0] * 40 + [0.5] * 10 + [4.0] * 11


def read(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("PNG", SIZE)
    return np.asarray(image).astype(int)


def find_mark(page: np.ndarray) -> int:
    """The column with the most dark pixels in the lower half: the line at the rate to use."""
    return int((page[260:450].sum(axis=2) < 300).sum(axis=0).argmax())


def test_the_mark_moves_with_the_rate():
    low, middle, high = (find_mark(read(draw_rates(RATES, LOSSES, best, "why"))) for best in (1e-5, 1e-3, 1e-1))
    assert middle - low == pytest.approx(high - middle, abs=2)  # an axis of powers of ten
    assert middle == pytest.approx(72 + (SIZE[0] - 72 - 36) / 2, abs=2)


def test_the_curve_falls_and_rises():
    blue = [(page := read(draw_rates(RATES, LOSSES, 1e-3, "why")))[:, column] for column in (200, 700, 800)]
    assert page.shape[2] == 3
    rows = [np.flatnonzero(column[:, 2] > column[:, 0] + 80).mean() for column in blue]
    assert rows[1] > rows[0] > rows[2]


@pytest.mark.parametrize(
    ("rates", "losses", "best"),
    [([1e-6], [0.7], 1e-6), ([1e-6, 1e-5], [0.0, 0.0], 1e-6), (RATES, [1e28] * 61, 0.1)],
    ids=["one rate", "flat at nothing", "huge"],
)
def test_odd_curves_are_drawn(rates, losses, best):
    read(draw_rates(rates, losses, best, "why"))
