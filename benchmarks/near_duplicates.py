"""How many copies near-duplicate detection finds, and how many pairs of different pictures it joins.

    python benchmarks/near_duplicates.py PHOTOS.zip [MORE.zip ...] [--drawn 100000]

Copies: each picture saved again at quality 40 and 95, scaled to half and double, cropped by 3 % (at a random place and
at a corner), 20 % brighter, 20 % darker, and all of these at once. Recall is the share of copies within the radius that
`fitting_radius` gives for the originals. The false-pair rate is the share of all pairs of different originals that are
joined; real duplicates among the photos were looked at by eye and are counted apart (pairs with equal pixels, and those
listed by path). Drawn pictures: the shapes of `telltale demo`, all different by construction.
"""

import argparse
import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from telltale.data.archive import open_store
from telltale.data.decoding import decode
from telltale.data.duplicates import RADIUS, fitting_radius
from telltale.data.fingerprint import SCALE
from telltale.data.layout import survey
from telltale.data.measures import measure
from telltale.data.neighbours import find_pairs
from telltale.data.samples import SHAPES, draw_picture
from telltale.device import workers
from telltale.threads import map_in_order

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def save_again(pixels: np.ndarray, quality: int) -> np.ndarray:
    """The picture after JPEG at this quality."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return decode(file.getvalue()).pixels


def scale(pixels: np.ndarray, factor: float) -> np.ndarray:
    """The picture with `factor` times as many pixels on each side."""
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((max(8, round(image.width * factor)), max(8, round(image.height * factor)))))


def crop(pixels: np.ndarray, share: float, place: np.ndarray) -> np.ndarray:
    """The picture without `share` of its height and width, cut at `place` (0 to 1 down and across)."""
    height, width = pixels.shape[:2]
    rows, columns = round(height * share), round(width * share)
    top, left = round(rows * place[0]), round(columns * place[1])
    return pixels[top : top + height - rows, left : left + width - columns]


def brighten(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Every value times `factor`, cut off at white."""
    return np.clip(pixels.astype(np.float32) * factor, 0, 255).astype(np.uint8)


def change_all(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scaled by 0.5 to 2, cropped by 3 %, 20 % brighter, saved at quality 40 to 95."""
    changed = crop(scale(pixels, rng.uniform(0.5, 2)), 0.03, rng.uniform(0, 1, 2))
    return save_again(brighten(changed, 1.2), int(rng.integers(40, 96)))


CHANGES: dict[str, Change] = {
    "quality 40": lambda pixels, rng: save_again(pixels, 40),
    "quality 95": lambda pixels, rng: save_again(pixels, 95),
    "half size": lambda pixels, rng: scale(pixels, 0.5),
    "double size": lambda pixels, rng: scale(pixels, 2),
    "cropped 3 %, random place": lambda pixels, rng: crop(pixels, 0.03, rng.uniform(0, 1, 2)),
    "cropped 3 %, at a corner": lambda pixels, rng: crop(pixels, 0.03, np.ones(2)),
    "20 % brighter": lambda pixels, rng: brighten(pixels, 1.2),
    "20 % darker": lambda pixels, rng: brighten(pixels, 0.8),
    "all at once, random": change_all,
    "all at once, at their worst": lambda pixels, rng: save_again(
        brighten(crop(scale(pixels, 0.5), 0.03, np.ones(2)), 1.2), 40
    ),
}


def read_photos(archives: list[str]) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Name of every photo, and what decodes it."""
    for archive in archives:
        store = open_store(archive)
        for path in survey(store).pictures.to_pylist():
            yield path, lambda store=store, path=path: decode(store.read(path)).pixels


def draw(count: int) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Drawn pictures of shapes, all different."""
    for number in range(count):
        shape = list(SHAPES)[number % len(SHAPES)]
        yield (
            f"{shape} {number}",
            lambda shape=shape, number=number: draw_picture(shape, np.random.default_rng([9, number])),
        )


def describe(job: tuple[int, str, Callable[[], np.ndarray], int]) -> list[bytes | None]:
    """Fingerprints of a picture and, of every `step`-th one, of its copies."""
    number, _, open_picture, step = job
    pixels = open_picture()
    copies = []
    if number % step == 0:
        copies = [change(pixels, np.random.default_rng([1, number])) for change in CHANGES.values()]
    return [measure(one).fingerprint for one in (pixels, *copies)]


def report(title: str, pictures: list[tuple[str, Callable[[], np.ndarray]]], step: int) -> None:
    """Print recall by kind of change, and the pairs of different pictures that are joined."""
    jobs = [(number, name, picture, step) for number, (name, picture) in enumerate(pictures)]
    found = list(map_in_order(describe, jobs, threads=workers()))
    missing = sum(one[0] is None for one in found)
    points = np.stack([np.frombuffer(one[0] or bytes(64), np.int8) for one in found])
    radius = fitting_radius(points)
    print(f"\n{title}: {len(points):,} pictures, {missing} too flat for a fingerprint, radius {radius:.2f}")
    for kind, change in enumerate(CHANGES, 1):
        copies = [(one[0], one[kind]) for one in found if len(one) > 1]
        apart = [
            np.linalg.norm((np.frombuffer(a, np.int8).astype(float) - np.frombuffer(b, np.int8).astype(float)) * SCALE)
            for a, b in copies
            if a and b
        ]
        hits = int((np.array(apart) <= radius).sum())
        worst = float(np.quantile(apart, 0.98))
        print(f"  {change:<28} recall {hits / len(copies):.4f} of {len(copies):,}   98 % are within {worst:.3f}")
    for share in (0.05, 0.2, 0.5):
        for name in ("all at once, random", "cropped 3 %, at a corner"):
            kind = 1 + list(CHANGES).index(name)
            copies = [one[kind] for one in found if len(one) > kind][: int(share * len(points))]
            mixed = np.concatenate([points, *(np.frombuffer(copy, np.int8)[None] for copy in copies if copy)])
            print(f"  with {len(copies):,} copies in the collection ({name}): radius {fitting_radius(mixed):.2f}")
    pairs = find_pairs(points, radius, scale=SCALE)
    total = len(points) * (len(points) - 1) / 2
    print(f"  joined pairs of originals: {len(pairs):,} of {total:,.0f} ({len(pairs) / total:.1e})")
    for left, right, distance in sorted(
        zip(pairs.left.tolist(), pairs.right.tolist(), pairs.distance.tolist(), strict=True), key=lambda one: -one[2]
    )[:8]:
        print(f"    {distance:.3f}  {pictures[left][0]}  {pictures[right][0]}")
    wider = find_pairs(points, min(2 * RADIUS, 0.8), scale=SCALE).distance if len(points) < 10_000 else np.zeros(0)
    if (wider > radius).any():
        print(f"  next closest pair of originals: {wider[wider > radius].min():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", nargs="+")
    parser.add_argument("--drawn", type=int, default=100_000)
    arguments = parser.parse_args()
    report("photos", list(read_photos(arguments.archives)), step=1)
    report("drawn shapes", list(draw(arguments.drawn)), step=max(1, arguments.drawn // 2_000))
