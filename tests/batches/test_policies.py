"""RandAugment and TrivialAugment: the operations of torchvision, each picture its own."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from telltale.batches.augmentation import parse_augmentation
from telltale.batches.chance import Chance
from telltale.batches.policies import OPERATIONS, draw_layers

NAMES = [operation.name for operation in OPERATIONS]
THEIRS = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "colour": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip


def layers_of(term, count=3000, epoch=1):
    terms = {one.name: one for one in parse_augmentation([term]).terms}
    return draw_layers(terms, Chance(0, epoch, np.arange(count)))


def draw_photo(size=48):
    """Smooth, with some noise: every operation changes it."""
    rows, columns = np.indices((size, size)) / size
    rng = np.random.default_rng(0)
    planes = [60 + 120 * rows, 200 - 100 * columns, 90 + 60 * np.sin(6 * rows * columns)]
    return np.clip(np.stack(planes, axis=-1) + rng.normal(0, 6, (size, size, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("table", "kind"), [("rand", v2.RandAugment), ("wide", v2.TrivialAugmentWide)])
def test_operations_and_their_ranges_are_those_of_torchvision(table, kind):
    space = kind()._AUGMENTATION_SPACE
    assert {THEIRS[name] for name in NAMES} == set(space)
    for operation in OPERATIONS:
        magnitudes, signed = space[THEIRS[operation.name]]
        # 1000 pixels, so that a share of the side shows; TrivialAugment's 32 pixels are meant for 224.
        side = 224 if table == "wide" else 1000
        values = magnitudes(31, side, side)
        if values is None:
            assert not np.any(getattr(operation, table))
            continue
        start, end = getattr(operation, table)
        scale = {"translate_x": side, "translate_y": side, "solarize": 1 / 255}.get(operation.name, 1)
        np.testing.assert_allclose([start * scale, end * scale], [values[0], values[-1]], rtol=1e-5)
        assert operation.signed == signed


@pytest.mark.parametrize("term", ["randaugment=2:9", "trivialaugment"])
def test_each_picture_draws_one_of_fourteen_all_as_likely(term):
    for layer in layers_of(term):
        counts = np.bincount(layer.operations, minlength=len(OPERATIONS))
        expected = len(layer.operations) / len(OPERATIONS)
        assert len(counts) == 14
        assert ((counts - expected) ** 2 / expected).sum() < 34.5  # chi-squared with 13 degrees, once in a thousand


def test_layers_are_drawn_apart():
    first, second = layers_of("randaugment=2:9")
    assert abs((first.operations == second.operations).mean() - 1 / 14) < 0.02


def test_randaugment_has_one_magnitude_and_both_signs():
    (layer,) = layers_of("randaugment=1:15")
    for operation in OPERATIONS:
        found = np.unique(layer.drawn[layer.drew(operation.name)].round(9))
        value = sum(operation.rand) / 2
        expected = {-value, value} if operation.signed else {value}
        np.testing.assert_allclose(found, sorted(expected), atol=1e-9)


def test_trivialaugment_has_31_magnitudes():
    (layer,) = layers_of("trivialaugment", count=20_000)
    angles = layer.values("rotate")[layer.drew("rotate")]
    assert len(np.unique(np.abs(angles).round(9))) == 31
    assert 0.45 < (angles < 0).mean() < 0.55
    assert np.abs(angles).max() == pytest.approx(135)


def test_a_policy_spares_the_others():
    (layer,) = layers_of("trivialaugment@0.2")
    assert (layer.operations == 0).mean() == pytest.approx(0.8 + 0.2 / 14, abs=0.03)


@pytest.mark.parametrize("term", ["trivialaugment", "randaugment=1:20"])
def test_pixels_are_those_of_torchvision(term):
    """Colours and tones within two levels, because torchvision rounds after each; geometry in the next test."""
    photo = draw_photo()
    count = 150
    (layer,) = layers_of(term, count)
    squares = torch.from_numpy(np.repeat(photo[None], count, axis=0))
    changed = parse_augmentation([term]).apply(squares, np.arange(count), seed=0, epoch=1).numpy()
    picture = torch.from_numpy(photo).permute(2, 0, 1)
    seen = set()
    for one, place, value in zip(changed, layer.operations, layer.drawn, strict=True):
        name = NAMES[place]
        theirs = {
            "identity": lambda value: picture,
            "brightness": lambda value: functional.adjust_brightness(picture, 1 + value),
            "colour": lambda value: functional.adjust_saturation(picture, 1 + value),
            "contrast": lambda value: functional.adjust_contrast(picture, 1 + value),
            "sharpness": lambda value: functional.adjust_sharpness(picture, 1 + value),
            "posterize": lambda value: functional.posterize(picture, round(value)),
            "solarize": lambda value: functional.solarize(picture, value),
            "autocontrast": lambda value: functional.autocontrast(picture),
            "equalize": lambda value: functional.equalize(picture),
        }.get(name)
        if theirs:
            seen.add(name)
            np.testing.assert_allclose(one, theirs(float(value)).numpy(), atol=2, err_msg=f"{name} {value}")
    assert len(seen) == 9


def test_geometry_is_that_of_torchvision():
    """Where torchvision has pixels of the picture; a shear about the middle, as everything here."""
    photo = draw_photo(64)
    count = 120
    (layer,) = layers_of("trivialaugment", count)
    squares = torch.from_numpy(np.repeat(photo[None], count, axis=0))
    changed = parse_augmentation(["trivialaugment"]).apply(squares, np.arange(count), seed=0, epoch=1)
    picture = torch.from_numpy(photo).permute(2, 0, 1).float()
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    seen = set()
    for one, place, value in zip(changed, layer.operations, layer.drawn.tolist(), strict=True):
        slant = float(np.degrees(np.arctan(value)))
        moved = {
            "rotate": {"angle": -value},  # `affine` turns clockwise, `rotate` does not
            "translate_x": {"translate": [value * 64, 0]},
            "translate_y": {"translate": [0, value * 64]},
            "shear_x": {"shear": [slant, 0.0]},
            "shear_y": {"shear": [0.0, slant]},
        }.get(NAMES[place])
        if moved:
            seen.add(NAMES[place])
            both = torch.stack([picture, torch.ones_like(picture)])
            theirs, inside = functional.affine(both, interpolation=v2.InterpolationMode.BILINEAR, **{**still, **moved})
            there = inside > 0.999
            assert there.float().mean() > 0.3
            assert (one - theirs)[there].abs().max() < 1, f"{NAMES[place]} {value}"
    assert len(seen) == 5
