"""The built-in data set: shapes drawn by code, hard enough that a network must learn, with faults planted in it.

What a picture shows decides its class; where, how large, how turned, in which colours and before what, says nothing.
So no average colour and no linear rule on pixels tells the classes apart (tested), but a small CNN can.

The faults are those of real collections, and what was planted is known, so that inspection can be checked against it.
"""

import io
import math
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from telltale.data.decoding import decode
from telltale.errors import DataError, OutputError
from telltale.files import explain_output, make_folder

SIZE: Final = 96
"""Height and width of a picture in pixels."""

COUNT: Final = 900
"""Pictures that are drawn unless another number is given; copies and unreadable files come on top."""

_LEAST: Final = 40
_FINE: Final = 3
_HTML: Final = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Samples:
    """Where the pictures lie and which faults were planted: kind of fault to paths below `folder`.

    `truncated`, `html`: files that are no whole picture. `copies`: one picture several times, once in other bytes.
    `wrong_label`: pictures in the folder of another class. `odd_size`: a picture of another size than all others.
    """

    folder: Path
    planted: dict[str, tuple[str, ...]]


def draw_samples(folder: str | Path, *, seed: int = 0, count: int = COUNT) -> Samples:
    """Draw about `count` pictures of shapes into `folder`, one folder per class, and tell which faults are among them.

    The same seed gives the same bytes. `folder` must be new or empty, and is whole or not there.
    """
    if count < _LEAST:
        raise DataError(
            f"{count} built-in pictures were asked for.",
            expected=f"At least {_LEAST}: ten of each class.",
            do="Give a larger count.",
        )
    folder = Path(folder)
    with explain_output(folder):
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(
                f"{str(folder)!r} already has something in it.",
                expected="A new or empty folder for the built-in pictures.",
                do="Give another place, or delete that folder first.",
            )
        make_folder(folder.parent)
        beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        try:
            planted = _draw_all(beside, seed, count)
            if folder.is_dir():
                folder.rmdir()
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return Samples(folder, planted)


def _draw_all(folder: Path, seed: int, count: int) -> dict[str, tuple[str, ...]]:
    for name in SHAPES:
        make_folder(folder / name)
    wrong = {0: 2, 1: 3, 2: 0, 3: 1}  # class of the folder to class of the picture that stands in it, at number 3
    planted: dict[str, tuple[str, ...]] = {"wrong_label": (), "odd_size": ("ring/ring_0005.jpg",)}
    for at in range(count):
        number, kind = divmod(at, len(SHAPES))
        path = _path(kind, number)
        shape = wrong.get(kind, kind) if number == 3 else kind
        if shape != kind:
            planted["wrong_label"] += (path,)
        width, height = (250, 141) if path in planted["odd_size"] else (SIZE, SIZE)
        picture = draw_picture(list(SHAPES)[shape], np.random.default_rng([seed, kind, number]), width, height)
        (folder / path).write_bytes(_jpeg(picture))
    return planted | _plant_files(folder, -(-count // len(SHAPES)))


def _plant_files(folder: Path, number: int) -> dict[str, tuple[str, ...]]:
    """Add the faults that are files of their own, numbered from `number` on: after the last drawn picture."""
    bar, cross, ring = (list(SHAPES).index(name) for name in ("bar", "cross", "ring"))
    original = (folder / _path(bar, 7)).read_bytes()
    copies = (_path(bar, 7), _path(bar, number), _path(bar, number + 1), _path(bar, number + 2, "png"))
    for copy in copies[1:3]:
        (folder / copy).write_bytes(original)
    # The pixels that Telltale's own decoder gives, so that they are equal to the original's and only bytes differ.
    Image.fromarray(decode(original).pixels).save(folder / copies[3], "PNG", compress_level=6)
    whole = (folder / _path(ring, 8)).read_bytes()
    (folder / _path(ring, number)).write_bytes(whole[: len(whole) // 2])
    (folder / _path(cross, number)).write_bytes(_HTML)
    return {"copies": copies, "truncated": (_path(ring, number),), "html": (_path(cross, number),)}


def _path(kind: int, number: int, ending: str = "jpg") -> str:
    name = list(SHAPES)[kind]
    return f"{name}/{name}_{number:04d}.{ending}"


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()


def draw_picture(shape: str, rng: np.random.Generator, width: int = SIZE, height: int = SIZE) -> NDArray[np.uint8]:
    """One picture with one `shape` of `SHAPES` in it, as uint8 `[height, width, 3]`; all else is drawn from `rng`.

    >>> draw_picture("ring", np.random.default_rng(0)).shape
    (96, 96, 3)
    """
    ground = _draw_ground(rng, width, height)
    side = min(width, height)
    radius = rng.uniform(0.32, 0.43) * side
    middle = [length / 2 + rng.uniform(-1, 1) * max(0.0, side / 2 - radius - 2) for length in (width, height)]
    mask = _draw_mask(SHAPES[shape](rng), (middle[0], middle[1]), radius, (width, height))
    # Far lighter than what lies behind, or no one could see the shape.
    behind = float((ground * mask).mean(2).sum() / mask.sum())
    colour = rng.uniform(0, 255, 3)
    while colour.mean() < behind + 95:
        colour = rng.uniform(0, 255, 3)
    shaded = colour + rng.uniform(-25, 25) * np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    picture = ground + mask * (shaded - ground)
    if rng.random() < 0.5:
        # Darker as often as lighter: else a linear rule on pixels gets 0.75 of the pictures right, so below 0.4.
        picture = 255 - picture
    picture += rng.standard_normal(picture.shape, np.float32) * rng.uniform(2, 8)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _draw_ground(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """A gradient between two colours, clouds over it, and clutter: thin lines and small dots."""
    angle = rng.uniform(0, 2 * math.pi)
    across, down = np.linspace(-0.5, 0.5, width)[None, :], np.linspace(-0.5, 0.5, height)[:, None]
    along = np.clip(across * math.cos(angle) + down * math.sin(angle) + 0.5, 0, 1)[:, :, None]
    start, end = rng.uniform(0, 130, 3), rng.uniform(0, 130, 3)
    ground = start + (end - start) * along
    cells = int(rng.integers(3, 9))
    clouds = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8)).resize((width, height), 3)
    ground += (np.asarray(clouds, np.float32) - 128) * rng.uniform(0, 0.25)
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 6))):
        x, y, to_x, to_y = (rng.uniform(0, 1, 4) * [width, height, width, height]).tolist()
        colour = tuple(rng.integers(0, 256, 3).tolist())
        if rng.random() < 0.5:
            pen.line((x, y, to_x, to_y), fill=colour)
        else:
            radius = rng.uniform(1, 4)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(image, np.float32)


