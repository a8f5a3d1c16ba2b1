"""From file to feature: what decoding alone, the network alone and both together reach, in images per second.

    python benchmarks/pipeline.py [--rounds 5] [--data FILE.zip] [--weights FOLDER]

* decode: read from the archive and decode, on all cores;
* prepare: the same, and resize to the network's square;
* model: the network on squares that lie in memory, on all cores;
* together: `scan` with the network as its watcher, caches empty: read, hash, decode, hash the pixels, resize, network,
  write the features.

Efficiency is together / (1 / (1 / decode + 1 / model)). Below it: resize and decode functions side by side, one thread.
"""

import argparse
import io
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "cats_and_dogs.zip")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--model", default="mobilenetv2_035")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"TELLTALE_CACHE": cache, "TELLTALE_WEIGHTS": str(options.weights.resolve())}
        compare_rates(options, Path(cache))
        compare_functions(options.data)


def compare_rates(options, cache):
    from telltale.data.decoding import decode
    from telltale.data.index import scan
    from telltale.data.source import open_source
    from telltale.device import cores
    from telltale.model.backbone import request_backbone
    from telltale.model.features import FeatureStream
    from telltale.threads import map_in_order

    source = open_source(options.data)
    paths = source.samples.column("path").to_pylist()
    pending = request_backbone(options.model)
    pending.result()
    for precision in ("f32", "bf16"):
        rates = {name: [] for name in ("decode", "prepare", "model", "together")}
        for number in range(options.rounds + 1):
            shutil.rmtree(cache / "features", ignore_errors=True)
            shutil.rmtree(cache / "facts", ignore_errors=True)
            stream = FeatureStream(pending, size=0, resize="crop", precision=precision, device="cpu")
            extractor = stream._open().extractor
            engine = extractor.engine
            decoded = timed(lambda rows: [decode(source.store.read(paths[row])).pixels.shape for row in rows], paths)
            squares = []
            prepared = timed(partial(prepare, source.store, paths, extractor.preprocess, squares), paths)
            start = time.perf_counter()
            for _ in map_in_order(engine.run, squares, threads=cores()):
                pass
            modelled = len(paths) / (time.perf_counter() - start)
            start = time.perf_counter()
            scan(source, watcher=stream)
            stream.finish()
            together = len(paths) / (time.perf_counter() - start)
            if number:  # the first round warms up
                for name, rate in zip(rates, (decoded, prepared, modelled, together), strict=True):
                    rates[name].append(rate)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        spans = ", ".join(f"{name} {medians[name]:,.0f} ({min(v):,.0f}-{max(v):,.0f})" for name, v in rates.items())
        allowed = [1 / (1 / d + 1 / m) for d, m in zip(rates["decode"], rates["model"], strict=True)]
        efficiency = [t / a for t, a in zip(rates["together"], allowed, strict=True)]
        print(f"{options.model} {precision}, images/s, n={options.rounds}: {spans}")
        print(f"  efficiency: median {statistics.median(efficiency):.0%} ({min(efficiency):.0%}-{max(efficiency):.0%})")


def prepare(store, paths, preprocess, squares, rows):
    """Read, decode and resize some pictures; the batch goes to `squares`."""
    import numpy as np

    from telltale.data.decoding import decode

    squares.append(np.stack([preprocess.apply(decode(store.read(paths[row])).pixels) for row in rows]))


def timed(work, paths):
    """Images per second of `work` on ranges of rows, on all cores."""
    from telltale.device import cores
    from telltale.threads import map_in_order, pieces

    start = time.perf_counter()
    for _ in map_in_order(work, pieces(len(paths), 16), threads=cores()):
        pass
    return len(paths) / (time.perf_counter() - start)


def compare_functions(data):
    """Milliseconds per picture of each decoder and resize, on one thread, best of three passes over 300 pictures."""
    import cv2
    import numpy as np
    from PIL import Image

    from telltale.batches.preprocess import Preprocess
    from telltale.data.decoding import decode
    from telltale.data.source import open_source

    source = open_source(data)
    files = [source.store.read(path) for path in source.samples.column("path").to_pylist()[::8]]
    pictures = [decode(one).pixels for one in files]
    images = [Image.fromarray(one) for one in pictures]
    square = (224, 224)
    rows = {
        "decode (ours: simplejpeg, Pillow where needed)": (decode, files),
        "decode, Pillow": (lambda one: np.asarray(Image.open(io.BytesIO(one)).convert("RGB")), files),
        "prepare for 224, ours: crop (blocks, then bilinear)": (Preprocess(224).apply, pictures),
        "prepare for 224, ours: squash": (Preprocess(224, "squash").apply, pictures),
        "resize, OpenCV area": (lambda one: cv2.resize(one, square, interpolation=cv2.INTER_AREA), pictures),
        "resize, Pillow bilinear": (lambda one: one.resize(square, Image.Resampling.BILINEAR), images),
        "resize, Pillow bicubic": (lambda one: one.resize(square, Image.Resampling.BICUBIC), images),
    }
    for name, (work, items) in rows.items():
        best = min(seconds(work, items) for _ in range(3)) / len(items)
        print(f"{name}: {1000 * best:.3f} ms")


def seconds(work, items):
    start = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
