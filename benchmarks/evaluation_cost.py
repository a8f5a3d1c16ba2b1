"""What the evaluation costs: in a warm training of 2,500 photos, and over very many predictions.

    python benchmarks/evaluation_cost.py [--rounds 5] [--data FOLDER] [--images 100000]

First `telltale train cats_and_dogs.zip` runs in processes of their own, everything cached: seconds of the whole, and of
its parts: calibration and reject rule, scoring of validation and test, pictures, baselines and learning curve, report.
Then a test part of so many drawn pictures is evaluated and reported, with features that are cached: seconds and peak
memory of a process that does nothing else. Prints medians (least to greatest).
"""

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

SHARED = Path(__file__).parents[2] / "shared"
CLASSES = {"amber": (220, 160, 40), "blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}
MODEL = "mobilenetv2_035"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return {"train": train, "evaluate": evaluate_many}[options.child[0]](Path(options.child[1]))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "openvino"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TELLTALE_WEIGHTS"] = str(options.weights.resolve())
        os.environ["TELLTALE_CACHE"] = f"{folder}/cache"
        photos = options.data.resolve() / "cats_and_dogs.zip"
        ask("train", photos, folder)
        found = [ask("train", photos, folder) for _ in range(options.rounds)]
        print(f"a warm training of {photos.name}, {options.rounds} processes, seconds")
        for name in found[0]:
            print(f"  {name:<44} {spread([one[name] for one in found])}")
        many = Path(folder) / "many"
        draw(many, options.images)
        ask("evaluate", many, folder)
        found = [ask("evaluate", many, folder) for _ in range(3)]
        print(f"{options.images:,} test predictions, 3 processes")
        for name in found[0]:
            print(f"  {name:<44} {spread([one[name] for one in found])}")
    return None


def ask(job, data, folder):
    """What a process of its own measures."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", job, str(data)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def spread(values):
    """Median and extremes."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def train(photos):
    """Seconds of a warm training and of its parts; those of a part include what it calls."""
    start = time.perf_counter()
    from telltale.delivery import outcome, pipeline, results
    from telltale.training import fitting
    from telltale.training.recipe import Recipe

    seconds = {}

    def watch(module, name, words):
        work = getattr(module, name)

        @functools.wraps(work)
        def timed(*arguments, **options):
            began = time.perf_counter()
            try:
                return work(*arguments, **options)
            finally:
                seconds[words] = seconds.get(words, 0.0) + time.perf_counter() - began

        setattr(module, name, timed)

    watch(fitting, "calibrate", "calibration, reject rule, familiarity")
    watch(outcome, "evaluate", "scoring validation and test")
    watch(results, "write_pictures", "pictures and heat maps")
    watch(results, "collect", "baselines, learning curve, thumbnails")
    watch(pipeline, "save_results", "all that is written, with the two before")
    pipeline.train(photos, Recipe(model=MODEL))
    names = list(seconds)
    added = ("calibration", "scoring", "all that is written")
    seconds["evaluation and report in all"] = sum(seconds[name] for name in names if name.startswith(added))
    print(json.dumps({"whole process": time.perf_counter() - start} | seconds))


def draw(folder, images):
    """Split folders of tiny pictures, all different, that are told apart by their colour, not always."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 2_000), ("val", 500), ("test", images)):
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
        for number in range(count):
            name, colour = list(CLASSES.items())[number % len(CLASSES)]
            pixels = np.clip(rng.normal(colour, 90, (24, 24, 3)) + rng.normal(0, 60, 3), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / part / name / f"{number}.png", compress_level=1)


def evaluate_many(folder):
    """Seconds and memory of evaluation and report of the classifier of a run, trained here where there is none yet."""
    from telltale.data.index import Index
    from telltale.data.splits import Splits
    from telltale.delivery.outcome import Tools, Training
    from telltale.delivery.pipeline import train as train_all
    from telltale.delivery.results import save_results
    from telltale.evaluation.scoring import evaluate
    from telltale.model.bundle import load
    from telltale.progress import silent
    from telltale.training.recipe import Recipe
    from telltale.training.run import Run

    run = Run(Path("runs") / "many-run")
    if not run.bundle.is_dir():
        train_all(folder, Recipe(model=MODEL, img_size=64, near_duplicates=False), output=run.folder)
        print("{}")
        return
    splits = Splits.load(run.folder / "splits.arrow", Index.load(run.folder / "index.arrow"))
    classifier = load(run.bundle)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    validation, test = (evaluate(classifier, part, seen="mark") for part in (splits.validation, splits.test))
    scored = time.perf_counter() - start
    save_results(Training(classifier, run, splits, validation, test), Tools("cpu", None, silent))
    found = {"scoring, s": scored, "scoring and report, s": time.perf_counter() - start, "memory before, MB": before}
    page = (run.folder / "report.html").stat().st_size / 1e6
    print(
        json.dumps(
            found | {"peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "report, MB": page}
        )
    )


if __name__ == "__main__":
    main()
