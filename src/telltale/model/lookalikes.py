"""`find_lookalikes`: pictures that a frozen network can hardly tell apart: other crops, other shots of one scene.

The fingerprint finds copies that were saved again, scaled or cropped a little. Features also see past a turn by a few
degrees, a crop of a tenth or a mirror; in exchange they take two very similar things for one.
"""

from typing import Final

import numpy as np

from telltale.data.duplicates import RADIUS
from telltale.data.groups import REACH, cut_chains
from telltale.data.index import Index
from telltale.data.neighbours import Pairs, find_pairs
from telltale.model.features import Extractor, features
from telltale.model.head import Floats
from telltale.progress import Tell, silent

ALIKE: Final = 0.85
"""Least cosine of centred features. Of 347,000 pairs of photos the closest has 0.81; of the same photos, cropped by a
tenth 82 % are above, turned by 5 degrees 84 %, mirrored 97 % (MobileNetV2 0.35 at 224, 834 photos of cats and dogs)."""

_APART: Final = (2 - 2 * ALIKE) ** 0.5
_DIMENSIONS: Final = 64
_SLACK: Final = 1.35
"""How much farther apart projected pairs may be: 64 random directions keep distances to within a third."""
_SCALE: Final = 1 / 200
_BLOCK: Final = 16_384


def find_lookalikes(index: Index, extractor: Extractor, *, seed: int = 0, tell: Tell = silent) -> Pairs:
    """Pairs of rows of `index` whose features point in nearly the same direction, none of them through a chain.

    `distance` is scaled so that what is just alike has the `RADIUS` of fingerprints. Unreadable pictures have no pairs.
    """
    rows = np.flatnonzero(index.table.column("error").is_null().to_numpy())
    matrix = features(index.take(rows), extractor, tell=tell)
    mean = np.asarray(np.mean(matrix, axis=0, dtype=np.float64), np.float32)
    directions = np.random.default_rng(seed).standard_normal((matrix.shape[1], _DIMENSIONS), np.float32)
    points = np.empty((len(rows), _DIMENSIONS), np.int8)
    for start in range(0, len(rows), _BLOCK):
        placed = _unit(matrix[start : start + _BLOCK], mean) @ directions * np.float32(_DIMENSIONS**-0.5 / _SCALE)
        points[start : start + _BLOCK] = np.clip(np.rint(placed), -127, 127)
    pairs = find_pairs(points, _SLACK * _APART, scale=_SCALE)
    cosine = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _BLOCK):
        part = slice(start, start + _BLOCK)
        one, other = (_unit(matrix[side[part]], mean) for side in (pairs.left, pairs.right))
        cosine[part] = np.einsum("nd,nd->n", one, other)
    kept = pairs.take(cosine >= ALIKE)
    group = cut_chains(len(rows), kept.left, kept.right, points, REACH * _SLACK * _APART / _SCALE)
    distance = np.sqrt(np.maximum(2 - 2 * cosine[cosine >= ALIKE], 0)) * np.float32(RADIUS / _APART)
    found = Pairs(rows[kept.left], rows[kept.right], distance)
    return found.take(group[kept.left] == group[kept.right])


def _unit(block: Floats, mean: Floats) -> Floats:
    """Centred, and of length 1."""
    centred = block - mean
    lengths = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return np.asarray(centred / lengths, np.float32)
