"""Mixup and cutmix: what is mixed, with whom, and how much each label counts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from telltale.batches.augmentation import parse_augmentation

SIZE = 20


def draw_plain(count):
    """Each picture of one value of its own: its number, from 1."""
    return (torch.arange(count).float() + 1)[:, None, None, None].expand(count, 3, SIZE, SIZE)


def mix(terms, inputs, rows=None, seed=0, epoch=1):
    rows = np.arange(len(inputs)) if rows is None else np.asarray(rows)
    return parse_augmentation(terms.split()).mix(inputs, rows, seed=seed, epoch=epoch)


@pytest.mark.parametrize("terms", ["mixup=1", "cutmix=1", "mixup=1@0.5 cutmix=1@0.5", "mixup cutmix", "mixup@0.3"])
def test_labels_count_as_much_as_their_pixels(terms):
    inputs = draw_plain(64)
    before = inputs.clone()
    mixed, partner, share = mix(terms, inputs)
    assert torch.equal(inputs, before)
    assert mixed.shape == inputs.shape and mixed.dtype == torch.float32
    assert partner.dtype == torch.int64 and share.dtype == torch.float32
    assert share.min() >= 0 and share.max() <= 1
    own, other = inputs[:, 0, 0, 0], inputs[partner, 0, 0, 0]
    torch.testing.assert_close(mixed.mean((1, 2, 3)), share * own + (1 - share) * other, rtol=1e-4, atol=1e-3)


def test_all_take_part_in_one_round_and_no_one_meets_itself():
    partner = mix("mixup=1", draw_plain(33))[1]
    assert sorted(partner.tolist()) == list(range(33))
    place, steps = int(partner[0]), 1
    while place:
        place, steps = int(partner[place]), steps + 1
    assert steps == 33


def test_mixup_lets_the_whole_partner_shine_through():
    mixed, _, share = mix("mixup=1", draw_plain(32))
    assert mixed.flatten(1).std(1).max() < 1e-5
    assert 0.05 < share.std()


def test_cutmix_puts_in_a_rectangle_of_its_partner():
    inputs = draw_plain(60)
    mixed, partner, share = mix("cutmix=1", inputs)
    for place in range(60):
        foreign = mixed[place, 0] != inputs[place, 0]
        assert torch.equal(foreign, mixed[place, 1] != inputs[place, 1])
        assert (mixed[place, 0][foreign] == inputs[partner[place], 0, 0, 0]).all()
        rows, columns = foreign.any(1).sum(), foreign.any(0).sum()
        assert foreign.sum() == rows * columns
        assert float(share[place]) == pytest.approx(1 - int(foreign.sum()) / SIZE**2, abs=1e-6)


def test_no_picture_is_mixed_in_both_ways_and_probabilities_add_up():
    inputs = draw_plain(2000)
    mixed, _, share = mix("mixup=1@0.2 cutmix=1@0.3", inputs)
    spread = mixed.flatten(1).std(1)
    cut, through = spread > 1e-3, (spread <= 1e-3) & (share < 1)
    assert float(cut.float().mean()) == pytest.approx(0.3, abs=0.05)
    assert float(through.float().mean()) == pytest.approx(0.2, abs=0.04)
    assert torch.equal(mixed[share == 1], inputs[share == 1])


def test_two_certain_ones_have_half_of_the_pictures_each():
    spread = mix("mixup=1 cutmix=1", draw_plain(1000))[0].flatten(1).std(1)
    assert float((spread > 1e-3).float().mean()) == pytest.approx(0.48, abs=0.07)


@pytest.mark.parametrize(("a", "spread"), [(0.2, 0.423), (1, 0.2887), (8, 0.1213)])
def test_shares_of_mixup_are_beta_numbers(a, spread):
    share = mix(f"mixup={a}", draw_plain(4000))[2]
    assert float(share.mean()) == pytest.approx(0.5, abs=0.025)
    assert float(share.std()) == pytest.approx(spread, abs=0.012)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(12)))
def test_the_order_of_the_batch_does_not_matter(order):
    inputs, rows = torch.rand(12, 3, SIZE, SIZE, generator=torch.manual_seed(0)), np.arange(100, 112)
    mixed, partner, share = mix("mixup=1 cutmix=1@0.5", inputs, rows)
    again, other, shares = mix("mixup=1 cutmix=1@0.5", inputs[order], rows[order])
    assert torch.equal(again, mixed[order])
    assert torch.equal(shares, share[order])
    assert np.array_equal(rows[order][other], rows[partner][order])


def test_how_a_picture_is_mixed_does_not_depend_on_the_others():
    inputs, rows = draw_plain(16), np.arange(16)
    share = mix("mixup=1 cutmix=1", inputs, rows)[2]
    assert torch.equal(mix("mixup=1 cutmix=1", inputs[:5], rows[:5])[2], share[:5])
    assert not torch.equal(mix("mixup=1 cutmix=1", inputs, rows, epoch=2)[2], share)
    assert not torch.equal(mix("mixup=1 cutmix=1", inputs, rows, seed=2)[2], share)


def test_a_picture_alone_stays_as_it_is():
    inputs = draw_plain(1)
    mixed, partner, share = mix("mixup=1 cutmix=1", inputs)
    assert torch.equal(mixed, inputs)
    assert (partner.tolist(), share.tolist()) == ([0], [1.0])


def test_without_mixing_nothing_is_mixed():
    inputs = draw_plain(5)
    mixed, partner, share = mix("flip", inputs)
    assert torch.equal(mixed, inputs)
    assert partner.tolist() == [0, 1, 2, 3, 4] and share.tolist() == [1.0] * 5


def test_layout_and_type_stay():
    inputs = torch.rand(6, 3, SIZE, SIZE).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    mixed = mix("mixup=1 cutmix=1", inputs)[0]
    assert mixed.dtype == torch.bfloat16
    assert mixed.is_contiguous(memory_format=torch.channels_last)
