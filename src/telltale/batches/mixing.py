"""Mixup and cutmix: each picture with a part of another one of its batch, and how much its own label still counts."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from telltale.batches.chance import Chance, Floats
from telltale.batches.changes import Term
from telltale.batches.steps import send
from telltale.batches.textures import inside


def mix_pictures(
    inputs: torch.Tensor, terms: Mapping[str, Term], chance: Chance
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mixed `inputs` (float `[n, 3, size, size]`, not overwritten), int64 `[n]` partners, float32 `[n]` own shares.

    The channels come out last in memory.
    How a picture is mixed follows from itself alone, its partner from the rows of the batch, in whatever order.
    """
    itself, size = np.arange(len(chance)), inputs.shape[-1]
    partner, (weight, corners) = draw_partners(chance), draw_shares(terms, chance, size)
    weight[partner == itself] = 1
    corners[partner == itself] = 0
    share = weight * (1 - (corners[:, 1] - corners[:, 0]) * (corners[:, 3] - corners[:, 2]) / size**2)
    partner = np.where(share == 1, itself, partner)
    (sent,) = send([{"partner": partner, "weight": weight, "corners": corners, "share": share}], inputs.device)
    other = sent["partner"].long()
    # Lines of pixels with three numbers each, as they lie in memory: torch takes three times as long where a weight
    # stands for the three numbers of a pixel. Two products, not a difference: what counts fully stays as it was.
    lines = inputs.permute(0, 2, 3, 1).contiguous().flatten(2)
    others, own = lines.index_select(0, other), sent["weight"][:, None, None].to(inputs.dtype)
    mixed = (lines * own).addcmul_(others, 1 - own)
    torch.where(inside(sent["corners"], size, 3), others, mixed, out=mixed)
    return mixed.view(-1, size, size, 3).permute(0, 3, 1, 2), other, sent["share"]


def draw_partners(chance: Chance) -> NDArray[np.int64]:
    """`[n]`: the place in the batch of the picture that each is mixed with: all take part in one round, each once."""
    order = np.argsort(chance.numbers("partner"), kind="stable")
    partner = np.empty(len(order), np.int64)
    partner[order] = np.roll(order, -1)
    return partner


def draw_shares(terms: Mapping[str, Term], chance: Chance, size: int) -> tuple[Floats, Floats]:
    """`[n]`, how much each picture counts outside of the rectangle of its partner, and `[n, 4]`, that rectangle.

    No picture is mixed in both ways; where the two probabilities make more than 1 they are scaled to it.
    """
    chances = [terms[name].probability if name in terms else 0.0 for name in ("mixup", "cutmix")]
    which = chance.numbers("mixing") * max(1.0, sum(chances))
    weight, corners = np.ones(len(chance)), np.zeros((len(chance), 4))
    if "mixup" in terms:
        weight = np.where(which < chances[0], _betas("mixup", terms, chance), weight)
    if "cutmix" in terms:
        cut = (which >= chances[0]) & (which < sum(chances))
        corners[cut] = _draw_rectangles(_betas("cutmix", terms, chance), chance, size)[cut]
    return weight, corners


def _betas(name: str, terms: Mapping[str, Term], chance: Chance) -> Floats:
    return chance.beta(name, chance.values(terms[name]))


def _draw_rectangles(share: Floats, chance: Chance, size: int) -> Floats:
    """Squares of 1 - `share` of the area, their middles anywhere, clipped at the edges."""
    half = np.sqrt(1 - share) * size / 2
    middles = chance.table("cutmix place", 2) * size
    ends = np.clip(np.rint(np.stack([middles - half, middles + half], axis=1)), 0, size)
    return ends.reshape(4, -1).T
