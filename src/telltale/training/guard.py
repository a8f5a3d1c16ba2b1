"""`Guard`: finite gradients only change the weights, and the batch that gave something else is named."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from telltale.batches.feed import Batch
from telltale.training.state import State

CHECK_STEPS: Final = {"cpu": 1, "cuda": 50}
"""Steps between two looks at whether all was finite: each look waits for the device."""


class NotFinite(ArithmeticError):
    """A loss or a gradient became infinite or no number; the network holds the last weights before it.

    `rows` are the numbers of the pictures of batch `step` of the `epoch`; `step` is 0 where the loss of the validation
    after the epoch is meant.
    """

    def __init__(self, epoch: int, step: int, rows: Sequence[int] = ()) -> None:
        where = f"batch {step}" if step else "the validation"
        super().__init__(f"The loss or its gradient is no finite number in {where} of epoch {epoch}.")
        self.epoch, self.step, self.rows = epoch, step, tuple(rows)


class _Change(NamedTuple):
    """One step: was anything up to it not finite, what stood before it, and its batches."""

    bad: torch.Tensor
    step: int
    seen: int
    losses: list[torch.Tensor]
    rows: list[NDArray[np.int64]]


class Guard:
    """Changes the weights of `state` for one epoch. `clip` is the largest norm of a gradient; 0: no limit.

    The first step that is not finite changes nothing, and so does every step after it, without a wait for the device:
    `torch.optim`'s fused kernels read `found_inf` there. Norm statistics, which a forward pass changes before anything
    is known about it, go back to what they were at the last look.
    """

    def __init__(self, state: State, *, clip: float) -> None:
        self.state, self.clip = state, clip
        self.parameters = [one for one in state.network.parameters() if one.requires_grad]
        device = self.parameters[0].device
        self.every = CHECK_STEPS[device.type]
        self.bad = torch.zeros((), dtype=torch.bool, device=device)
        self.waiting: list[_Change] = []
        # The moving average would take in the statistics of bad steps until the next look.
        averaged = state.average.values.values() if state.average and self.every > 1 else ()
        self.passing = [*state.network.buffers(), *averaged]
        self.kept = [one.clone() for one in self.passing]

    def apply(self, losses: Sequence[torch.Tensor], group: Sequence[Batch]) -> None:
        """Change the weights by the gradient that was added up from `group`; `losses` holds the sum of each batch."""
        state = self.state
        norm = torch.nn.utils.get_total_norm([one.grad for one in self.parameters if one.grad is not None])
        self.bad = self.bad | ~torch.isfinite(torch.stack(list(losses)).sum() + norm)
        rows = [batch.rows for batch in group]
        self.waiting.append(_Change(self.bad, state.step, state.seen, list(losses), rows))
        if len(self.waiting) >= self.every:
            self.look()
        if self.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        state.optimizer.found_inf = self.bad.float()  # type: ignore[attr-defined]  # as torch.amp's GradScaler does
        state.optimizer.step()
        state.optimizer.zero_grad()
        if state.average:
            state.average.update()

    def look(self) -> None:
        """Wait for the device; where a step was not finite `state` becomes what it was before it: `NotFinite`."""
        if not self.waiting:
            return
        if not bool(self.bad):
            self.kept, self.waiting = [one.clone() for one in self.passing], []
            return
        state, first = self.state, next(one for one in self.waiting if bool(one.bad))
        for one, kept in zip(self.passing, self.kept, strict=True):
            one.copy_(kept)
        state.optimizer.zero_grad()
        state.step, state.seen, state.losses = first.step, first.seen, state.losses[: first.step]
        wrong = [place for place, loss in enumerate(first.losses) if not bool(torch.isfinite(loss))]
        if wrong:
            raise NotFinite(state.epoch, first.step + wrong[0] + 1, first.rows[wrong[0]].tolist())
        raise NotFinite(state.epoch, first.step + 1, np.concatenate(first.rows).tolist())
