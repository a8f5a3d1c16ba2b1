"""Curves, bands and ticks lie where they should in the frame."""

import itertools
import math

import pytest

from telltale.delivery.curve_chart import HEIGHT, WIDTH, Point, draw_curves, log_ticks

SIZES = (125, 250, 500, 1000, 2000)


def learning():
    return [Point(size, 0.9 + place / 100, 0.88, 0.96) for place, size in enumerate(SIZES)]


def draw(points, **options):
    return draw_curves("A title", {"all": points}, across="x", up="y", **options)


def test_equal_ratios_lie_at_equal_distances():
    chart = draw(learning(), log=True)
    places = [x for x, _ in chart.curves[0].dots]
    steps = [b - a for a, b in itertools.pairwise(places)]
    assert max(steps) - min(steps) < 0.3
    assert [tick.text for tick in chart.across] == ["200", "500", "1,000", "2,000"]
    assert (chart.across_name, chart.up_name) == ("x", "y")


def test_all_lies_in_the_frame_and_the_band_goes_there_and_back():
    chart = draw(learning(), log=True)
    corners = [tuple(map(float, pair.split(","))) for pair in chart.curves[0].band.split()]
    assert len(corners) == 2 * len(SIZES)
    assert [x for x, _ in corners] == [x for x, _ in reversed(corners)]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in [*corners, *chart.curves[0].dots])
    assert all(0 <= tick.place <= HEIGHT for tick in chart.up)


def test_a_diagonal_runs_through_equal_values():
    chart = draw([Point(0.1, 0.2), Point(0.95, 0.9)], diagonal=True)
    across, up = ({tick.text: tick.place for tick in axis} for axis in (chart.across, chart.up))
    assert across.keys() == up.keys()
    start, end = (tuple(map(float, pair.split(","))) for pair in chart.diagonal.split())
    assert start == (across["0"], up["0"])
    assert end == (across["1"], up["1"])
    assert chart.curves[0].band == ""


@pytest.mark.parametrize(
    "points", [[], [Point(1, math.nan)], [Point(0, 1.0), Point(-1, 0.5)]], ids=["none", "not finite", "below 0"]
)
def test_nothing_is_drawn_of_nothing(points):
    assert draw(points, log=True) is None


def test_one_point_is_drawn_in_the_middle():
    for log in (False, True):
        ((x, _),) = draw([Point(5, 0.5)], log=log).curves[0].dots
        assert 100 < x < WIDTH - 100


@pytest.mark.parametrize("high", [3, 20, 700, 1e5, 1e9, 1e20])
def test_an_axis_of_ratios_has_a_handful_of_ticks(high):
    found = log_ticks(1, high)
    assert 2 <= len(found) <= 7
    assert found[0] >= 1
    assert found[-1] <= high
