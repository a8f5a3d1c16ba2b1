"""`find_rate`: the learning-rate range test of Smith (2017, "Cyclical Learning Rates", section 3.3).

The rate grows from batch to batch; the loss falls, and then rises sharply. A good largest rate lies well below the one
from which it rises. What is trained here is thrown away.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from telltale.model.cutting import set_training
from telltale.progress import Advance, Tell, silent
from telltale.training.loop import Lesson, add_up, chunks, learn
from telltale.training.optimizer import set_rate
from telltale.training.state import State

LOWEST: Final = 1e-6
HIGHEST: Final = 1.0
STEPS: Final = 100
SMOOTH: Final = 0.9
"""Of the moving average of the losses."""

DIVERGED: Final = 4.0
"""Times the least loss: the test ends there."""

START: Final = 20
"""Batches whose losses say how far batches differ."""

LASTING: Final = 5
"""Batches in a row that are worse: the loss has risen, and comes back only with weights that are destroyed."""

SHARE: Final = 0.1
"""Of the rate at which that happens: it is seen some ten batches, a factor of four, too late. The steepest slope of the
loss, which others go by, is noise where a batch tells little: 1.5e-6 for the plain CNN on 350 photos."""


@dataclass(frozen=True)
class RateCurve:
    """The smoothed loss at each rate that was tried, and the rate to use."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    best: float
    rose: bool = True
    """Did the loss rise within the rates that were tried?"""

    @property
    def why(self) -> str:
        """What `best` is, in words."""
        if self.rose:
            return f"a tenth of the largest of {len(self.rates)} rates before the loss rises"
        return f"a tenth of the largest of {len(self.rates)} rates, and the loss rises at none of them"

    @property
    def rows(self) -> list[dict[str, float]]:
        """One row per rate: lr, loss."""
        return [{"lr": rate, "loss": loss} for rate, loss in zip(self.rates, self.losses, strict=True)]


def find_rate(state: State, lesson: Lesson, *, steps: int = STEPS, tell: Tell = silent) -> RateCurve:
    """Train `steps` steps with rates from `LOWEST` to `HIGHEST` and read off the best; `state` is used up.

    The largest rate, of the output layer: with `layer_decay` the layers below get their share of it.
    """
    rates, losses, smoothed, ended = list[float](), list[float](), list[float](), False
    for number, (rate, loss) in enumerate(_try_rates(state, lesson, steps), start=1):
        now = smooth([*losses, loss])
        detail = f"lr {rate:.1e}, loss {now[-1]:.3f}"
        tell(Advance("find the learning rate", number, steps, unit="steps", detail=detail))
        if not math.isfinite(now[-1]) or now[-1] > DIVERGED * min(now):
            ended = True
            break
        rates.append(rate)
        losses.append(loss)
        smoothed = now
    rose = ended or find_rise(losses) is not None
    return RateCurve(tuple(rates), tuple(smoothed), suggest_rate(rates, losses), rose)


def smooth(losses: Sequence[float]) -> list[float]:
    """The moving average at each loss, corrected for its start at 0.

    >>> smooth([2.0, 2.0, 2.0])
    [2.0, 2.0, 2.0]
    """
    average, found = 0.0, list[float]()
    for number, loss in enumerate(losses, start=1):
        average = SMOOTH * average + (1 - SMOOTH) * loss
        found.append(average / (1 - SMOOTH**number))
    return found


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the largest rate before the loss rises, rounded to two digits; `losses` are those of single steps.

    >>> suggest_rate([10.0 ** (number / 10 - 4) for number in range(40)], [1.0] * 30 + [9.0] * 10)
    0.0079
    """
    if not rates:
        return LOWEST
    rise = find_rise(losses)
    return float(f"{SHARE * rates[len(rates) - 1 if rise is None else rise - 1]:.1e}")


def find_rise(losses: Sequence[float]) -> int | None:
    """From which step on the smoothed loss gets worse; None where it does not.

    Worse is what is higher than the least average before by more than four standard errors, several steps in a row.

    >>> find_rise([1.0] * 30 + [9.0] * 10), find_rise([1.0] * 40)
    (30, None)
    """
    first, smoothed = np.array(losses[:START]), np.array(smooth(losses))
    if not len(first):
        return None
    # Of the difference between two averages of steps at the start; and a little, where steps hardly differ.
    error = float(first.std(ddof=1 if len(first) > 1 else 0)) * math.sqrt(2 * (1 - SMOOTH) / (1 + SMOOTH))
    lowest = np.minimum.accumulate([first.mean(), *smoothed[START:]])[1:]
    worse = smoothed[START:] > lowest + 4 * error + 0.02 * first.mean()
    ends = (START + place for place in range(len(worse)) if worse[place : place + LASTING].all())
    return next(ends, None)


def _try_rates(state: State, lesson: Lesson, steps: int) -> Iterator[tuple[float, float]]:
    """Rate and mean loss of step after step, over as many epochs as that takes."""
    epochs = (lesson.training.epoch(number) for number in itertools.count(1))
    groups = itertools.chain.from_iterable(chunks(epoch, lesson.recipe.accumulate) for epoch in epochs)
    set_training(state.network, state.frozen)
    parameters = [one for one in state.network.parameters() if one.requires_grad]
    for number, group in enumerate(itertools.islice(groups, steps)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / max(steps - 1, 1))
        set_rate(state.optimizer, rate)
        losses = learn(state, lesson, group)
        if lesson.recipe.clip:
            torch.nn.utils.clip_grad_norm_(parameters, lesson.recipe.clip)
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.step += len(group)
        yield rate, add_up(losses) / sum(len(batch.labels) for batch in group)
