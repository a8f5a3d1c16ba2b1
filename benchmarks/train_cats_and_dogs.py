"""`telltale train` on cats and dogs against the seeds' Keras recipe: whole processes, interleaved.

    python benchmarks/train_cats_and_dogs.py --keras PYTHON_OF_KERAS [--rounds 3] [--data FOLDER] [--weights FOLDER]

Each round runs, in this order: Keras, then Telltale for the first time (all caches empty), with the converted network
(new pictures: only `engines/` kept), and with cached features. `--data` holds `cats_and_dogs.zip` and
`cats_and_dogs_unseen.zip`. Prints every run as one JSON line, then medians and ratios. Without `--keras` only Telltale
runs.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"
STATES = ("first", "converted", "cached")


def run(command, environment, folder):
    """Seconds, peak memory of the largest process in MB, and the last line of standard output."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def peak_memory(command, environment, folder):
    """Peak of the summed proportional memory of a command and its children, in MB, sampled 50 times a second."""
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(proportional_memory(number) for number in family(process.pid)))
        time.sleep(0.02)
    return round(peak / 1024)


def family(number):
    """A process and all its descendants."""
    found = [number]
    for one in found:
        try:
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:
            continue
    return found


def proportional_memory(number):
    """Pss of a process in kB; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def telltale(arguments):
    return [sys.executable, "-m", "telltale", *arguments]


def prepare(cache, state):
    """Delete what a state must not find."""
    if state == "first":
        shutil.rmtree(cache, ignore_errors=True)
    elif state == "converted":
        for name in cache.iterdir() if cache.is_dir() else ():
            if name.name != "engines":
                shutil.rmtree(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras", help="Python of a virtual environment with tensorflow, keras and safetensors.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--keras-epochs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        cache = folder / "cache"
        environment = os.environ | {"TELLTALE_CACHE": str(cache), "TELLTALE_WEIGHTS": str(options.weights.resolve())}
        archive = options.data.resolve() / "cats_and_dogs.zip"
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / "pictures")
        seconds = {name: [] for name in ("keras", *STATES)}
        train = telltale(["train", str(archive), "--model", "mobilenetv2_035", "--json"])
        for number in range(options.rounds):
            if options.keras:
                script = [options.keras, str(HERE / "keras_seed.py"), str(folder / "pictures" / "cats_and_dogs")]
                weights = str(options.weights.resolve() / "mobilenetv2_035.safetensors")
                command = [*script, weights, str(folder / "keras.keras"), str(options.keras_epochs)]
                took, said = run(command, environment | {"TF_CPP_MIN_LOG_LEVEL": "3"}, folder)
                seconds["keras"].append(took)
                print(
                    json.dumps(
                        {
                            "round": number,
                            "run": "keras",
                            "seconds": round(took, 2),
                            **json.loads(said.splitlines()[-1]),
                        }
                    ),
                    flush=True,
                )
            for state in STATES:
                prepare(cache, state)
                output = folder / f"{state}-{number}"
                took, said = run([*train, "--output", str(output)], environment, folder)
                seconds[state].append(took)
                result = json.loads(said)
                scores = {
                    part: round(result[part]["metrics"]["accuracy"]["value"], 4) for part in ("validation", "test")
                }
                print(json.dumps({"round": number, "run": state, "seconds": round(took, 2), **scores}), flush=True)
        summary(seconds)
        trained = folder / f"cached-{options.rounds - 1}"
        score(trained, options.data, archive, environment, folder)
        for state in STATES:
            prepare(cache, state)
            peak = peak_memory([*train, "--output", str(folder / f"memory-{state}")], environment, folder)
            print(f"peak memory of the process tree (PSS), {state}: {peak} MB")
        help_times = [run(telltale(["--help"]), environment, folder)[0] for _ in range(7)]
        print(f"telltale --help: median {statistics.median(help_times):.3f} s of 7")
        print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )


def summary(seconds):
    for name, values in seconds.items():
        if values:
            span = f"from {min(values):.2f} to {max(values):.2f}, n={len(values)}"
            print(f"{name}: median {statistics.median(values):.2f} s, {span}")
    for state in STATES if seconds["keras"] else ():
        ratios = [peer / ours for peer, ours in zip(seconds["keras"], seconds[state], strict=True)]
        print(f"keras / {state}: median {statistics.median(ratios):.1f} x, from {min(ratios):.1f} to {max(ratios):.1f}")


def score(trained, data, archive, environment, folder):
    """Accuracy on all 500 validation pictures (the peer's measure) and on the pictures from elsewhere."""
    for name, arguments in (
        ("500 validation", [str(archive), "--part", "validation"]),
        ("300 unseen", [str(data.resolve() / "cats_and_dogs_unseen.zip")]),
    ):
        _, said = run(telltale(["evaluate", str(trained), *arguments, "--json"]), environment, folder)
        print(f"accuracy on the {name} pictures: {json.loads(said)['metrics']['accuracy']}")


if __name__ == "__main__":
    main()
