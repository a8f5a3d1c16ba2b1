"""`deal`: samples into parts of given shares, so that what belongs together stays together and every part has its
share of every class, as nearly as that allows.

Units of several classes come first, the largest first, each to the part where it disturbs the shares least. Then the
units of one class, the largest first, by quota. Single samples come last and even out what the larger units left, so
the result is as balanced as the units allow; the work is a loop over classes and sizes, not over samples.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_JITTER: Final = 1e-6

Rows = NDArray[np.int64]
Goal = NDArray[np.float64]


def deal(units: Rows, codes: NDArray[np.int32], shares: tuple[float, ...], *, seed: int, spread: bool = False) -> Rows:
    """Number of the part of each sample, int64 `[n]`, where part p is to have the share `shares[p]` of each class.

    `units` int64 `[n]` says which samples must stay together, `codes` `[n]` of which class each is. A class with at
    least as many units as there are parts is in every part. One with fewer has its first unit in the first part and
    the others in the last; with `spread`, each in another part.

    >>> np.bincount(deal(np.arange(20), np.zeros(20, np.int32), (0.7, 0.15, 0.15), seed=0)).tolist()
    [14, 3, 3]
    """
    goal = np.array(shares, np.float64) / sum(shares)
    names, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    classes = int(codes.max()) + 1 if len(codes) else 0
    pairs, counts = np.unique(unit * classes + codes, return_counts=True)
    dealing = _Dealing(goal, classes, len(names), seed, spread)
    mixed = np.bincount(pairs // max(1, classes), minlength=len(names)) > 1
    main = np.zeros(len(names), np.int64)
    order = np.argsort(counts, kind="stable")
    main[pairs[order] // max(1, classes)] = pairs[order] % max(1, classes)  # of several the most frequent is last
    dealing.place_mixed(np.flatnonzero(mixed), sizes, pairs, counts)
    dealing.place_alike(np.flatnonzero(~mixed), sizes, main)
    if not spread:
        dealing.repair(main, sizes)
        dealing.put_first(pairs, sizes)
    return dealing.part[unit]


class _Dealing:
    """Which part each unit has, and how many samples of each class each part has so far."""

    def __init__(self, goal: Goal, classes: int, units: int, seed: int, spread: bool) -> None:
        self.goal, self.seed, self.spread = goal, seed, spread
        self.part = np.full(units, -1, np.int64)
        self.filled = np.zeros((classes, len(goal)))

    def place_mixed(self, chosen: Rows, sizes: Rows, pairs: Rows, counts: Rows) -> None:
        """Units of several classes, one by one, the largest first: to the part where chi-square grows least."""
        classes = len(self.filled)
        totals = np.bincount(pairs % max(1, classes), weights=counts, minlength=classes)
        shuffled = np.random.default_rng(self.seed).permutation(chosen)
        starts = np.searchsorted(pairs // max(1, classes), np.arange(len(self.part) + 1))
        for one in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
            mine = slice(starts[one], starts[one + 1])
            kinds, number = pairs[mine] % classes, counts[mine][:, None]
            wanted = totals[kinds][:, None] * self.goal
            growth = (2 * number * (self.filled[kinds] - wanted) + number**2) / np.maximum(wanted, 1e-9)
            best = int(np.argmin(growth.sum(axis=0)))
            self.part[one] = best
            self.filled[kinds, best] += number[:, 0]

    def place_alike(self, chosen: Rows, sizes: Rows, main: Rows) -> None:
        """Units of one class: all of a class and size at once, the largest first, by what each part still lacks."""
        order = chosen[np.lexsort((main[chosen], -sizes[chosen]))]
        kinds = np.stack([sizes[order], main[order]])
        cuts = np.flatnonzero((kinds[:, 1:] != kinds[:, :-1]).any(axis=0)) + 1
        for members in np.split(order, cuts):
            if len(members):
                self._place(members, int(sizes[members[0]]), int(main[members[0]]))

    def _place(self, members: Rows, size: int, code: int) -> None:
        filled = self.filled[code]
        # A generator for each class: more pictures of one class leave the others where they are.
        rng = np.random.default_rng([self.seed, code, size])
        lacking = np.maximum(self.goal * (filled.sum() + size * len(members)) - filled, 0) / size
        quota = lacking * (len(members) / max(lacking.sum(), 1e-12)) if lacking.sum() else self.goal * len(members)
        number = np.floor(quota + _JITTER).astype(np.int64)
        # Where all parts are alike, chance decides who gets what is over: else always the first ones would.
        rest = quota - number + (rng.uniform(0, _JITTER, len(quota)) if self.spread else 0)
        while number.sum() < len(members):
            best = int(np.argmax(rest))
            number[best] += 1
            rest[best] -= 1
        members = rng.permutation(members)
        self.part[members] = np.repeat(np.arange(len(number)), number)
        filled += size * np.bincount(self.part[members], minlength=len(filled))

    def repair(self, main: Rows, sizes: Rows) -> None:
        """Small classes, of which a part has nothing: units of theirs are moved."""
        parts = len(self.goal)
        order = np.argsort(main, kind="stable")
        cuts = np.searchsorted(main[order], np.arange(len(self.filled) + 1))
        held = np.zeros(self.filled.shape, np.int64)
        np.add.at(held, (main, self.part), 1)
        for code in np.flatnonzero((held == 0).any(axis=1)).tolist():
            members = order[cuts[code] : cuts[code + 1]]
            if not len(members):
                continue
            if len(members) < parts:
                self.part[members] = parts - 1
                self.part[np.random.default_rng([self.seed, code]).choice(members)] = 0
                continue
            for empty in np.flatnonzero(held[code] == 0):
                donor = int(np.argmax(np.bincount(self.part[members], minlength=parts)))
                mine = members[self.part[members] == donor]
                self.part[mine[np.argmin(sizes[mine])]] = empty

    def put_first(self, pairs: Rows, sizes: Rows) -> None:
        """Classes of which the first part has nothing, as units of several classes may leave it: it gets a unit."""
        unit, code = np.divmod(pairs, max(1, len(self.filled)))
        for one in np.setdiff1d(code, code[self.part[unit] == 0]).tolist():
            members = unit[code == one]
            if (self.part[members] > 0).all():  # the unit that another class was given may have brought it
                self.part[members[np.argmin(sizes[members])]] = 0
