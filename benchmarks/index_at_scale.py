"""Index, duplicates, split, folds and sample at many synthetic rows, in one process: seconds and peak memory.

    python benchmarks/index_at_scale.py [ROWS]

Rows are drawn, not scanned: 2 % are exact copies, 2 % near-duplicates (a fingerprint at distance 0.02 to 0.40), 30 %
are in groups of five, 1,000 classes. The peak is that of the whole process, as the system counts it.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from telltale.data.duplicates import find_duplicates
from telltale.data.index import _SCHEMA, Index
from telltale.data.splits import PARTS, Splits, split

CLASSES = 1_000
COPIES = 0.02
BLOCK = 1_000_000


def draw_block(start: int, count: int, rng: np.random.Generator, earlier: np.ndarray) -> pa.Table:
    """Rows `start` to `start + count` of an index; copies are of rows in the same block."""
    pixels = rng.integers(0, 256, (count, 16), np.uint8)
    points = rng.standard_normal((count, 64), np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    chosen = rng.permutation(count)
    share = int(count * COPIES)
    exact, near, originals = chosen[:share], chosen[share : 2 * share], chosen[2 * share : 4 * share]
    pixels[exact], points[exact] = pixels[originals[:share]], points[originals[:share]]
    change = rng.standard_normal((share, 64), np.float32)
    change *= rng.uniform(0.02, 0.40, (share, 1)).astype(np.float32) / np.linalg.norm(change, axis=1, keepdims=True)
    points[near] = points[originals[share:]] + change
    earlier.append(np.stack([near, originals[share:]]) + start)
    numbers = np.arange(start, start + count)
    codes = (numbers * 7919) % CLASSES
    columns = {
        "path": pa.array(
            [f"class_{code:04d}/{row:08d}.jpg" for row, code in zip(numbers.tolist(), codes.tolist(), strict=True)]
        ),
        "label": pa.array([f"class_{code:04d}" for code in range(CLASSES)]).take(pa.array(codes)),
        "group": pa.array([f"g{number // 5}" if number % 50 < 15 else None for number in numbers.tolist()]),
        "bytes": pa.array(np.full(count, 20_000)),
        "digest": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), count, [None, pa.py_buffer(rng.bytes(32 * count))]
        ),
        "width": pa.array(np.full(count, 400, np.int32)),
        "height": pa.array(np.full(count, 300, np.int32)),
        "pixels": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(pixels.tobytes())]),
        "fingerprint": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(64), count, [None, pa.py_buffer(np.rint(np.clip(points, -1, 1) * 127).astype(np.int8).tobytes())]
        ),
    }
    return pa.table([columns.get(field.name, pa.nulls(count, field.type)) for field in _SCHEMA], schema=_SCHEMA)


def main(rows: int) -> None:
    """Measure each step."""

    def done(what: str) -> None:
        nonlocal start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{what:<34}{time.perf_counter() - start:>9.1f} s   peak {peak:.2f} GB", flush=True)
        start = time.perf_counter()

    start = time.perf_counter()
    rng, planted = np.random.default_rng(0), []
    blocks = [draw_block(at, min(BLOCK, rows - at), rng, planted) for at in range(0, rows, BLOCK)]
    index = Index(pa.concat_tables(blocks), tuple(f"class_{code:04d}" for code in range(CLASSES)), ".", "synthetic", "")
    del blocks
    done(f"build {rows:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        path = index.save(Path(folder) / "index.arrow")
        done("save")
        del index
        index = Index.load(path)
        done("load (memory-mapped)")
        print(f"{'':<34}{path.stat().st_size / 2**30:.2f} GB on disk")
        duplicates = find_duplicates(index)
        done("find duplicates and groups")
        pairs = np.concatenate(planted, axis=1)
        together = (duplicates.near[pairs[0]] == duplicates.near[pairs[1]]) & (duplicates.near[pairs[0]] >= 0)
        print(f"{'':<34}{together.mean():.4f} of {pairs.shape[1]:,} planted near-duplicates are in one group")
        print(f"{'':<34}{len(duplicates.pairs) - pairs.shape[1]:,} more pairs, of exact copies and by chance")
        splits = split(index, duplicates=duplicates)
        done("split by class and group")
        splits.save(Path(folder) / "splits.arrow")
        Splits.load(Path(folder) / "splits.arrow", index)
        done("save and load the split")
        training = np.flatnonzero(splits.parts == 0)
        taken = index.take(np.random.default_rng(1).choice(training, 100_000))
        done(f"sample {len(taken):,} training rows")
        parts = ", ".join(f"{count:,} {name}" for count, name in zip(np.bincount(splits.parts), PARTS, strict=True))
        print(parts)


if __name__ == "__main__":
    main(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 10_000_000)
