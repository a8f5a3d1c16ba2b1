"""Which looks were taken at the test part of a run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """One scoring of test pictures."""

    when: str
    by: str
    pictures: int
