"""`Recipe`: every setting of a training, documented, checked, and saved with the run."""

import json
import math
import re
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

from telltale.batches.preprocess import RESIZES
from telltale.errors import RecipeError
from telltale.files import write_atomic
from telltale.model.zoo import PLAIN_NETWORKS
from telltale.registry import suggest

CHOICES: Final = {
    "fit": ("auto", "probe", "finetune", "scratch"),
    "resize": RESIZES,
    "pool": ("", "avg", "max"),
    "output": ("softmax", "sigmoid"),
    "pixels": ("auto", "raw", "unit", "symmetric"),
    "arithmetic": ("auto", "f32", "bf16"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "constant", "plateau", "step"),
    "balance": ("none", "weights", "sampling"),
}
"""Settings that take one of a few words."""

_AT_LEAST: Final = {
    "accumulate": 1, "step_epochs": 1, "epochs": 0, "batch_size": 0, "patience": 0, "seed": 0, "hidden": 0, "views": 0,
    "weight_decay": 0, "warmup": 0, "clip": 0, "lr": 0, "keep": 0,
}  # fmt: skip

_BETWEEN: Final = {
    "dropout": (0, 0.95), "freeze": (0, 1), "layer_decay": (0.01, 1), "factor": (0.001, 1), "label_smoothing": (0, 0.9),
    "ema": (0, 0.99999), "coverage": (0.5, 0.999),
}  # fmt: skip

LEARNED: Final = frozenset({
    "accumulate", "balance", "batch_size", "clip", "compile", "dropout", "ema", "epochs", "factor", "fix_norms",
    "freeze", "hidden", "label_smoothing", "layer_decay", "lr", "optimizer", "output", "patience", "schedule",
    "step_epochs", "time", "warmup", "weight_decay", "keep",
})  # fmt: skip
"""Settings that a probe, which is computed and not learned step by step, has no use for."""

EPOCHS: Final = {"probe": 1, "finetune": 8, "scratch": 30}
"""Passes over the training pictures where the recipe does not say."""

