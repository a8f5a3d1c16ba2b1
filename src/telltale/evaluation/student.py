"""Student's t, of which the intervals need one quantile; scipy would be a dependency for this number alone."""

from functools import lru_cache
from math import exp, lgamma, pi
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Z: Final = 1.959963984540054
"""97.5 % of a normal distribution lie below this many standard deviations."""

_NODES: Final = 401


def t_quantile(freedom: NDArray[Any]) -> NDArray[np.float64]:
    """What 97.5 % of Student's t lie below, for degrees of freedom (whole or not) of any shape; below 1 as for 1.

    Interpolated between 401 values of 1 / freedom: within 0.0001 of the truth.

    >>> t_quantile(np.array([1.0, 4.0, 30.0, np.inf])).round(3).tolist()
    [12.706, 2.776, 2.042, 1.96]
    """
    inverse = 1 / np.maximum(freedom, 1.0)
    found: NDArray[np.float64] = np.interp(inverse, np.linspace(0, 1, _NODES), _table())
    return found


@lru_cache
def _table() -> NDArray[np.float64]:
    """The quantile where 1 / freedom is 0, 1 / 400, ... 1, from the integral of the density; takes 20 ms."""
    step = 0.005
    points = np.arange(0, 13, step)
    found = [Z]
    for inverse in np.linspace(0, 1, _NODES)[1:].tolist():
        freedom = 1 / inverse
        scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / (freedom * pi) ** 0.5
        density = scale * (1 + points**2 / freedom) ** (-(freedom + 1) / 2)
        below = np.cumsum((density[1:] + density[:-1]) * (step / 2))
        found.append(float(np.interp(0.475, below, points[1:])))
    return np.array(found)
