"""`Augmentation`: random changes of training pictures, named in words, drawn for each picture from (seed, epoch, row).

>>> augmentation = parse_augmentation(["flip-rotation", "cutout=0.2"])
>>> str(augmentation)
'flip@0.5 rotation=-72:72@1 cutout=0.2:0.2@0.5'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from telltale.batches.chance import Chance
from telltale.batches.changes import Term, parse_term
from telltale.errors import RecipeError

if TYPE_CHECKING:
    import torch

PRESETS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "light": ("flip", "rotation=10", "zoom=0.1", "shift=0.05", "brightness=0.15", "contrast=0.15"),
    "medium": (
        "flip", "crop=0.5", "rotation=15", "shear=5", "brightness=0.25", "contrast=0.25", "saturation=0.25", "hue=10",
        "cutout=0.25@0.25",
    ),
    "strong": ("flip", "crop=0.3", "trivialaugment", "cutout=0.4@0.5"),
    # Keras: RandomFlip("horizontal"), RandomRotation(0.2), which is 0.2 of a turn to either side.
    "flip-rotation": ("flip", "rotation=72"),
    # Keras' ImageDataGenerator as its documentation shows it: shear_range=0.2, zoom_range=0.2, with both flips. 0.2 are
    # the radians of its first versions, 11.5 degrees; as degrees, which it reads today, nothing could be seen of them.
    # A zoom of 0.8 to 1.2 there is how much of the picture is looked at: here it is enlarged by 1 / 1.2 to 1 / 0.8.
    "shear-zoom-flips": ("flip", "vertical_flip", "shear=11.5", "zoom=0.8333:1.25"),
    # Albumentations 1.4: HorizontalFlip, VerticalFlip, Transpose, RandomBrightnessContrast (0.2), RGBShift (20),
    # GridDistortion (5 steps, 0.3), OpticalDistortion (0.05), each with its usual probability of 0.5. Its brightness
    # adds up to 0.2 of white; here it multiplies.
    "distortions": (
        "flip", "vertical_flip", "transpose", "brightness=0.8:1.2@0.5", "contrast=0.8:1.2@0.5", "rgb_shift=20@0.5",
        "grid_distortion=0.3@0.5", "optical_distortion=0.05@0.5",
    ),
}  # fmt: skip
"""Lists of terms by name."""

_MIXES: Final = frozenset({"mixup", "cutmix"})


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of training pictures, drawn for each picture from (seed, epoch, row) and nothing else.

    >>> import torch
    >>> squares = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    >>> changed = parse_augmentation(["light"]).apply(squares, np.array([5, 9]), seed=0, epoch=1)
    >>> changed.shape, changed.dtype
    (torch.Size([2, 3, 8, 8]), torch.float32)
    """

    terms: tuple[Term, ...] = ()
    """Each change once, in any order: what is done first is fixed (`alteration.alter`)."""

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with one another: then `mix` is to be called, and the loss to be shared."""
        return any(term.name in _MIXES and term.probability > 0 for term in self.terms)

    def __str__(self) -> str:
        """All terms with all their numbers, from which `parse_augmentation` makes the same again; or `none`."""
        return " ".join(map(str, self.terms)) or "none"

    def apply(self, squares: "torch.Tensor", rows: NDArray[np.int64], *, seed: int, epoch: int) -> "torch.Tensor":
        """uint8 `[n, size, size, 3]` on any device to float32 `[n, 3, size, size]` there, 0 to 255, channels last.

        `rows` are the numbers of the pictures in their part. A picture's result does not depend on the batch that it is
        in: bit for bit on CPU. Where the same picture is given twice in an epoch, a row number of its own for each
        time makes two different draws. The input is not overwritten; the device is not waited for.
        """
        from telltale.batches.alteration import alter

        return alter(squares, {term.name: term for term in self.terms}, Chance(seed, epoch, rows))

    def mix(
        self, inputs: "torch.Tensor", rows: NDArray[np.int64], *, seed: int, epoch: int
    ) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
        """Mixup or cutmix of a batch: the mixed inputs, each picture's partner, and the share of its own label.

        Float `[n, 3, size, size]`, normalised or not; int64 `[n]`, places in the batch; float32 `[n]`, 0 to 1. A
        picture that is not mixed, or is alone, is its own partner with share 1. How a picture is mixed follows from
        (seed, epoch, row), its partner from the rows of the batch in whatever order. `inputs` is not overwritten.
        """
        from telltale.batches.mixing import mix_pictures

        return mix_pictures(inputs, {term.name: term for term in self.terms}, Chance(seed, epoch, rows))


def describe_presets() -> str:
    """A table of all presets in Markdown: name and terms."""
    rows = [f"| `{name}` | {' '.join(f'`{term}`' for term in terms)} |" for name, terms in PRESETS.items()]
    return "\n".join(["| preset | changes |", "|---|---|", *rows]) + "\n"


def parse_augmentation(terms: Sequence[str]) -> Augmentation:
    """The augmentation of these terms: `NAME`, `NAME=NUMBER`, `NAME=LOW:HIGH`, each with `@PROBABILITY`, or a preset.

    A later term takes the place of an earlier one of the same name, so a preset can be changed by what follows it. A
    `RecipeError` tells of a wrong name, value or probability.

    >>> str(parse_augmentation(["flip-rotation", "rotation=10", "flip@0"]))
    'flip@0 rotation=-10:10@1'
    """
    found: dict[str, Term] = {}
    for text in terms:
        name = text.strip()
        if name in PRESETS:
            found.update((term.name, term) for term in parse_augmentation(PRESETS[name]).terms)
            continue
        preset = name.partition("@")[0].partition("=")[0]
        if preset in PRESETS:
            raise RecipeError(
                f"The augmentation {text!r} gives the preset {preset!r} a value or a probability.",
                expected="The name of a preset alone; its terms have their own.",
                do=f"Write {preset}, and after it the terms that shall be different.",
            )
        term = parse_term(name, tuple(PRESETS))
        found[term.name] = term
    return Augmentation(tuple(found.values()))
