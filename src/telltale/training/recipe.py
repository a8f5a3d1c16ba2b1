"""`Recipe`: every setting of a training, documented, checked, and saved with the run."""

import json
import math
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

from telltale.batches.preprocess import RESIZES
from telltale.errors import RecipeError
from telltale.files import write_atomic
from telltale.registry import suggest

FITS: Final = ("auto", "probe", "scratch")
SCHEDULES: Final = ("cosine", "constant", "plateau")
PRECISIONS: Final = ("auto", "f32", "bf16")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every setting of one training; immutable, so that what is saved is what ran.

    >>> Recipe(epochs=5).epochs
    5
    >>> Recipe(epochs=0)
    Traceback (most recent call last):
    telltale.errors.RecipeError: epochs is 0. A whole number of at least 1. Give another value with --set epochs=VALUE.
    """

    model: str = "mobilenetv2_100"
    """Network: any name of `telltale models`, or `cnn` for the small plain one that trains from nothing."""
    fit: str = "auto"
    """`probe`: frozen pretrained backbone, head fitted on its features; `scratch`: random weights, all trained;
    `auto`: scratch for `cnn`, else probe."""
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
    """Probe: pictures whose features are nearly equal (another crop, another shot) look the same, too."""
    fix_leaks: bool = False
    """Move pictures out of the source's own validation and test parts that are copies of pictures before them."""
    folds: int = 0
    """Cross-validation: train so many times, so that every picture is tested once; 0: once, with one test part."""
    labels_fix: str = ""
    """CSV with corrected labels (file, given, suggested), as `telltale inspect --model` writes it."""
    precision: str = "auto"
    """Of the frozen backbone: `f32`, `bf16`, or `auto`: bf16 where the processor has it and the answers stay."""
    epochs: int = 30
    """Scratch: passes over the training pictures, at most."""
    batch_size: int = 32
    """Scratch: pictures per step."""
    lr: float = 0.001
    """Scratch: largest learning rate (Adam)."""
    weight_decay: float = 0.0
    """Scratch: decoupled weight decay (AdamW) of matrices and kernels."""
    schedule: str = "cosine"
    """Scratch: learning rate over time: `cosine` to zero, `constant`, or `plateau`: a tenth when validation loss stalls
    for half of the patience."""
    patience: int = 12
    """Scratch: stop after so many epochs without a better validation loss; 0: never."""
    flip: bool = True
    """Scratch: mirror every second training picture from left to right, drawn anew in each epoch."""

    def __post_init__(self) -> None:
        for name, allowed in (("fit", FITS), ("resize", RESIZES), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            _check(name, getattr(self, name), getattr(self, name) in allowed, f"One of {', '.join(allowed)}.")
        for name in ("epochs", "batch_size"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "A whole number of at least 1.")
        for name in ("patience", "seed", "weight_decay"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "A number of at least 0.")
        _check("folds", self.folds, self.folds == 0 or 2 <= self.folds <= 100, "0, or 2 to 100.")
        _check("img_size", self.img_size, self.img_size == 0 or 8 <= self.img_size <= 4096, "0, or 8 to 4096 pixels.")
        _check("lr", self.lr, 0 < self.lr < math.inf, "A number above 0.")
        for name in ("val_split", "test_split"):
            _check(name, getattr(self, name), 0 < getattr(self, name) < 0.9, "A share between 0 and 0.9.")
        shares = self.val_split + self.test_split
        _check("val_split + test_split", shares, shares < 0.95, "Less than 0.95: the rest is for training.")

    @property
    def how(self) -> str:
        """`probe` or `scratch`: `fit` with `auto` resolved."""
        if self.fit != "auto":
            return self.fit
        return "scratch" if self.model == "cnn" else "probe"

    def with_settings(self, settings: dict[str, str]) -> "Recipe":
        """This recipe with fields set from texts, as `--set name=value` gives them.

        >>> Recipe().with_settings({"epochs": "3", "flip": "no"}).flip
        False
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
        for name, value in values.items():
            kind = _kind(name)
            if type(value) is not kind and not (kind is float and type(value) is int):
                _check(name, value, False, f"A value of type {kind.__name__}.")
        return cls(**values)


def _check(name: str, value: object, right: bool, expected: str) -> None:
    if not right:
        raise RecipeError(f"{name} is {value!r}.", expected=expected, do=f"Give another value with --set {name}=VALUE.")


def _kind(name: str) -> type:
    kinds = get_type_hints(Recipe)
    if name not in kinds:
        close = suggest(name, kinds)
        raise RecipeError(
            f"A recipe has no setting {name!r}.",
            expected=f"Did you mean {close[0]!r}?" if close else f"One of {', '.join(f.name for f in fields(Recipe))}.",
            do="See `telltale train --help`.",
        )
    return kinds[name]  # type: ignore[no-any-return]


def _parse(name: str, text: str) -> Any:
    kind = _kind(name)
    if kind is bool:
        known = {
            "yes": True,
            "true": True,
            "1": True,
            "on": True,
            "no": False,
            "false": False,
            "0": False,
            "off": False,
        }
        _check(name, text, text.lower() in known, "yes or no.")
        return known[text.lower()]
    try:
        return kind(text)
    except ValueError:
        _check(name, text, False, "A whole number." if kind is int else "A number.")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are among TOML's; TOML wants one more character escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
