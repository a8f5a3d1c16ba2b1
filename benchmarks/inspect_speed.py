"""Scan and inspection from empty caches: images per second and peak memory, each size in a process of its own.

    python benchmarks/inspect_speed.py PHOTOS.zip [--drawn 1000 10000 100000] [--rounds 3]

What is timed: open the source, list, read, hash, decode, measure, fingerprint (`scan`), then all checks with
near-duplicate search (`inspect`). Python's start and imports are not in it. Drawn pictures are JPEGs of 160 x 120 with
noise, all different, made beforehand. The peak is that of the whole process (`ru_maxrss`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES = 10
CHILD = """
import json, resource, sys, time
import telltale as tt
from telltale.data.index import scan
from telltale.data.findings import inspect
start = time.perf_counter()
index = scan(sys.argv[1])
middle = time.perf_counter()
findings = inspect(index)
end = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"images": len(index), "scan": middle - start, "inspect": end - middle, "peak": peak,
                  "findings": findings.table.num_rows}))
"""


def draw(folder: Path, count: int) -> Path:
    """`count` different JPEGs in ten class folders."""
    import simplejpeg

    rng = np.random.default_rng(0)
    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
    for number in range(count):
        coarse = rng.integers(0, 256, (6, 8, 3)).repeat(20, 0).repeat(20, 1)
        pixels = np.clip(coarse + rng.integers(-20, 20, (120, 160, 3)), 0, 255).astype(np.uint8)
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=85)
        (folder / f"class{number % CLASSES}" / f"{number:07d}.jpg").write_bytes(data)
    return folder


def measure(source: str) -> dict[str, float]:
    """One run in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, source],
            env={**os.environ, "TELLTALE_CACHE": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(done.stdout)


def show(name: str, found: dict[str, float]) -> None:
    total = found["scan"] + found["inspect"]
    print(
        f"{name:<24}{found['images']:>8,} images  scan {found['scan']:>7.2f} s  inspect {found['inspect']:>6.2f} s  "
        f"{found['images'] / total:>6,.0f} images/s  peak {found['peak']:>6,.0f} MB  {found['findings']:,} findings",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("--drawn", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for _ in range(arguments.rounds):
        show("photos", measure(arguments.photos))
    for size in arguments.drawn:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            place = draw(Path(folder) / "drawn", size)
            print(f"(drawn in {time.perf_counter() - start:.0f} s)", flush=True)
            show(f"drawn {size:,}", measure(str(place)))