RATES: Final = {"probe": 0.001, "finetune": 0.0005, "scratch": 0.001}
"""Largest learning rate where the recipe does not say."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every setting of one training; immutable, so that what is saved is what ran.

    >>> Recipe(epochs=5).epochs
    5
    >>> Recipe(epochs=-1)
    Traceback (most recent call last):
    telltale.errors.RecipeError: epochs is -1. A number of at least 0. Give another value with --set epochs=VALUE.
    """

    model: str = "mobilenetv2_100"
    """Network: any name of `telltale models`; `cnn` and `cnn_growing` are small plain ones that train from nothing."""
    fit: str = "auto"
    """`probe`: frozen pretrained backbone, head fitted on its features; `finetune`: the probe's head first, then the
    backbone with smaller rates; `scratch`: random weights, all trained; `auto`: scratch for `cnn`, else probe."""
    weights: str = ""
    """Pretrained weights (.safetensors or .pth); empty: the folder in TELLTALE_WEIGHTS, then the hub that timm uses."""
    img_size: int = 0
    """Height and width of the network's input in pixels; 0: what the network was made for."""
    resize: str = "crop"
    """`crop` the middle square, `squash` to a square, or `pad` to one."""
    seed: int = 0
    """Seed of the split, the first weights, the order and the augmentation."""
    val_split: float = 0.15
    """Share of pictures for validation where the source names none."""
    test_split: float = 0.15
    """Share of pictures for the test where the source names none."""
    near_duplicates: bool = True
    """Keep pictures that look the same on one side of the split, not only those with equal pixels."""
    mirrored_duplicates: bool = False
    """A picture and its mirror image look the same, too."""
    lookalikes: bool = False
    """With pretrained weights: pictures with nearly equal features (another crop, another shot) look the same, too."""
    fix_leaks: bool = False
    """Move pictures out of the source's own validation and test parts that are copies of pictures before them."""
    folds: int = 0
    """Cross-validation: train so many times, so that every picture is tested once; 0: once, with one test part."""
    labels_fix: str = ""
    """CSV with corrected labels (file, given, suggested), as `telltale inspect --model` writes it."""
    arithmetic: str = "auto"
    """Arithmetic: `f32`, `bf16`, or `auto`: bf16 where the processor has it; a frozen network only where its answers
    stay the same."""
    precision: float = 0.99
    """Share right that is wanted of the answers that are accepted; of other pictures the classifier says that it does
    not know; 0: it always answers."""
    coverage: float = 0.95
    """Share of pictures whose true class is to be in the set of classes that go with an answer."""
    pool: str = ""
    """How the backbone's last feature map becomes features: `avg` or `max` over its places; empty: its own way."""
    hidden: int = 0
    """Fine-tuning and scratch: units of a dense layer with ReLU between backbone and output; 0: none."""
    dropout: float = 0.2
    """Fine-tuning and scratch: share of features that are dropped before the dense layer and before the output."""
    output: str = "softmax"
    """`softmax`: one output per class; `sigmoid`: one output for two classes."""
    pixels: str = "auto"
    """Scale of the input: `raw` 0 to 255, `unit` 0 to 1, `symmetric` -1 to 1; `auto`: what the network was made for."""
    start_from: str = ""
    """A run or a bundle whose backbone is learned from further, for these or other classes."""
    epochs: int = 0
    """Passes over the training pictures, at most; 0: 8 of fine-tuning, 30 from scratch."""
    time: str = ""
    """Time until the last step, such as `90s`, `10m` or `1.5h`, and for a cosine to zero; empty: no limit."""
    batch_size: int = 32
    """Pictures per batch; 0: as many as memory and the number of pictures allow, 256 at most."""
    accumulate: int = 1
    """Batches whose gradients are added up before the weights change."""
    optimizer: str = "adamw"
    """`adamw` (plain Adam without weight decay) or `sgd` with Nesterov momentum 0.9."""
    lr: float = 0.0
    """Largest learning rate, of the output layer; 0: 0.0005 for fine-tuning, 0.001 from scratch."""
    layer_decay: float = 0.75
    """Fine-tuning: factor of the learning rate from each layer to the one below it; 1: the same for all."""
    freeze: float = 0.0
    """Fine-tuning and scratch: share of the backbone's layers that stay as they are; 1: all of them."""
    fix_norms: bool = True
    """Fine-tuning: batch norms keep the statistics of the pretrained weights, which small data estimate worse."""
    views: int = 0
    """Augmented copies of each training picture that a frozen network runs over once, and not in each epoch; 0: the
    probe learns from the pictures as they are; frozen layers of fine-tuning run anew where there is augmentation."""
    weight_decay: float = 0.0
    """Weight decay of matrices and kernels; with `adamw` apart from the gradient."""
    schedule: str = "cosine"
    """Learning rate over time: `cosine` to zero, `constant`, `step`: times `factor` every `step_epochs`, or `plateau`:
    times `factor` when the validation loss stalls for half of the patience."""
    warmup: float = 0.0
    """Epochs in which the learning rate rises from zero."""
    step_epochs: int = 10
    """Schedule `step`: epochs between two steps."""
    factor: float = 0.1
    """Schedules `step` and `plateau`: what the learning rate is multiplied with."""
    patience: int = 12
    """Stop after so many epochs without a better validation loss; 0: never."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    balance: str = "none"
    """Uneven classes: `weights` makes rare ones count more, `sampling` shows them more often."""
    ema: float = 0.0
    """Keep a moving average of the weights with this decay, such as 0.999, and use it; 0: none."""
    clip: float = 0.0
    """Largest norm of the gradient of one step; 0: no limit."""
    augment: tuple[str, ...] = ("flip",)
    """Random changes of training pictures, drawn anew in each epoch: presets or terms such as `rotation=20`."""
    compile: bool = False
    """Compile the network with torch.compile: it takes a minute at the start, and pays on some GPUs only."""

    keep: int = 2
    """Fine-tuning and scratch: newest checkpoints that stay, here and in each mirror, beside the best one; 0: all."""
    mirrors: tuple[str, ...] = ()
    """Second places that receive each checkpoint and the result: folders, `gs://`, `s3://`, `gdrive://`, other URLs."""
    mirror_wait: str = "10m"
    """How long the end waits for mirrors that are behind, such as `30s`, `10m` or `1h`."""
    trackers: tuple[str, ...] = ()
    """Programs that show how trainings go, and are told of each epoch: `tensorboard`, `wandb`, `mlflow`."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            words = ", ".join(map(repr, allowed))
            _check(name, getattr(self, name), getattr(self, name) in allowed, f"One of {words}.")
        for name, least in _AT_LEAST.items():
            _check(name, getattr(self, name), least <= getattr(self, name) < math.inf, f"A number of at least {least}.")
        for name, (low, high) in _BETWEEN.items():
            _check(name, getattr(self, name), low <= getattr(self, name) <= high, f"A number from {low} to {high}.")
        refuses = self.precision == 0 or 0.5 <= self.precision <= 0.9999
        _check("precision", self.precision, refuses, "0, or a number from 0.5 to 0.9999.")
        _check("folds", self.folds, self.folds == 0 or 2 <= self.folds <= 100, "0, or 2 to 100.")
        _check("img_size", self.img_size, self.img_size == 0 or 8 <= self.img_size <= 4096, "0, or 8 to 4096 pixels.")
        for name in ("val_split", "test_split"):
            _check(name, getattr(self, name), 0 < getattr(self, name) < 0.9, "A share between 0 and 0.9.")
        shares = self.val_split + self.test_split
        _check("val_split + test_split", shares, shares < 0.95, "Less than 0.95: the rest is for training.")
        scales = self.pixels == "auto" or self.how == "scratch"
        _check("pixels", self.pixels, scales, "auto with pretrained weights, which were made for one scale.")
        if self.start_from:
            for name in ("pool", "weights"):
                own = "Nothing beside start_from: that classifier has its own."
                _check(name, getattr(self, name), not getattr(self, name), own)
            learned = "Nothing with fit scratch, which begins with random weights."
            _check("start_from", self.start_from, self.how != "scratch", learned)
        once = not (self.time and self.folds)
        _check("time", self.time, once, "No limit of time in a cross-validation: give each fold fewer epochs.")
        for name in ("time", "mirror_wait"):
            text = getattr(self, name)
            right = (not text and name == "time") or read_time(text) > 0
            _check(name, text, right, "A number with s, m or h, such as 10m.")

    @property
    def how(self) -> str:
        """`probe`, `finetune` or `scratch`: `fit` with `auto` resolved."""
        if self.fit != "auto":
            return self.fit
        if self.start_from:
            return "finetune"
        return "scratch" if self.model in PLAIN_NETWORKS else "probe"

    @property
    def resolved(self) -> "Recipe":
        """The same with `fit`, `epochs` and `lr` as they will be used.

        >>> Recipe(model="cnn").resolved.epochs
        30
        """
        how = self.how
        return replace(self, fit=how, epochs=self.epochs or EPOCHS[how], lr=self.lr or RATES[how])

    def with_settings(self, settings: dict[str, str]) -> "Recipe":
        """This recipe with fields set from texts, as `--set name=value` gives them.

        >>> Recipe().with_settings({"epochs": "3", "augment": "flip,rotation=20"}).augment
        ('flip', 'rotation=20')
        """
        return replace(self, **{name: _parse(name, text) for name, text in settings.items()})

    def save(self, path: Path) -> Path:
        """Write as TOML."""
        return write_atomic(path, "".join(f"{name} = {_toml(value)}\n" for name, value in asdict(self).items()))

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Read what `save` wrote; unknown names are refused with the nearest known one."""
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"The recipe {str(path)!r} cannot be read ({error}).",
                expected="A TOML file such as recipe.toml in a run folder.",
                do="Check the path and the syntax.",
            ) from error
        values.pop("about", None)  # a named recipe says there where it comes from
        if isinstance(values.get("precision"), str):  # what `arithmetic` was called at first
            values["arithmetic"] = values.pop("precision")
        return cls(**{name: _read(name, value) for name, value in values.items()})


def _check(name: str, value: object, right: bool, expected: str) -> None:
    if not right:
        raise RecipeError(f"{name} is {value!r}.", expected=expected, do=f"Give another value with --set {name}=VALUE.")


def read_time(text: str) -> float:
    """Seconds that a text such as `90s`, `10m` or `1.5h` means; 0 where it means none.

    >>> read_time("1.5h")
    5400.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip().lower())
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0


