"""`Chance`: random numbers for each picture of a batch, from (seed, epoch, row) and a name, and from nothing else.

A picture has a SplitMix64 generator of its own for each name; number k of it is a hash of k, so all pictures are drawn
at once, in any order, and one change draws the same whether or not there are others.
"""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.batches.changes import KNOWN, Term

Floats = NDArray[np.float64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_WORD: Final = 2**64 - 1
_TRIES: Final = 16
"""Of the rejection in `gamma`: each fails with less than 5 %, all of them once in 10^20."""


class Chance:
    """The random numbers of some pictures in one epoch.

    >>> alone, together = Chance(0, 1, np.array([7])), Chance(0, 1, np.array([5, 7]))
    >>> bool(alone.numbers("zoom")[0] == together.numbers("zoom")[1])
    True
    """

    def __init__(self, seed: int, epoch: int, rows: NDArray[np.int64]) -> None:
        start = _mix(_words(seed))
        start = _mix(start + _words(epoch))
        self._start = _mix(start + np.asarray(rows).astype(np.uint64))

    def __len__(self) -> int:
        """Pictures."""
        return len(self._start)

    def table(self, name: str, count: int) -> Floats:
        """`[count, n]`: so many even numbers from 0 to below 1 for each picture.

        Numbers lie side by side in memory, so that numpy treats one picture just as it treats many.
        """
        stream = _mix(self._start + _words(zlib.crc32(name.encode())))
        steps = np.arange(1, count + 1, dtype=np.uint64)[:, None] * _GOLDEN
        # The upper 53 bits, as many as a double holds.
        return np.asarray((_mix(stream + steps) >> np.uint64(11)) * 2.0**-53, np.float64)

    def numbers(self, name: str) -> Floats:
        """`[n]`: one even number from 0 to below 1 for each picture."""
        return np.asarray(self.table(name, 1)[0])

    def happens(self, term: Term) -> NDArray[np.bool_]:
        """`[n]`: whether `term` befalls each picture, with its probability."""
        return self.numbers(f"{term.name} happens") < term.probability

    def values(self, term: Term, also: str = "") -> Floats:
        """`[n]`: a value from the range of `term` for each picture; another one for each `also`."""
        share = self.numbers(f"{term.name} {also}")
        if KNOWN[term.name].spread.ratio:
            return np.asarray(np.exp(np.log(term.low) + share * (np.log(term.high) - np.log(term.low))))
        return np.asarray(term.low + share * (term.high - term.low))

    def beta(self, name: str, a: Floats) -> Floats:
        """`[n]`: numbers of the distributions Beta(a, a), as two gamma numbers make them; `a` is `[n]`."""
        first, second = self._log_gamma(f"{name} first", a), self._log_gamma(f"{name} second", a)
        # 1 / (1 + second / first), in logarithms: for small a both can be smaller than a double can say.
        return np.asarray(1 / (1 + np.exp(np.clip(second - first, -700, 700))))

    def _log_gamma(self, name: str, a: Floats) -> Floats:
        """`[n]`: logarithms of numbers of Gamma(a): the method of Marsaglia & Tsang (doi:10.1145/358407.358414)."""
        d = a + 1 - 1 / 3
        c = 1 / np.sqrt(9 * d)
        angle, radius, accept = self.table(name, 3 * _TRIES).reshape(3, _TRIES, -1)
        normal = np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)
        cube = np.maximum(1 + c * normal, 1e-9) ** 3
        fits = (1 + c * normal > 0) & (np.log(1 - accept) < normal**2 / 2 + d - d * cube + d * np.log(cube))
        first = fits.argmax(axis=0)
        gamma = d * np.take_along_axis(cube, first[None], axis=0)[0]
        # Gamma(a) is Gamma(a + 1) times the a-th root of an even number.
        return np.asarray(np.log(gamma) + np.log(1 - self.numbers(f"{name} root")) / a)


def _words(number: int) -> NDArray[np.uint64]:
    """As an array of one: numpy lets arrays of words overflow, as a hash wants it, but warns of single ones."""
    return np.array([number & _WORD], np.uint64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195)."""
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
