"""Hundreds of odd and broken files of every format: each is a whole picture or has its reason, soon and in bounds.

The files are made here, the same on every run. Run as a program, this file scans a folder and prints what it cost.
"""

import io
import json
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from telltale.data.decoding import EXTENSIONS, MAX_SIDE, REASONS, decode
from telltale.data.index import Index, scan
from telltale.errors import ImageError

SECONDS = 10
"""Of processor time that any file may take here: the slowest takes 4 s, most take milliseconds."""

MEGABYTES = 2000
"""That any file may take beyond what the program takes itself; a WEBP of 100 megapixels takes 1,527."""

ENDINGS = sorted(EXTENSIONS - {".heic", ".heif"})


def draw(width: int = 61, height: int = 47) -> Image.Image:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([255 * x, 255 * y, 255 * (1 - x) * (1 - y)], axis=-1)
    return Image.fromarray((pixels + np.random.default_rng(0).normal(0, 9, pixels.shape)).clip(0, 255).astype(np.uint8))


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def whole_files() -> dict[str, bytes]:
    """One good file of each way of storing a picture."""
    picture, frames = draw(), [draw().rotate(40 * turn) for turn in range(1, 4)]
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, dict[str, object]] = {
        "JPEG": {},
        "JPEG progressive": {"progressive": True, "subsampling": 0},
        "JPEG restarts": {"restart_marker_rows": 1},
        "JPEG exif": {"exif": exif, "comment": b"x" * 500},
        "JPEG rgb": {"keep_rgb": True},
        "PNG": {"exif": exif},
        "PNG animated": {"save_all": True, "append_images": frames},
        "GIF": {"save_all": True, "append_images": frames, "comment": b"x" * 500},
        "BMP": {},
        "WEBP": {"exif": exif},
        "WEBP lossless": {"lossless": True},
        "WEBP animated": {"save_all": True, "append_images": frames},
        "TIFF": {"save_all": True, "append_images": frames, "exif": exif},
        "TIFF big": {"big_tiff": True},
        "AVIF": {"exif": exif},
        "AVIF animated": {"save_all": True, "append_images": frames},
        "PPM": {},
        "MPO": {"save_all": True, "append_images": frames},
    }
    files = {name: save(picture, name.split()[0], **chosen) for name, chosen in options.items()}
    for way in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits", "lzma", "zstd"):
        files[f"TIFF {way}"] = save(picture, "TIFF", compression=way)
    for way in ("group3", "group4", "tiff_ccitt"):
        files[f"TIFF {way}"] = save(picture.convert("1"), "TIFF", compression=way)
    for mode in ("1", "L", "P", "CMYK", "RGBA", "YCbCr", "LAB", "F", "I", "I;16"):
        grey = mode in ("F", "I", "I;16")
        changed = picture.convert("L").convert(mode) if grey else Image.new(mode, (61, 47)) if mode == "LAB" else None
        files[f"TIFF {mode}"] = save(changed or picture.convert(mode), "TIFF")
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        files[f"PNG {mode}"] = save((picture.convert("L") if mode == "I;16" else picture).convert(mode), "PNG")
    for mode in ("L", "CMYK"):
        files[f"JPEG {mode}"] = save(picture.convert(mode), "JPEG")
    rows = b"".join(bytes([11, number]) * 3 + b"\0\0" for number in range(21)) + b"\0\1"
    files["BMP run length"] = bmp(33, 21, 8, 1, bytes(1024) + rows)
    files["PPM text"] = b"P3 24 20 99 # colours\n" + b"1 50 99 " * 480
    files["PPM deep"] = b"P5 24 20 4095\n" + random.Random(1).randbytes(960)
    return files


def bmp(width: int, height: int, bits: int, way: int, body: bytes) -> bytes:
    palette = 4 << bits if bits <= 8 else 0
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, way, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54 + palette) + head + body


def change(data: bytes, foreign: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """`data` in the ways that files go bad."""
    for _ in range(3):
        yield "cut", data[: chance.randrange(len(data))]
    for reach in (100, 700, len(data), len(data)):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 2, 5, 20))):
            changed[chance.randrange(min(reach, len(data)))] ^= 1 << chance.randrange(8)
        yield "bits", bytes(changed)
    start, end = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
    yield "zeros", data[:start] + bytes(end - start) + data[end:]
    yield "gap", data[:start] + data[end:]
    yield "twice", data[:end] + data[start:]
    yield "joined", data + foreign
    yield "chimera", data[:start] + foreign[chance.randrange(len(foreign)) :]
    for value in (b"\0", b"\xff", b"\x7f"):
        changed = bytearray(data)
        place = chance.randrange(4, min(120, len(data) - 4))
        changed[place : place + 4] = value * chance.choice((1, 2, 4))
        yield "field", bytes(changed)


