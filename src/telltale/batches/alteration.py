"""All changes of a batch, in their order: what each picture drew, then pixels."""

from collections.abc import Mapping

import torch

from telltale.batches.chance import Chance
from telltale.batches.changes import Term
from telltale.batches.colours import draw_colours
from telltale.batches.policies import draw_layers
from telltale.batches.steps import Step, run_steps
from telltale.batches.textures import draw_textures
from telltale.batches.turns import draw_turns, turn_squares
from telltale.batches.warps import draw_warp


def alter(squares: torch.Tensor, terms: Mapping[str, Term], chance: Chance) -> torch.Tensor:
    """uint8 `[n, size, size, 3]` on any device to float32 `[n, 3, size, size]`, 0 to 255, channels last in memory.

    First tones, then colours, both on the pixels as they came; then geometry; then blur, noise and cutout. Pictures
    that are no more than turned keep their pixels, and a step touches only the pictures that drew it.
    """
    size = squares.shape[1]
    layers, turns = draw_layers(terms, chance), draw_turns(terms, chance)
    warp = draw_warp(terms, layers, chance, turns=turns, size=size)
    steps: list[Step] = []
    if layers:
        # Only here: importing torchvision takes a second, where timm has not done so.
        from telltale.batches.tones import draw_tones

        steps += draw_tones(layers)
    steps += [step for step in (draw_colours(terms, layers, chance), warp) if step]
    steps += draw_textures(terms, chance, size)
    if warp:
        turns[warp.places] = 0
    turned = turn_squares(squares, turns).permute(0, 3, 1, 2)
    if not steps:
        return turned.float()
    # Planes of one channel: 1 ms for 32 pictures of 160 pixels, and every step is faster on them.
    planes = turned.to(torch.float32, memory_format=torch.contiguous_format)
    return run_steps(planes, steps).clamp_(0, 255).contiguous(memory_format=torch.channels_last)