def _draw_mask(
    outlines: list[Points], middle: tuple[float, float], radius: float, size: tuple[int, int]
) -> NDArray[np.float32]:
    """1 inside of the first outline and outside of the others, 0 elsewhere, smooth at edges: `[height, width, 1]`."""
    image = Image.new("L", (size[0] * _FINE, size[1] * _FINE))
    pen = ImageDraw.Draw(image)
    for fill, outline in zip((255, 0), outlines, strict=False):
        pen.polygon([((middle[0] + x * radius) * _FINE, (middle[1] + y * radius) * _FINE) for x, y in outline], fill)
    return np.asarray(image.reduce(_FINE), np.float32)[:, :, None] * np.float32(1 / 255)


def _corners(count: int, start: float, radius: float = 1.0) -> Points:
    return [
        (radius * math.cos(start + 2 * math.pi * turn / count), radius * math.sin(start + 2 * math.pi * turn / count))
        for turn in range(count)
    ]


def _circle(rng: np.random.Generator) -> list[Points]:
    return [_corners(48, 0.0, 0.9)]


def _cross(rng: np.random.Generator) -> list[Points]:
    start, arm = rng.uniform(0, 2 * math.pi), rng.uniform(0.26, 0.36)
    return [[point for turn in range(4) for point in _arm(start + turn * math.pi / 2, arm)]]


def _arm(angle: float, half: float) -> Iterator[tuple[float, float]]:
    """The two outer corners of one arm of a cross, and the inner corner before the next arm."""
    for along, aside in ((1.0, -half), (1.0, half), (half, half)):
        yield (
            along * math.cos(angle) - aside * math.sin(angle),
            along * math.sin(angle) + aside * math.cos(angle),
        )


def _ring(rng: np.random.Generator) -> list[Points]:
    return [_corners(48, 0.0, 0.95), _corners(48, 0.0, rng.uniform(0.5, 0.65))]


def _bar(rng: np.random.Generator) -> list[Points]:
    start, half = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.26)
    return [[(math.cos(start + a), math.sin(start + a)) for a in (half, math.pi - half, math.pi + half, -half)]]


SHAPES: Final[dict[str, Callable[[np.random.Generator], list[Points]]]] = {
    "bar": _bar,
    "circle": _circle,
    "cross": _cross,
    "ring": _ring,
}
"""Class names, in alphanumeric order, to what draws their outlines in a circle of radius 1."""