def mutations(seed: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(seed)
    whole = whole_files()
    names = sorted(whole)
    for name in names:
        for kind, data in change(whole[name], whole[chance.choice(names)], chance):
            yield f"{name} {kind}", data
    for number in range(40):
        yield f"noise {number}", whole[chance.choice(names)][:12] + chance.randbytes(chance.randrange(3000))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def empty_png(width: int, height: int, depth: int, colour: int, samples: int) -> bytes:
    """All zeros: 100 megapixels are some hundred kilobytes."""
    packer, packed, left = zlib.compressobj(9), [], ((width * depth * samples + 7) // 8 + 1) * height
    while left:
        packed.append(packer.compress(bytes(min(left, 1 << 24))))
        left -= min(left, 1 << 24)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"".join([*packed, packer.flush()])) + chunk(b"IEND", b"")


def bombs() -> Iterator[tuple[str, bytes, str]]:
    """Small files that are large: name, bytes, and the reason why each is refused, empty where it is a picture."""
    side = 10_000
    red = Image.new("RGB", (side, side), "red")
    yield "png rgba of 16 bits", empty_png(side, side, 16, 6, 4), ""
    yield "png of 16 bits", empty_png(side, side, 16, 0, 1), ""
    yield "png too wide", empty_png(1_000_000, 1, 8, 0, 1), "too large"
    yield "png too high", empty_png(1, MAX_SIDE + 1, 8, 0, 1), "too large"
    yield "webp", save(red, "WEBP", lossless=True, method=0), ""
    yield "jpeg progressive", save(red, "JPEG", progressive=True), ""
    yield "jpeg cmyk", save(red.convert("CMYK"), "JPEG"), ""
    yield "gif", save(Image.new("P", (side, side)), "GIF"), ""
    yield "bmp run length", bmp(side, side, 8, 1, bytes(1024) + b"\1\5\0\0" * side), "too large"
    yield "pgm text", b"P2 9000 9000 255\n" + b"1 " * 10_000_000, "too large"
    yield "ppm deep", b"P6 5000 5000 65535\n" + bytes(150_000_000), ""
    small = save(draw(), "JPEG")
    place = small.index(b"\xff\xc0") + 5
    yield "jpeg that lies", small[:place] + struct.pack(">HH", side, side) + small[place + 4 :], "truncated"


def store(files: dict[str, bytes], folder: Path) -> Path:
    """Two class folders with these files, each under one ending or another."""
    chance = random.Random(5)
    for number, (name, data) in enumerate(files.items()):
        path = folder / "ab"[number % 2] / f"{number} {name.replace('/', ' ')}{chance.choice(ENDINGS)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def check(index: Index, count: int) -> None:
    """Every file is there, as a picture or with a reason and words for it."""
    assert len(index) == count
    for row in index.table.select(["path", "error", "detail", "width", "pixels"]).to_pylist():
        if row["error"] is None:
            assert row["width"] > 0 and row["pixels"] is not None, row
        else:
            assert row["error"] in REASONS and len(row["detail"]) > 15 and row["detail"].endswith("."), row


def check_each(files: dict[str, bytes]) -> list[str]:
    """The reasons, empty for a picture; no file takes long."""
    found = []
    for name, data in files.items():
        start = time.process_time()
        try:
            pixels, reason = decode(data).pixels, ""
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.flags.c_contiguous, name
        except ImageError as error:
            reason = error.reason
        found.append(reason)
        assert time.process_time() - start < SECONDS, name
    return found


def test_a_few_hundred_broken_files_are_scanned(tmp_path, capfd):
    files = dict(list(mutations(seed=1))[::3])
    assert len(files) > 200
    found = check_each(files)
    assert 20 < found.count("") < len(files) - 100 and {"truncated", "broken"} <= set(found)
    check(scan(store(files, tmp_path / "corpus")), len(files))
    assert capfd.readouterr() == ("", "")


def test_all_good_files_are_pictures():
    assert not any(check_each(whole_files()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_hundreds_of_broken_files_are_scanned_in_a_process_of_their_own(seed, tmp_path):
    files = {f"{number} {name}": data for number, (name, data) in enumerate(mutations(seed))}
    check_each(files)
    cost = scan_apart(store(files, tmp_path / "corpus"))
    assert cost["count"] == len(files) > 700
    assert cost["megabytes"] < 300 and cost["stderr"] == ""


@pytest.mark.slow
def test_pictures_of_a_hundred_megapixels_stay_in_bounds(tmp_path):
    files = {}
    for name, data, reason in bombs():
        assert check_each({name: data}) == [reason], name
        files[name] = data
    cost = scan_apart(store(files, tmp_path / "corpus"))
    assert cost["count"] == len(files) and cost["stderr"] == ""
    assert cost["megabytes"] < MEGABYTES  # on 4 threads; without the lock in `decoding` 6,000


def scan_apart(folder: Path) -> dict[str, object]:
    """What a scan of `folder` on 4 threads costs: pictures, seconds, megabytes, and what it printed."""
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env={**os.environ, "TELLTALE_CACHE": str(folder.parent / "cache")},
        capture_output=True,
        encoding="utf-8",
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done
    return {**json.loads(done.stdout), "stderr": done.stderr}


if __name__ == "__main__":
    import resource  # not on Windows

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    seen = scan(sys.argv[1], threads=4)
    check(seen, len(seen))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"count": len(seen), "seconds": time.perf_counter() - began, "megabytes": used // 1024}))
