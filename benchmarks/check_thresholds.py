"""What the checks report of photos as they are, of the same photos after they were damaged, and of drawings.

    python benchmarks/check_thresholds.py [--step 12] [--data FOLDER]

All photos as they are, and every 12th damaged in one way, are judged together, as a collection with some bad pictures.
A line for each way: the share of the damaged ones that each check reports. Strengths of a blur are the standard
deviation in hundredths of the shorter side: 1.5 % of 375 pixels are 6.
"""

import argparse
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from telltale.data.checks import CHECKS
from telltale.data.decoding import decode
from telltale.data.duplicates import find_exact
from telltale.data.facts import FACTS, examine, tabulate
from telltale.data.findings import inspect
from telltale.data.index import Index
from telltale.data.samples import SHAPES, draw_picture

SHARED = Path(__file__).parents[2] / "shared" / "data"
PAIRS = ("duplicate", "unreadable")
"""Checks that are measured elsewhere: benchmarks/RESULTS.md#near-duplicates."""


def encode(image, quality=90, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, quality=quality, **options)
    return file.getvalue()


def scale(image, factor, offset=0.0):
    """Every channel times `factor`, plus `offset` (0 to 1), clipped."""
    return Image.fromarray(np.clip(np.asarray(image, np.float32) * factor + 255 * offset, 0, 255).astype(np.uint8))


def fade(image, factor):
    """Nearer to its own mean."""
    return scale(image, factor, (1 - factor) * float(np.asarray(image).mean()) / 255)


def blur(image, share):
    return image.filter(ImageFilter.GaussianBlur(share / 100 * min(image.size)))


def enlarge(image, side):
    """As from a small copy: its shorter side had `side` pixels."""
    factor = side / min(image.size)
    small = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.LANCZOS)
    return small.resize(image.size, Image.BICUBIC)


def turn(image):
    tags = Image.Exif()
    tags[0x0112] = 6
    return encode(image, exif=tags.tobytes())


def damages():
    """Name of each way to damage a photo, and the function that gives the new file's bytes."""
    ways = {"JPEG quality 10": lambda image: encode(image, 10)}
    for factor in (0.5, 0.4, 0.3, 0.2, 0.1):
        ways[f"darkened to {factor}"] = lambda image, factor=factor: encode(scale(image, factor))
    for factor in (2, 3, 4, 6):
        ways[f"over-exposed by {factor}"] = lambda image, factor=factor: encode(scale(image, factor))
    for factor in (0.5, 0.4, 0.3, 0.2, 0.1):
        ways[f"contrast {factor}"] = lambda image, factor=factor: encode(fade(image, factor))
    for factor in (0.3, 0.2):
        ways[f"fog {factor}"] = lambda image, factor=factor: encode(scale(image, factor, 0.8 * (1 - factor)))
    for share in (0.25, 0.5, 1, 1.5, 2, 3, 5):
        ways[f"blur {share} %"] = lambda image, share=share: encode(blur(image, share))
    for side in (128, 64, 32):
        ways[f"enlarged from {side}"] = lambda image, side=side: encode(enlarge(image, side))
    return ways | {
        "scaled to 48": lambda image: encode(ImageOps.contain(image, (48, 48))),
        "grey, as RGB": lambda image: encode(image.convert("L").convert("RGB")),
        "grey": lambda image: encode(image.convert("L")),
        "one colour": lambda image: encode(Image.new("RGB", image.size, image.getpixel((0, 0)))),
        "a strip of 1:4": lambda image: encode(ImageOps.fit(image, (100, 400))),
        "CMYK": lambda image: encode(image.convert("CMYK")),
        "turned by EXIF": turn,
        "GIF of two": lambda image: encode(image, kind="GIF", save_all=True, append_images=[image.rotate(180)]),
    }


def read_photos(folder):
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if name.endswith(".jpg"):
                    yield file.read(name)


