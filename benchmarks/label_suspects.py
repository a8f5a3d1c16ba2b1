"""How many flipped labels are found among the first suspects, and how long that takes.

    python benchmarks/label_suspects.py [--seeds 5] [--flips 0.05] [--model mobilenetv2_035] [--data ZIP ...]

For each data set and seed a share of the labels is replaced by another class, drawn evenly; then `find_suspects` ranks
all of them. Prints the share of the flips among the first 5 % and 8 % of the ranking, what is suggested for review, the
seconds with features cached, and at the end the time and memory for features of a million pictures.
"""

import argparse
import os
import platform
import statistics
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"
DATA = [SHARED / "data" / name for name in ("cats_and_dogs.zip", "dog_breeds.zip")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--flips", type=float, default=0.05)
    parser.add_argument("--model", default="mobilenetv2_035")
    parser.add_argument("--data", type=Path, nargs="*", default=DATA)
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--million", type=int, default=0, metavar="CLASSES", help="also time a million drawn rows")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "openvino", "torch"))
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TELLTALE_WEIGHTS"] = str(options.weights.resolve())
        os.environ.setdefault("TELLTALE_CACHE", cache)
        for path in options.data:
            measure(path, options)
    if options.million:
        measure_million(options.million)


def processor():
    """The processor's name where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def measure(path, options):
    from telltale.data.duplicates import find_duplicates
    from telltale.data.index import scan
    from telltale.data.splits import find_units
    from telltale.evaluation.suspects import find_suspects
    from telltale.model.backbone import request_backbone
    from telltale.model.features import FeatureStream, features

    stream = FeatureStream(request_backbone(options.model), size=0, resize="crop", precision="f32", device="cpu")
    index = scan(path, watcher=stream).readable
    extractor = stream.finish()
    features(index, extractor)
    units = find_units(index, find_duplicates(index))
    rows = []
    facts = f"{len(index.classes)} classes, {options.flips:.0%} flipped, {options.model}"
    print(f"\n{path.name}: n={len(index):,}, {facts}")
    for seed in range(options.seeds):
        flipped, planted = flip(index, options.flips, seed)
        start = time.perf_counter()
        found = find_suspects(flipped, extractor, units=units, seed=seed)
        seconds = time.perf_counter() - start
        first = [found.pictures.paths[row] in planted for row in found.ranking.order]
        shares = [sum(first[: round(part * len(first))]) / len(planted) for part in (0.05, 0.08)]
        hits = sum(first[: found.review])
        rows.append((*shares, seconds))
        print(
            f"  seed {seed}: {shares[0]:.3f} of the flips in the first 5 %, {shares[1]:.3f} in the first 8 %; review "
            f"{found.review}, of which {hits} of {len(planted)} flips; accuracy {found.accuracy}; {seconds:.2f} s"
        )
    middle = [statistics.mean(column) for column in zip(*rows, strict=True)]
    seconds = statistics.median(row[-1] for row in rows)
    print(f"  mean: {middle[0]:.3f} and {middle[1]:.3f}; median {seconds:.2f} s")


def flip(index, share, seed):
    """The index with some labels replaced by another class, and the paths of those pictures."""
    from dataclasses import replace

    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    rows = rng.choice(len(index), round(share * len(index)), replace=False)
    codes = index.codes.copy()
    codes[rows] = (codes[rows] + rng.integers(1, len(index.classes), len(rows))) % len(index.classes)
    at = index.table.column_names.index("label")
    table = index.table.set_column(at, "label", pa.array(index.classes, pa.string()).take(pa.array(codes)))
    return replace(index, table=table), {index.paths[row] for row in rows}


def measure_million(classes, count=1_000_000, width=1280):
    """Time and peak memory for a memory map of features of `count` pictures."""
    import numpy as np

    from telltale.evaluation.held_out import predict_held_out
    from telltale.evaluation.suspects import rank_suspects

    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count).astype(np.int32)
    middles = rng.normal(0, 0.3, (classes, width)).astype(np.float32)
    with tempfile.TemporaryFile() as file:
        matrix = np.memmap(file, np.float32, "w+", shape=(count, width))
        for start in range(0, count, 10_000):
            part = slice(start, start + 10_000)
            matrix[part] = middles[labels[part]] + rng.standard_normal(matrix[part].shape, np.float32)
        matrix.flush()
        peak, done = [own_megabytes()], threading.Event()
        watcher = threading.Thread(target=watch, args=(peak, done))
        watcher.start()
        start = time.perf_counter()
        probabilities = predict_held_out(matrix, labels, np.arange(count) % 5, classes=classes)
        middle = time.perf_counter()
        ranking = rank_suspects(probabilities, labels)
        end = time.perf_counter()
        done.set()
        watcher.join()
    print(
        f"\n{count:,} x {width}, {classes} classes: {middle - start:.1f} s for the heads, {end - middle:.1f} s to rank "
        f"({ranking.review:,} for review); at most {max(peak):,.0f} MB besides the pages of the map, {peak[0]:,.0f} of "
        f"them before"
    )


def watch(peak, done):
    while not done.wait(0.02):
        peak.append(own_megabytes())


def own_megabytes():
    """Memory of this process that is not a mapped file's, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
