"""Names of files and classes as text for people: they come from outside and can hold anything."""

import unicodedata
from collections.abc import Sequence
from typing import Final


def printable(text: str, width: int = 0) -> str:
    """`text` without control characters (names are untrusted), shortened in its middle to `width` where that is given.

    >>> printable("a_very_long_name", 9), printable("bell\\x07")
    ('a_ve…name', 'bell?')
    """
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    if not width or len(clean) <= width:
        return clean
    tail = (width - 1) // 2
    return clean[: width - 1 - tail] + "…" + clean[len(clean) - tail :]


def enumerate_words(words: Sequence[str]) -> str:
    """Words in a row, with `and` before the last.

    >>> enumerate_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


_RISKY: Final = ("=", "+", "-", "@", "\t", "\r", "'")


def disarm(cell: str) -> str:
    """Text that no spreadsheet runs as a formula; `rearm` gives it back.

    >>> disarm("=1+1.jpg"), disarm("cat.jpg"), rearm(disarm("-1.jpg"))
    ("'=1+1.jpg", 'cat.jpg', '-1.jpg')
    """
    return f"'{cell}" if cell.startswith(_RISKY) else cell


def rearm(cell: str) -> str:
    """What `disarm` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RISKY) else cell


def columns(text: str) -> int:
    """Columns of a terminal that `text` takes: two for Chinese, Japanese and Korean letters, none for accents.

    >>> columns("cat"), columns("猫")
    (3, 2)
    """
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text
    )


def shorten(name: str, width: int) -> str:
    """`printable`, shortened so that it takes at most `width` columns of a terminal.

    >>> shorten("猫と犬と鳥", 7)
    '猫と…鳥'
    """
    letters = width
    while columns(printable(name, letters)) > width:
        letters -= 1
    return printable(name, letters)


def fit(name: str, width: int) -> str:
    """`shorten`, filled with spaces to exactly `width` columns.

    >>> fit("猫", 4)
    '猫  '
    """
    shown = shorten(name, width)
    return shown + " " * (width - columns(shown))
