"""`choose_quality`: `fast`, `balanced` or `best` as settings, from accuracy and measured speed, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from telltale.device import choose_device
from telltale.errors import RecipeError
from telltale.model.backbone import find_weights
from telltale.registry import unknown
from telltale.training.candidates import CANDIDATES, Candidate
from telltale.training.recipe import Recipe

USUAL_PICTURES: Final = 2_500
"""Pictures that limits are for, and what is assumed where their number is not known."""

LIMITS: Final = {("fast", "cpu"): 10, ("fast", "cuda"): 2, ("balanced", "cpu"): 60, ("balanced", "cuda"): 60}
"""Seconds for 2,500 pictures. On a GPU `fast` lets the network take as long as two cores need to prepare pictures."""

HOUR: Final = 3600
"""Seconds that `best` may take, however many pictures there are."""

_PREPARED: Final = 2_500
"""Pictures per second that two cores read, decode and resize (benchmarks/RESULTS.md#pipeline)."""

_TRAINING_COSTS: Final = 3.4
"""Times as long as features take: learning from a picture on a GPU. The median of 677 networks that timm has measured
both ways on an RTX 3090 (results/benchmark-{infer,train}-amp-nhwc-*-rtx3090.csv)."""

_TAUGHT: Final = 0.7
"""Share of all pictures that is learned from, where the source does not divide them itself."""

_PER_EPOCH: Final = 0.75
"""Share of all pictures whose cost an epoch has: 70 % to learn from, 15 % to validate with, at a third of the cost."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Settings that were chosen, as `Recipe` takes them, and one or two sentences that say why."""

    settings: dict[str, Any]
    why: str

    @property
    def recipe(self) -> Recipe:
        """A recipe with these settings."""
        return Recipe(**self.settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to train: its settings, and what they cost."""

    words: str
    fit: str
    epochs: int = 0
    views: int = 0
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """As `Recipe` takes them; what is 0 is left out."""
        counts = {"epochs": self.epochs, "views": self.views}
        return {"fit": self.fit, **{name: count for name, count in counts.items() if count}, **dict(self.others)}

    def seconds(self, candidate: Candidate, pictures: int, device: str) -> float:
        """About how long it takes on two cores or on an RTX 4090, with nothing in the cache."""
        rate = candidate.gpu if device == "cuda" else candidate.cpu
        features = (1 + _TAUGHT * self.views) * pictures * (1 / _PREPARED + 1 / rate)
        learning = candidate.gpu / _TRAINING_COSTS if device == "cuda" else candidate.cpu_training
        return features + self.epochs * _PER_EPOCH * pictures / learning


_LIGHT: Final = ("augment", ("light",))
PROBE: Final = Plan("a probe", "probe")
PROBE_WITH_VIEWS: Final = Plan("a probe with an augmented copy of each picture", "probe", views=1, others=(_LIGHT,))
"""One light copy is what helped most, and more did not help more (benchmarks/RESULTS.md#copies)."""
FINETUNE: Final = Plan("8 epochs of fine-tuning", "finetune", epochs=8, others=(_LIGHT,))
FINETUNE_LONG: Final = Plan(
    "12 epochs of fine-tuning",
    "finetune",
    epochs=12,
    others=(("augment", ("medium",)), ("warmup", 1.0), ("ema", 0.999)),
)

QUALITIES: Final = ("fast", "balanced", "best")


def choose_quality(name: str, *, device: str = "auto", pictures: int | None = None, hub: bool = True) -> Quality:
    """The settings that `name` (`fast`, `balanced` or `best`) means for this device and number of pictures, and why.

    * `fast`: a probe, with the most accurate network whose features take a few seconds for 2,500 pictures.
    * `balanced`: on a CPU the same within a minute; on a GPU fine-tuning within a minute.
    * `best`: what an hour allows for all `pictures`, with a network at least as accurate as that of `balanced`:
      fine-tuning, else a probe with augmented copies, else what `balanced` is.

    Times are for two cores or an RTX 4090, so that the same words mean the same settings on every machine of a kind.
    `hub` says whether weights can be had from timm's hub; else only networks count whose weights lie in the folder
    `TELLTALE_WEIGHTS`, if there are any. `device` is `cpu`, `cuda` (here or elsewhere) or `auto`. Raises `RecipeError`
    for another name.

    >>> choose_quality("fast", device="cpu").settings["fit"]
    'probe'
    """
    if name not in QUALITIES:
        given, expected, do = unknown("quality", name, QUALITIES, "Give one of them with --quality.")
        raise RecipeError(given, expected=expected, do=do)
    device = device if device in ("cpu", "cuda") else choose_device(device)
    there = pictures or USUAL_PICTURES
    local = [one for one in CANDIDATES if find_weights(one.model)]
    offered = [one for one in CANDIDATES if one in local or (one.hub and (hub or not local))]
    if name == "best":
        plan, chosen, reason = _choose_best(offered, there, device)
    else:
        plan, chosen, reason = _choose_usual(name, offered, device)
    settings = {"model": chosen.model, "img_size": chosen.size, **plan.settings}
    took = f"About {_words(plan.seconds(chosen, there, device))} for {there:,} pictures on {_place(device)}."
    why = f"{name}: {plan.words}, with {chosen.model}, {reason}. {took}"
    if local and not hub:
        why += f" The hub cannot be reached: {len(offered)} of {len(CANDIDATES)} networks have weights here."
    return Quality(settings, why)


def _choose_usual(name: str, offered: Sequence[Candidate], device: str) -> tuple[Plan, Candidate, str]:
    """The most accurate network within the limit; the fastest where none is."""
    plan = FINETUNE if (name, device) == ("balanced", "cuda") else PROBE
    limit = LIMITS[name, device]
    within = _within(plan, offered, USUAL_PICTURES, device, limit)
    chosen = within[-1] if within else max(offered, key=lambda one: one.gpu if device == "cuda" else one.cpu)
    compared = "the most accurate" if within else "the fastest, for none does it"
    return plan, chosen, f"{compared} within {limit} s for {USUAL_PICTURES:,} pictures ({_accuracy(chosen)})"


def _choose_best(offered: Sequence[Candidate], pictures: int, device: str) -> tuple[Plan, Candidate, str]:
    """The first plan with a network within the hour that is no worse than that of `balanced`."""
    usual, least, _ = _choose_usual("balanced", offered, device)
    for plan in (FINETUNE_LONG, PROBE_WITH_VIEWS):
        within = [one for one in _within(plan, offered, pictures, device, HOUR) if one.accuracy >= least.accuracy]
        if within:
            return plan, within[-1], f"the most accurate within an hour ({_accuracy(within[-1])})"
    return usual, least, f"as for balanced, because more would take over an hour ({_accuracy(least)})"


def _within(plan: Plan, offered: Sequence[Candidate], pictures: int, device: str, limit: float) -> list[Candidate]:
    """Those that are fast enough, the most accurate last."""
    found = [one for one in offered if plan.seconds(one, pictures, device) <= limit]
    return sorted(found, key=lambda one: one.accuracy)


def _accuracy(candidate: Candidate) -> str:
    return f"{candidate.accuracy:.1f} % on ImageNet"


def _place(device: str) -> str:
    return "an RTX 4090" if device == "cuda" else "two cores"


def _words(seconds: float) -> str:
    """A rough time in words.

    >>> _words(0.1), _words(8.2), _words(300), _words(7200)
    ('1 s', '8 s', '5 min', '2.0 h')
    """
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
