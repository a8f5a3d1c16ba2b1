"""How often a learning curve's interval holds what twice the pictures bring, and how long curve and baselines take.

    OPENBLAS_NUM_THREADS=1 python benchmarks/learning_curve.py [--draws 40] [--model mobilenetv2_035]

For each data set and size, training and validation pictures are drawn anew `--draws` times and a curve is drawn of
each. What twice the pictures really bring is the mean of as many curves that end at twice the size and are scored on
all other pictures. At the end: seconds of `score_baselines` and `draw_learning_curve`, features cached.
"""

import argparse
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

SHARED = Path(__file__).parents[2] / "shared"
CASES = (  # data, training pictures, validation pictures
    ("cats_and_dogs", 64, 125),
    ("cats_and_dogs", 250, 125),
    ("cats_and_dogs", 1000, 250),
    ("dog_breeds", 300, 143),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--model", default="mobilenetv2_035")
    parser.add_argument("--shared", type=Path, default=SHARED)
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "openvino"))
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TELLTALE_WEIGHTS"] = str(options.shared.resolve() / "weights")
        os.environ.setdefault("TELLTALE_CACHE", cache)
        opened = {name: look(options.shared / "data" / f"{name}.zip", options.model) for name, _, _ in CASES}
        for name, pictures, validation in CASES:
            study(name, *opened[name], (pictures, validation), options.draws)
        for name, (index, extractor) in opened.items():
            stop_watch(name, index, extractor)


def look(path, model):
    """The usable pictures, and the network with their features in the cache."""
    from telltale.data.source import Columns, open_source
    from telltale.delivery.first_look import prepare_network, scan_with
    from telltale.training.recipe import Recipe

    recipe = Recipe(model=model).resolved
    with prepare_network(recipe) as pending:
        index, extractor = scan_with(
            open_source(path, Columns()), recipe, pending, device="cpu", tell=lambda message: None
        )
    usable = index.table.column("error").is_null().to_numpy() & (index.codes >= 0)
    return index.take(np.flatnonzero(usable)), extractor


def study(name, index, extractor, counts, draws):
    """Curves with the pictures given, and with twice as many that are scored on all others."""
    from telltale.data.splits import Splits
    from telltale.evaluation.learning_curve import draw_learning_curve, order_evenly

    pictures, validation = counts
    brought, gains = [], []
    for seed in range(draws):
        order = order_evenly(index.codes, seed=[seed])
        # From the front training pictures, by class; the others in any order.
        others = np.random.default_rng(seed).permutation(order[2 * pictures :])
        for train, held in ((order[: 2 * pictures], others), (order[:pictures], others[:validation])):
            parts = np.full(len(index), -1, np.int8)
            parts[train], parts[held] = 0, 1
            curve = draw_learning_curve(Splits(index, parts), extractor, seed=seed)
            if len(train) == pictures:
                gains.append(curve.next_gain)
            else:
                brought.append(curve.points[-1].accuracy - curve.points[-2].accuracy)
    truth, error = np.mean(brought), np.std(brought) / draws**0.5
    held = np.mean([one.low <= truth <= one.high for one in gains])
    off = np.sqrt(np.mean([(one.value - truth) ** 2 for one in gains]))
    wide, sure = np.mean([one.high - one.low for one in gains]), np.mean([one.low > 0 for one in gains])
    print(
        f"{name}, {pictures} + {validation}: twice as many bring {100 * truth:.2f} ± {100 * error:.2f} points; "
        f"held by {held:.2f} of {draws} intervals, {100 * wide:.1f} points wide, above 0: {sure:.2f}; "
        f"value off by {100 * off:.1f} points (root mean square)",
        flush=True,
    )


def stop_watch(name, index, extractor):
    """Seconds of the wall clock and of the processor, the best of three."""
    from telltale.data.splits import split
    from telltale.evaluation.baselines import score_baselines
    from telltale.evaluation.learning_curve import draw_learning_curve

    splits = split(index, seed=0)
    for work in (score_baselines, draw_learning_curve):
        taken = []
        for _ in range(3):
            wall, spent = time.perf_counter(), time.process_time()
            work(splits, extractor)
            taken.append((time.perf_counter() - wall, time.process_time() - spent))
        print(f"{name}: {work.__name__} {min(taken)[0]:.2f} s, {min(taken)[1]:.2f} s of a core", flush=True)


if __name__ == "__main__":
    main()
