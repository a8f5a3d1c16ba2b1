"""A heat map over its picture: readable without telling colours apart, whatever the picture."""

import io

import numpy as np
import pytest
from PIL import Image

from telltale.evaluation.grid import WRONG
from telltale.evaluation.heat_picture import HEAT, MOST, UNSEEN, Explained, draw_explained, overlay

GREY = np.array([0.299, 0.587, 0.114])


def test_the_colours_rise_in_lightness():
    lightness = [float(GREY @ stop) for stop in HEAT]
    assert lightness == sorted(lightness)
    assert lightness[-1] - lightness[0] > 150


@pytest.mark.parametrize("level", [0, 90, 255])
def test_the_hottest_place_is_seen_on_any_ground(level):
    pixels = np.full((8, 9, 3), level, np.uint8)
    heat = np.zeros((8, 9), np.float32)
    heat[2, 3] = 1
    shown = overlay(pixels, heat).astype(int)
    assert shown.shape == (8, 9, 3)
    cold = shown[heat == 0]
    assert np.ptp(cold) == 0, "what says nothing is grey, all of it alike"
    assert np.abs(shown[2, 3] - cold[0]).max() > 50


def test_the_picture_is_still_recognised_where_it_is_hot():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    shown = overlay(pixels, np.ones((4, 8), np.float32)).astype(int)
    assert (shown[:, 4:] - shown[:, :4]).min() > 40


def test_what_the_network_does_not_see_is_pale():
    heat = np.array([[np.nan, 0.0, 1.0]], np.float32)
    pale, cold, hot = overlay(np.zeros((1, 3, 3), np.uint8), heat)[0].astype(int)
    assert pale.min() > 150 > cold.max()
    assert np.abs(pale - UNSEEN).max() < 80
    assert hot.max() > cold.max()


def explained(true="cat", predicted="dog", shape=(20, 30)):
    pixels = np.full((*shape, 3), (0, 200, 0), np.uint8)
    return Explained(pixels, overlay(pixels, np.ones(shape, np.float32)), true, predicted, 0.9)


@pytest.mark.parametrize("count", [0, 1, 3, 4, MOST, 30])
def test_mistakes_stand_beside_what_spoke_for_them(count):
    image = Image.open(io.BytesIO(draw_explained("Mistakes", [explained()] * count))).convert("RGB")
    assert image.height == 96 + -(-min(count, MOST) // 3) * 198 + 16
    colours = {colour for _, colour in image.getcolors(1 << 24)}
    assert ((0, 200, 0) in colours, WRONG in colours) == (count > 0, count > 0)


@pytest.mark.parametrize("name", ["", "a" * 500, "line\nbreak", "\x1b[31m", "猫と犬"])
def test_any_name_can_be_written(name):
    assert draw_explained("", [explained(name, name), explained("x", name, (1, 400))]).startswith(b"\x89PNG")
