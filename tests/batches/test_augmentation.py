"""Augmentation as a whole: what is drawn follows from (seed, epoch, row), and what is not drawn is not touched."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from telltale.batches.augmentation import PRESETS, Augmentation, describe_presets, parse_augmentation
from telltale.batches.changes import CHANGES
from telltale.errors import RecipeError

EVERYTHING = [[change.name] for change in CHANGES] + [[preset] for preset in PRESETS]
AT_ONCE = [f"{change.name}@0.5" for change in CHANGES]
UNCHANGED = (
    "rotation=0 shear=0 zoom=1:1 shift=0 crop=1 brightness=1:1 contrast=1:1 rgb_shift=0 hue=0 saturation=1:1"
    " flip@0 vertical_flip@0 transpose@0 blur@0 noise@0 cutout@0 elastic@0 grid_distortion@0 randaugment@0"
).split()


def draw_squares(count, size, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8))


def change(terms, squares, rows=None, seed=0, epoch=1):
    rows = np.arange(len(squares)) if rows is None else np.asarray(rows)
    return parse_augmentation(terms).apply(squares, rows, seed=seed, epoch=epoch)


def plain(squares):
    return squares.permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("terms", [*EVERYTHING, AT_ONCE], ids=lambda terms: terms[0] if len(terms) == 1 else "at once")
def test_any_change_gives_finite_pixels_from_0_to_255_and_leaves_its_input_alone(terms):
    squares = draw_squares(12, 33)
    before = squares.clone()
    changed = change(terms, squares)
    assert torch.equal(squares, before)
    assert changed.shape == (12, 3, 33, 33)
    assert changed.dtype == torch.float32
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(changed).all()
    assert changed.min() >= 0 and changed.max() <= 255
    assert (change([], squares) == plain(squares)).all()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from([*AT_ONCE, "hue@1", "zoom@1", "elastic@1", "noise@1", "blur@1"]), max_size=6),
    st.integers(8, 41),
    st.data(),
)
def test_a_picture_becomes_the_same_in_every_batch(terms, size, data):
    """Bit for bit: whatever lies beside it, in whatever order, in a batch of whatever size."""
    squares, rows = draw_squares(20, size), np.random.default_rng(size).integers(0, 10**9, 20)
    whole = change(terms, squares, rows, seed=7, epoch=3)
    order = data.draw(st.permutations(range(20)))[: data.draw(st.integers(1, 20))]
    part = change(terms, squares[order], rows[order], seed=7, epoch=3)
    assert torch.equal(part, whole[order])


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_a_picture_becomes_the_same_alone_and_on_one_thread(preset):
    squares = draw_squares(16, 40)
    whole = change([preset], squares)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        for row in range(16):
            assert torch.equal(change([preset], squares[row : row + 1], [row])[0], whole[row])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_another_seed_epoch_or_row_changes_otherwise(preset):
    squares = draw_squares(1, 40).repeat(8, 1, 1, 1)
    first = change([preset], squares)
    assert torch.equal(first, change([preset], squares))
    assert not torch.equal(first, change([preset], squares, seed=1))
    assert not torch.equal(first, change([preset], squares, epoch=2))
    assert len({one.numpy().tobytes() for one in first}) >= 2


def test_a_change_draws_the_same_whether_or_not_there_are_others():
    squares = draw_squares(40, 16)
    alone = change(["cutout=0.3@0.5"], squares)
    together = change(["flip", "brightness", "cutout=0.3@0.5"], squares)
    cut = [bool((one == 128).all(0).sum() > 4) for one in alone]
    assert cut == [bool((one == 128).all(0).sum() > 4) for one in together]
    assert 5 < sum(cut) < 35


def test_values_that_change_nothing_leave_every_pixel_as_it_is():
    squares = draw_squares(6, 30)
    assert torch.equal(change(UNCHANGED, squares), plain(squares))
    assert torch.equal(change(["none"], squares), plain(squares))


@pytest.mark.parametrize("size", [8, 9, 24])
@pytest.mark.parametrize(
    ("name", "turned"),
    [
        ("flip", lambda square: square[:, ::-1]),
        ("vertical_flip", lambda square: square[::-1]),
        ("transpose", lambda square: square.transpose(1, 0, 2)),
    ],
    ids=["flip", "vertical_flip", "transpose"],
)
def test_flips_are_those_of_numpy_pixel_for_pixel(name, turned, size):
    squares = draw_squares(40, size)
    for one, square in zip(change([f"{name}@1"], squares), squares.numpy(), strict=True):
        np.testing.assert_array_equal(one.permute(1, 2, 0), turned(square))
    half = [bool((one == was).all()) for one, was in zip(change([name], squares), plain(squares), strict=True)]
    assert 8 <= sum(half) <= 32


def test_flips_and_transposition_together_give_all_eight_turns():
    square = draw_squares(1, 10)
    turned = change(["flip", "vertical_flip", "transpose"], square.repeat(200, 1, 1, 1))
    found = {one.permute(1, 2, 0).byte().numpy().tobytes() for one in turned}
    pixels = square[0].numpy()
    expected = {np.rot90(side, turns).tobytes() for side in (pixels, pixels[:, ::-1]) for turns in range(4)}
    assert found == expected


def test_a_turned_picture_is_turned_in_the_same_way_when_it_is_also_warped():
    squares = draw_squares(30, 16)
    turns = ["flip", "vertical_flip", "transpose"]
    warped = change([*turns, "zoom=0.999999:0.999999"], squares)
    assert torch.allclose(warped, change(turns, squares), atol=0.1)


def test_a_probability_is_the_share_of_pictures():
    squares = draw_squares(1, 8).repeat(600, 1, 1, 1)
    changed = change(["rgb_shift=5:5@0.3"], squares)
    share = (changed != plain(squares)).flatten(1).any(1).float().mean()
    assert 0.22 < share < 0.38


def test_nothing_needs_the_values_of_pixels_on_the_host():
    """Tensors without values: any step that looked at them, and so would wait for a GPU, would fail."""
    squares = torch.empty(16, 24, 24, 3, dtype=torch.uint8, device="meta")
    for terms in (*EVERYTHING, AT_ONCE):
        augmentation = parse_augmentation(terms)
        changed = augmentation.apply(squares, np.arange(16), seed=0, epoch=1)
        if augmentation.mixes:
            changed = augmentation.mix(changed, np.arange(16), seed=0, epoch=1)[0]
        assert changed.shape == (16, 3, 24, 24)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_the_list_of_its_terms(preset):
    assert parse_augmentation([preset]) == parse_augmentation(PRESETS[preset])
    assert f"| `{preset}` |" in describe_presets()
    assert (str(parse_augmentation([preset])) == "none") == (preset == "none")


def test_a_later_term_takes_the_place_of_an_earlier_one():
    augmentation = parse_augmentation(["light", "rotation=45", "flip@0", "noise"])
    names = [term.name for term in augmentation.terms]
    assert names == ["flip", "rotation", "zoom", "shift", "brightness", "contrast", "noise"]
    assert "rotation=-45:45@1" in str(augmentation)
    assert "flip@0 " in str(augmentation)


@pytest.mark.parametrize("terms", [*EVERYTHING, AT_ONCE], ids=lambda terms: terms[0] if len(terms) == 1 else "at once")
def test_an_augmentation_and_its_text_are_the_same(terms):
    augmentation = parse_augmentation(terms)
    assert parse_augmentation(str(augmentation).split()) == augmentation
    assert augmentation.mixes == any(term.name in ("mixup", "cutmix") for term in augmentation.terms)
    assert hash(augmentation) == hash(parse_augmentation(terms))


@pytest.mark.parametrize("text", ["light@0.5", "strong=2", "none@1"])
def test_a_preset_takes_no_value_and_no_probability(text):
    with pytest.raises(RecipeError, match=r"gives the preset .* a value or a probability\. The name of a preset alone"):
        parse_augmentation([text])


def test_a_wrong_name_is_compared_with_presets_too():
    with pytest.raises(RecipeError, match=r"No augmentation named 'lite'\. Did you mean 'light'"):
        parse_augmentation(["flip", "lite"])


def test_no_terms_are_no_augmentation():
    assert parse_augmentation([]) == Augmentation() == parse_augmentation(["none"])
    assert not Augmentation().mixes
    assert not parse_augmentation(["mixup@0"]).mixes
