"""Decoded pixels to the square that the network sees: as data that is saved with the weights.

The same `apply` runs in training, prediction and evaluation, so that all see the same pixels.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from telltale.errors import RecipeError

RESIZES: Final = ("crop", "squash", "pad")

VERSION: Final = f"1 opencv {cv2.__version__}"
"""Of the pixels that `Preprocess.apply` gives, as `telltale.data.decoding.VERSION` is of its own."""

# One picture is resized on one thread; several threads work on several pictures.
cv2.setNumThreads(1)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes the input of a network.

    >>> square = Preprocess(size=8).apply(np.zeros((12, 18, 3), np.uint8))
    >>> square.shape, square.dtype
    ((8, 8, 3), dtype('uint8'))
    """

    size: int = 224
    """Height and width of the input, in pixels."""
    resize: str = "crop"
    """`crop`: shorter side to `size`, middle square; `squash`: both sides; `pad`: longer side, grey around."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from pixels / 255, per channel."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Divided by afterwards, per channel."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise RecipeError(
                f"The input size is {self.size}.", expected="8 to 4096 pixels.", do="Give another --img-size."
            )
        if self.resize not in RESIZES:
            raise RecipeError(
                f"The resize is {self.resize!r}.",
                expected=f"One of {', '.join(RESIZES)}.",
                do="Give one of them with --set resize=NAME.",
            )

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 `[height, width, 3]` of any size to uint8 `[size, size, 3]`; the network normalises by itself."""
        height, width = pixels.shape[:2]
        if self.resize == "squash":
            return shrink(pixels, self.size, self.size)
        side = min(height, width) if self.resize == "crop" else max(height, width)
        inner = shrink(pixels, max(1, round(height * self.size / side)), max(1, round(width * self.size / side)))
        if self.resize == "crop":
            top, left = (inner.shape[0] - self.size) // 2, (inner.shape[1] - self.size) // 2
            return np.ascontiguousarray(inner[top : top + self.size, left : left + self.size])
        top, left = (self.size - inner.shape[0]) // 2, (self.size - inner.shape[1]) // 2
        square = np.full((self.size, self.size, 3), 128, np.uint8)
        square[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return square

    def place_back(self, heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """A map over the network's square, float32 `[h, w]` of any size from 0 to 1, as `[height, width]` of a picture.

        The reverse of `apply`: enlarged smoothly, without what was put around the picture (`pad`), and NaN where the
        network has not looked (`crop`).

        >>> Preprocess(size=8).place_back(np.ones((2, 2), np.float32), 2, 4).tolist()
        [[nan, 1.0, 1.0, nan], [nan, 1.0, 1.0, nan]]
        """
        if self.resize == "squash":
            return _enlarge(heat, height, width)
        if self.resize == "pad":
            side = max(height, width)
            top, left = (side - height) // 2, (side - width) // 2
            # Along one side, cut, then along the other: the whole square of a long picture may not fit into memory.
            if height < width:
                return _enlarge(_enlarge(heat, side, heat.shape[1])[top : top + height], height, width)
            return _enlarge(_enlarge(heat, heat.shape[0], side)[:, left : left + width], height, width)
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        placed = np.full((height, width), np.nan, np.float32)
        placed[top : top + side, left : left + side] = _enlarge(heat, side, side)
        return placed

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocess":
        """What `to_dict` gave."""
        return cls(size=values["size"], resize=values["resize"], mean=tuple(values["mean"]), std=tuple(values["std"]))


def shrink(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to `height` x `width`: the mean over whole blocks of pixels first, then bilinear for the rest.

    Blocks (side = whole part of the scale) keep a large picture from aliasing; what is left is a factor below 2,
    where plain bilinear is enough: on cats and dogs no accuracy is lost against Pillow's antialiased bicubic at a
    ninth of its time (benchmarks/RESULTS.md#resizing). Both steps exist in ONNX, so an exported graph can hold them.
    """
    rows, columns = max(1, pixels.shape[0] // height), max(1, pixels.shape[1] // width)
    if rows > 1 or columns > 1:
        whole_height, whole_width = pixels.shape[0] // rows, pixels.shape[1] // columns
        pixels = _as_uint8(
            cv2.resize(
                pixels[: whole_height * rows, : whole_width * columns],
                (whole_width, whole_height),
                interpolation=cv2.INTER_AREA,
            )
        )
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    return _as_uint8(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def _enlarge(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Bicubic, which draws no edges along the rows and columns of a coarse map as bilinear does; kept within 0 .. 1."""
    return np.clip(np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC), np.float32), 0, 1)


def _as_uint8(pixels: Any) -> NDArray[np.uint8]:
    """OpenCV gives the type that it was given, which its annotations do not say."""
    return np.asarray(pixels, np.uint8)
