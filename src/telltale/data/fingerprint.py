"""`fingerprint`: 64 bytes that hardly change when a picture is saved again, scaled, brightened or cropped a little.

A picture is squeezed to 32 x 32 and described by the low frequencies of its discrete cosine transform, as perceptual
hashes do (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010), but with their values
and not only their signs: 48 frequencies of the luma, divided by their common length, so that brightness and contrast
do not count; and 8 of each of two colour differences, relative to the brightness. Natural pictures have amplitudes
that fall with the frequency; half of that is taken back (`_LIFT`), so that details count too.

The Euclidean distance of two fingerprints says how alike two pictures look: 0 to 0.4 for copies of one picture, 1.4 on
average for different ones. What that was measured on: benchmarks/RESULTS.md#near-duplicates.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BYTES: Final = 64
"""Length of a fingerprint: one signed byte per frequency."""

SIDE: Final = 32
"""Pictures are squeezed to `SIDE` x `SIDE` pixels first."""

FLAT: Final = 2.0
"""Least standard deviation of the luma (0 to 255) for a fingerprint: below it only noise is left to compare."""

_LUMA: Final = 48
_COLOUR: Final = 8
_LIFT: Final = 0.5
_COLOUR_WEIGHT: Final = 10**0.5
"""Of colour against luma. Chosen with `_LIFT` and the two counts on 1,250 photos and 8,000 drawn pictures: at the
distance that finds 98 % of the copies it gave the fewest false pairs (4e-7 of drawn shapes, none of photos)."""

SCALE: Final = 1 / 127
"""What one step of a fingerprint's byte is worth: distances are those of fingerprints times this."""

_DARK: Final = 16.0
"""Added to the brightness that colour is relative to: in the dark, colour is mostly noise."""


def _lowest(count: int, start: int) -> NDArray[np.intp]:
    """Places of the `count` lowest frequencies from number `start` on in a `SIDE` x `SIDE` transform."""
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    order = np.lexsort((down.ravel(), (down**2 + across**2).ravel()))
    return order[start : start + count]


_LUMA_PLACES: Final = _lowest(_LUMA, 1)
_COLOUR_PLACES: Final = _lowest(_COLOUR, 0)
_LUMA_WEIGHTS: Final = np.hypot(*np.divmod(_LUMA_PLACES, SIDE)).astype(np.float32) ** np.float32(_LIFT)
_ACROSS: Final = np.concatenate([_LUMA_PLACES, _COLOUR_PLACES, _COLOUR_PLACES]) % SIDE
_MIRROR: Final = np.where(_ACROSS % 2 == 1, -1, 1).astype(np.int8)
"""A mirrored picture has the same frequencies; those that are odd across change their sign."""


def _basis(places: NDArray[np.intp]) -> NDArray[np.float32]:
    """The two-dimensional cosines of these places, orthonormal, one a row: float32 `[places, SIDE * SIDE]`."""
    steps = np.arange(SIDE)
    cosines = np.cos(np.pi * np.outer(steps, 2 * steps + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    cosines[0] /= np.sqrt(2)
    down, across = np.divmod(places, SIDE)
    products: NDArray[np.float32] = np.einsum("ny,nx->nyx", cosines[down], cosines[across]).astype(np.float32)
    return products.reshape(len(places), SIDE * SIDE)


_LUMA_BASIS: Final = _basis(_LUMA_PLACES) * _LUMA_WEIGHTS[:, None]
_COLOUR_BASIS: Final = _basis(_COLOUR_PLACES) * np.float32(_COLOUR_WEIGHT)
_TO_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


def fingerprint(tones: NDArray[np.uint8], square: NDArray[np.uint8]) -> bytes | None:
    """The fingerprint of a picture that was squeezed to its luma, uint8 `[32, 32]`, and to uint8 `[32, 32, 3]`.

    None where it is too flat to have one.
    """
    luma = tones.astype(np.float32).ravel()
    if float(luma.std()) < FLAT:
        return None
    shape = _LUMA_BASIS @ luma
    shape /= max(float(np.linalg.norm(shape)), 1e-6)
    pixels = square.reshape(-1, 3).astype(np.float32)
    colours = pixels[:, ::2] - (pixels @ _TO_LUMA)[:, None]  # red and blue; green follows from them
    relative = (_COLOUR_BASIS @ colours).T.ravel() / (SIDE * (float(luma.mean()) + _DARK))
    values = np.concatenate([shape, relative])
    return bytes(np.rint(np.clip(values, -1, 1) / SCALE).astype(np.int8))


def fingerprint_matrix(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Rows of an Arrow column that have a fingerprint, and their fingerprints int8 `[rows, 64]`."""
    pieces = [np.zeros(0, np.int8)]
    for chunk in column.chunks:
        kept = chunk.drop_null()
        data = np.frombuffer(kept.buffers()[1] or b"", np.int8)
        pieces.append(data[kept.offset * BYTES : (kept.offset + len(kept)) * BYTES])
    rows = np.flatnonzero(column.is_valid().to_numpy())
    return rows.astype(np.int64), np.concatenate(pieces).reshape(-1, BYTES)


def mirror(fingerprints: NDArray[np.int8]) -> NDArray[np.int8]:
    """The fingerprints int8 `[n, 64]` of the same pictures, flipped left to right."""
    return fingerprints * _MIRROR