def _kind(name: str) -> Any:
    """The type of a setting: bool, int, float, str, or tuple (of texts)."""
    kinds = get_type_hints(Recipe)
    if name not in kinds:
        close = suggest(name, kinds)
        raise RecipeError(
            f"A recipe has no setting {name!r}.",
            expected=f"Did you mean {close[0]!r}?" if close else f"One of {', '.join(f.name for f in fields(Recipe))}.",
            do="All settings are in the recipe.toml of every run folder; docs/settings.md explains them.",
        )
    return kinds[name] if isinstance(kinds[name], type) else tuple


def _read(name: str, value: Any) -> Any:
    """A value from TOML as the type of its setting."""
    kind = _kind(name)
    if kind is tuple:
        right = isinstance(value, list) and all(isinstance(one, str) for one in value)
        _check(name, value, right, "A list of texts.")
        return tuple(value)
    right = type(value) is kind or (kind is float and type(value) is int)
    _check(name, value, right, f"A value of type {kind.__name__}.")
    return value


def _parse(name: str, text: str) -> Any:
    """A value from a text of the command line."""
    kind = _kind(name)
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        known = dict.fromkeys(("yes", "true", "1", "on"), True) | dict.fromkeys(("no", "false", "0", "off"), False)
        _check(name, text, text.lower() in known, "yes or no.")
        return known[text.lower()]
    try:
        return kind(text)
    except ValueError:
        _check(name, text, False, "A whole number." if kind is int else "A number.")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # JSON's escapes are among TOML's; TOML wants one more character escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
