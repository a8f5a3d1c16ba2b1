"""What a classifier refuses: the rule that its bundle carries."""

from dataclasses import dataclass
from typing import Final

ACCEPTED: Final = 0
UNSURE: Final = 1
UNLIKE: Final = 2


@dataclass(frozen=True, slots=True)
class RejectRule:
    """When an answer is given, and when it is refused."""

    precision: float
    """Wanted share right among accepted pictures, such as 0.99."""
    threshold: float
    """Least calibrated probability of the most probable class."""
    unlike_above: float
    """Strangeness above which a picture is unlike those learned from; inf: never."""
    coverage: float
    """Nominal coverage of prediction sets, such as 0.95."""
    set_threshold: float
    """A class with at least this probability is in the set."""
    pictures: int
    """How many pictures it was set on."""
    assured: bool
    """Whether the wanted precision was reached on them, with its confidence; else this is the best that there is."""