def make_index(rows):
    """An `Index` of facts as `examine` gives them; all files are called .jpg."""
    table = tabulate(rows).select(FACTS.names)
    count = len(table)
    columns = {
        "path": pa.array([f"{row}.jpg" for row in range(count)]),
        "label": pa.array(["photo"] * count),
        "split": pa.nulls(count, pa.string()),
        "group": pa.nulls(count, pa.string()),
        "bytes": pa.array([0] * count),
        "digest": pa.array([bytes(32)] * count, pa.binary(32)),
    }
    return Index(pa.table(columns | {name: table[name] for name in FACTS.names}), ("photo",), "", "", "")


def report(rows, chosen):
    """Share of the rows from `chosen` on that each check reports, in percent, and checks that are said once."""
    index = make_index(rows)
    findings = inspect(index, duplicates=find_exact(index))
    share = {}
    for check in CHECKS:
        found = findings.of(check.name).column("row").to_numpy() >= chosen
        if found.any() and not check.name.endswith(PAIRS):
            share[check.name] = 100 * found.sum() / (len(rows) - chosen)
    return share | {f"once: {name}": 100 * count / len(rows) for name, count in findings.usual.items()}


def show(name, share):
    words = ", ".join(f"{check} {percent:.3g}" for check, percent in share.items())
    print(f"{name:<24}{words or 'nothing'}", flush=True)


def compare_photos(options):
    photos = list(read_photos(options.data))
    with ThreadPoolExecutor() as pool:
        untouched = list(pool.map(lambda data: examine(data)[1], photos))
        show(f"{len(photos):,} as they are", report(untouched, 0))
        images = [Image.fromarray(decode(data).pixels) for data in photos[:: options.step]]
        for name, damage in damages().items():
            changed = list(pool.map(lambda image, damage=damage: examine(damage(image))[1], images))
            show(f"{len(images)} {name}", report(untouched + changed, len(untouched)))


def draw_plain(rng, side, *, page=False, digit=False):
    """One or a few plain things before one colour; `page`: lines of text; `digit`: a white stroke before black."""
    large = 4 * side
    ground, ink = ((255, 20) if page else (0, 255)) if page or digit else rng.choice([(30, 200), (230, 90), (140, 20)])
    image = Image.new("L", (large, large), int(ground))
    pen = ImageDraw.Draw(image)
    if page:
        for line in range(8, 8 + int(rng.integers(4, 30))):
            pen.line(
                (large / 10, line * large / 40, rng.uniform(0.3, 0.9) * large, line * large / 40), ink, large // 160
            )
    elif digit:
        pen.line([tuple(point) for point in rng.uniform(0.2, 0.8, (5, 2)) * large], ink, large // 10, "curve")
    else:
        for _ in range(int(rng.integers(1, 4))):
            x, y, radius = rng.uniform(0.2, 0.8) * large, rng.uniform(0.2, 0.8) * large, rng.uniform(0.1, 0.3) * large
            draw = pen.ellipse if rng.random() < 0.5 else pen.rectangle
            draw((x - radius, y - radius, x + radius, y + radius), fill=int(ink))
    return image.resize((side, side), Image.LANCZOS).convert("RGB")


def compare_drawings():
    kinds = {
        "built-in shapes": lambda rng: draw_picture(rng.choice(list(SHAPES)), rng),
        "plain shapes, 96": lambda rng: draw_plain(rng, 96),
        "plain shapes, 250": lambda rng: draw_plain(rng, 250),
        "plain shapes, 500": lambda rng: draw_plain(rng, 500),
        "white on black, 28": lambda rng: draw_plain(rng, 28, digit=True),
        "pages of text, 400": lambda rng: draw_plain(rng, 400, page=True),
    }
    for name, draw in kinds.items():
        rng = np.random.default_rng(0)
        drawn = [Image.fromarray(np.asarray(draw(rng))) for _ in range(300)]
        show(f"300 {name}", report([examine(encode(image))[1] for image in drawn], 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=12)
    parser.add_argument("--data", type=Path, default=SHARED)
    options = parser.parse_args()
    print("Percent reported by each check:")
    compare_drawings()
    compare_photos(options)


if __name__ == "__main__":
    main()
