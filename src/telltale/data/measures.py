"""`measure`: what the pixels of one picture tell, as a few numbers: brightness, contrast, sharpness, colour, likeness.

The luma is first reduced by whole blocks to 128 to 255 pixels on its shorter side, and of the colours a grid of pixels
is taken: a photo of 24 megapixels and its small copy give nearly the same numbers, with less work than decoding takes.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from telltale.data.fingerprint import SIDE, fingerprint

VERSION: Final = f"3 opencv {cv2.__version__}"
"""Of the numbers that `measure` gives: what is kept is kept under it."""

THUMBNAIL: Final = 16
"""Height and width of the thumbnail, in pixels."""

_SHORTER: Final = 128
_COLOUR_SIDE: Final = 64

# OpenCV would use all cores for one picture; here every thread has its own.
cv2.setNumThreads(1)


@dataclass(frozen=True, slots=True)
class Measures:
    """What the pixels of a picture tell. Luma is 0.299 R + 0.587 G + 0.114 B, from 0 (black) to 1 (white)."""

    brightness: float
    """Mean luma, 0 to 1."""
    contrast: float
    """Standard deviation of the luma, 0 to 0.5."""
    low: float
    """First percentile of the luma: 1 % of the picture is darker."""
    high: float
    """99th percentile of the luma: 1 % of the picture is brighter."""
    sharpness: float
    """Standard deviation of the luma's Laplacian divided by the slope (root mean square of the difference between
    neighbours): how abruptly the edges start and end, whatever their contrast; 0 where the picture is flat."""
    colour: float
    """Mean difference between the strongest and the weakest channel, 0 (grey) to 1."""
    fingerprint: bytes | None
    """64 bytes to find pictures that look alike; None where the picture is too flat."""
    thumbnail: bytes
    """The whole picture squeezed to 16 x 16, RGB: 768 bytes."""


def measure(pixels: NDArray[np.uint8]) -> Measures:
    """The `Measures` of a decoded picture, uint8 `[height, width, 3]`.

    >>> measure(np.full((20, 30, 3), 255, np.uint8)).brightness
    1.0
    """
    luma = _reduce(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8), _SHORTER)
    mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(luma))
    laplacian = float(cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1][0, 0])
    counts = np.cumsum(cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel())
    low, high = np.searchsorted(counts, [0.01 * counts[-1], 0.99 * counts[-1]])
    square = np.asarray(cv2.resize(_sample(pixels), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    tones = np.asarray(cv2.resize(_reduce(luma, _SHORTER // 2), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    thumbnail = cv2.resize(square, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return Measures(
        brightness=min(1.0, mean / 255),
        contrast=spread / 255,
        low=int(low) / 255,
        high=int(high) / 255,
        sharpness=laplacian / max(_slope(luma), 1e-6) if spread >= 1 else 0.0,
        colour=_spread(square) / 255,
        fingerprint=fingerprint(tones, square),
        thumbnail=thumbnail.tobytes(),
    )


def _spread(square: NDArray[np.uint8]) -> float:
    """Mean difference between the strongest and the weakest channel; written out, it takes a sixth of the time."""
    red, green, blue = square[:, :, 0], square[:, :, 1], square[:, :, 2]
    strongest, weakest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return float((strongest - weakest).mean())


def _slope(luma: NDArray[np.uint8]) -> float:
    """Root mean square of the difference between neighbours, down and across together."""
    pairs = [(luma[1:], luma[:-1]), (luma[:, 1:], luma[:, :-1])]
    return float(np.sqrt(sum(cv2.norm(one, other, cv2.NORM_L2SQR) / max(1, one.size) for one, other in pairs)))


def _reduce(luma: NDArray[np.uint8], shorter: int) -> NDArray[np.uint8]:
    """Mean over whole blocks so that the shorter side has `shorter` pixels, or up to twice as many.

    What is left over, less than one part in `shorter`, is cut off evenly: an exact reduction takes five times as long.
    """
    height, width = luma.shape
    block = min(height, width) // shorter
    if block < 2:
        return luma
    rows, columns = height // block, width // block
    top, left = (height - rows * block) // 2, (width - columns * block) // 2
    inner = luma[top : top + rows * block, left : left + columns * block]
    return np.asarray(cv2.resize(inner, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _sample(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every so many pixels, so that at least 64 are left on each side: enough for colour, in a tenth of the time."""
    height, width = pixels.shape[:2]
    step = min(height, width) // _COLOUR_SIDE
    if step < 2:
        return pixels
    # From the middle of the first step, so that a mirrored picture gives the mirrored sample.
    inner = pixels[step // 2 : height - (step - 1) // 2, step // 2 : width - (step - 1) // 2]
    size = (inner.shape[1] - 1) // step + 1, (inner.shape[0] - 1) // step + 1
    return np.asarray(cv2.resize(inner, size, fx=0, fy=0, interpolation=cv2.INTER_NEAREST), np.uint8)
