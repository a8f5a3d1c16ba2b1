"""The confusion matrix as a PNG, drawn with Pillow: importing matplotlib alone takes 0.5 s of a training of 2 s."""

import io
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from telltale.evaluation.evaluation import Evaluation
from telltale.words import printable

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour: TypeAlias = tuple[int, int, int]

MOST_COUNTED: Final = 30
"""Classes up to which every cell says its count."""

FACES: Final = ("", "DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "arial.ttf")
"""Fonts for the names of classes: Pillow's own (ASCII), then others of Linux, macOS and Windows."""

SMALLEST: Final = 12
"""Pixels from one line of small print to the next; with smaller cells not every class is named."""

# One hue from white to dark blue, monotone in lightness (the stops of ColorBrewer's "Blues"): its order can be seen by
# colour-blind eyes and on grey paper.
RAMP: Final = ((255, 255, 255), (222, 235, 247), (158, 202, 225), (66, 146, 198), (8, 81, 156), (8, 48, 107))
INK: Final = (28, 32, 38)
FAINT: Final = (106, 114, 125)
LINE: Final = (214, 219, 225)

_MARGIN: Final = 32
_NAME_PIXELS: Final = 190


def draw_confusion(evaluation: Evaluation, *, normalised: bool = False) -> bytes:
    """PNG of the confusion matrix: true classes in rows, predicted in columns, colour by share of the row.

    Up to 30 classes every filled cell says its count, or (`normalised`) its share of the row in percent; of more than
    125 only every second (third, …) class is named.
    """
    confusion, classes = evaluation.confusion, len(evaluation.classes)
    words = _percents(confusion) if normalised else _counts(confusion)
    cell = _cell_size(classes, max(map(len, words.values()), default=1))
    face = choose_face("".join(evaluation.classes))
    font = load_font(int(np.clip(cell * 0.4, SMALLEST - 1, 16)), face)
    names = [_shorten(name, font, face) for name in evaluation.classes]
    widest = max(_width(name, font) for name in names)
    upright = widest > cell - 8
    side = cell * classes
    left = _MARGIN + 28 + int(widest) + 10
    top = 118 + (int(widest) + 12 if upright else 30)
    titles = _titles(evaluation, "Each row adds up to 100 %." if normalised else "")
    title_width = max(_width(text, load_font(size)) for text, size in titles)
    width = max(left + side + 130, int(title_width) + 2 * _MARGIN)
    image = Image.new("RGB", (width, top + side + _MARGIN), RAMP[0])
    draw = ImageDraw.Draw(image)
    _draw_titles(draw, titles)
    _draw_cells(image, confusion, (left, top), cell)
    if classes <= MOST_COUNTED:
        _draw_words(draw, confusion, words, (left, top), cell)
    _draw_names(image, names, (left, top), cell, font, upright)
    _draw_scale(draw, (left + side + 28, top), min(side, 200))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _counts(confusion: NDArray[np.int64]) -> dict[tuple[int, int], str]:
    """What the filled cells say, by row and column."""
    return {(row, column): f"{confusion[row, column]:,}" for row, column in np.argwhere(confusion).tolist()}


def _percents(confusion: NDArray[np.int64]) -> dict[tuple[int, int], str]:
    """Shares of the row in percent: 0 and 100 only where all are meant, else a digit more at both ends."""
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    cells = [(row, column) for row, column in np.argwhere(confusion).tolist()]
    return {cell: _percent(float(shares[cell])) for cell in cells}


def _percent(share: float) -> str:
    if share < 0.05:
        return "<0.1"
    return f"{min(share, 99.9):.1f}" if share < 10 or 99.5 <= share < 100 else f"{share:.0f}"


def _cell_size(classes: int, digits: int) -> int:
    """Side of a cell in pixels: a matrix of about 300 to 1,500 pixels whose numbers fit into their cells."""
    if classes > MOST_COUNTED:
        return int(np.clip(1500 // classes, 2, 26))
    return int(np.clip(640 // classes, max(32, 10 * digits + 8), 150))


def _titles(evaluation: Evaluation, more: str) -> list[tuple[str, int]]:
    right = evaluation.metrics["accuracy"]
    first = f"Accuracy {right.value:.1%}, 95 % interval {right.low:.1%} to {right.high:.1%}"
    second = (
        f"{evaluation.images:,} pictures, {len(evaluation.classes)} classes. "
        f"Rows: true class. Columns: predicted class. {more}".rstrip()
    )
    return [(first.replace("%", " %").replace("  ", " "), 24), (second, 15)]


def _draw_titles(draw: ImageDraw.ImageDraw, titles: list[tuple[str, int]]) -> None:
    height = 26
    for (text, size), ink in zip(titles, (INK, FAINT), strict=True):
        draw.text((_MARGIN, height), text, ink, load_font(size))
        height += size + 12


def _draw_cells(image: Image.Image, confusion: NDArray[np.int64], corner: tuple[int, int], cell: int) -> None:
    support = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    colours = colour(confusion / support)
    # Repeated by numpy, not drawn one by one: 120 classes have 14,400 cells.
    block = np.repeat(np.repeat(colours, cell, axis=0), cell, axis=1)
    if len(confusion) <= MOST_COUNTED:
        block[cell - 1 :: cell] = block[:, cell - 1 :: cell] = LINE
    image.paste(Image.fromarray(block), corner)
    side = cell * len(confusion)
    box = (corner[0] - 1, corner[1] - 1, corner[0] + side, corner[1] + side)
    ImageDraw.Draw(image).rectangle(box, outline=LINE)


def colour(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares from 0 to 1 as RGB, along `RAMP`.

    The square root makes a share of 1 %, one mistake in a hundred, visible beside the diagonal.
    """
    stops = np.linspace(0, 1, len(RAMP))
    roots = np.sqrt(shares)
    channels = [np.interp(roots, stops, np.array(RAMP)[:, channel]) for channel in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def _draw_words(
    draw: ImageDraw.ImageDraw,
    confusion: NDArray[np.int64],
    words: dict[tuple[int, int], str],
    corner: tuple[int, int],
    cell: int,
) -> None:
    support = np.maximum(confusion.sum(axis=1), 1)
    font = load_font(int(np.clip(cell * 0.42, 11, 26)))
    for (row, column), text in words.items():
        place = (corner[0] + (column + 0.5) * cell - 0.5, corner[1] + (row + 0.5) * cell - 0.5)
        ink = (255, 255, 255) if confusion[row, column] / support[row] > 0.4 else INK
        draw.text(place, text, ink, font, anchor="mm")


def _draw_names(
    image: Image.Image, names: list[str], corner: tuple[int, int], cell: int, font: Font, upright: bool
) -> None:
    draw = ImageDraw.Draw(image)
    every = max(1, -(-SMALLEST // cell))
    for position in range(0, len(names), every):
        middle = (position + 0.5) * cell
        draw.text((corner[0] - 10, corner[1] + middle), names[position], INK, font, anchor="rm")
        if upright:
            _draw_upright(image, names[position], (corner[0] + middle, corner[1] - 8), font, INK)
        else:
            draw.text((corner[0] + middle, corner[1] - 12), names[position], INK, font, anchor="ms")
    side = cell * len(names)
    small = load_font(14)
    draw.text((corner[0] + side / 2, 112), "predicted", FAINT, small, anchor="mb")
    _draw_upright(image, "true", (_MARGIN + 6, corner[1] + side / 2 + _width("true", small) / 2), small, FAINT)


def _draw_upright(image: Image.Image, text: str, foot: tuple[float, float], font: Font, ink: Colour) -> None:
    """Write from below to above, centred on the column of `foot`."""
    left, top, right, bottom = ImageDraw.Draw(image).textbbox((0, 0), text, font, anchor="lm")
    tile = Image.new("L", (int(right - left) + 2, int(bottom - top) + 4))
    ImageDraw.Draw(tile).text((-left, -top + 2), text, 255, font, anchor="lm")
    turned = tile.rotate(90, expand=True)
    # The middle of the line, not of these letters: otherwise "a" and "g" would stand on different lines.
    place = (round(foot[0] + top - 2), round(foot[1]) - turned.height)
    image.paste(Image.new("RGB", turned.size, ink), place, turned)


def _draw_scale(draw: ImageDraw.ImageDraw, corner: tuple[int, int], height: int) -> None:
    left, top = corner
    small = load_font(12)
    for offset, ink in enumerate(colour(np.linspace(1, 0, height) ** 2).tolist()):
        draw.line((left, top + offset, left + 13, top + offset), tuple(ink))
    draw.rectangle((left - 1, top - 1, left + 14, top + height), outline=LINE)
    for percent in (100, 50, 10, 0) if height >= 60 else (100, 0):
        words = f"{percent} %" + " of row" * (percent == 100)
        draw.text((left + 20, top + (1 - (percent / 100) ** 0.5) * (height - 1)), words, FAINT, small, anchor="lm")


def _shorten(name: str, font: Font, face: str) -> str:
    """The longest form of `name` that fits the margin; letters that the font lacks become "?"."""
    clean = "".join(letter if _has(face, letter) else "?" for letter in printable(name))
    letters = len(clean)
    while letters > 3 and _width(printable(clean, letters), font) > _NAME_PIXELS:
        letters -= 1
    return printable(clean, letters)


def _width(text: str, font: Font) -> float:
    return float(font.getlength(text))


def choose_face(letters: str) -> str:
    """The first of `FACES` that has all the letters, or else the one that has the most."""
    wanted = {letter for letter in letters if letter.isprintable()}
    best, fewest = FACES[0], len(wanted) + 1
    for face in FACES:
        missing = sum(not _has(face, letter) for letter in wanted)
        if missing < fewest:
            best, fewest = face, missing
        if not fewest:
            break
    return best


@lru_cache(maxsize=64)
def load_font(size: int, face: str = "") -> Font:
    return ImageFont.truetype(face, size) if face else ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _has(face: str, letter: str) -> bool:
    try:
        font = load_font(16, face)
    except OSError:  # not installed here
        return False
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
