"""Seconds of one epoch over 2,000 photos: Telltale, Keras and timm in turn, and the ratios between them.

    python benchmarks/epoch_speed.py DATA.zip --keras-python PYTHON [--rounds 3] [--epochs 3] [--only CASE]

DATA.zip holds `{train,validation}/{cats,dogs}/*.jpg` (in a folder of its own); it is unpacked for the peers. PYTHON
has Keras on TensorFlow. Every run is a process of its own; the first epoch of each is left out (Keras compiles its
graph in it; Telltale decodes the pictures before it and keeps them). Weights are random: they do not change the speed.
Telltale's epochs hold what a training does besides the steps: a look at two validation pictures, and a checkpoint.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

CASES = {
    "mobilenetv2": "MobileNetV2 1.0, 160 pixels, batches of 32, all layers and the statistics of the norms",
    "fixed": "MobileNetV2 1.0, 160 pixels, batches of 32, all layers; norms keep their statistics",
    "third": "MobileNetV2 1.0, 160 pixels, batches of 32, the last third of the layers",
    "cnn": "the seeds' CNN, 160 pixels, batches of 32",
}
HERE = Path(__file__).parent


def time_telltale(data: str, case: str, epochs: int) -> dict[str, object]:
    """Seconds of each epoch, and of what comes before the first one."""
    import numpy as np

    from telltale.data.index import scan
    from telltale.data.splits import split
    from telltale.progress import silent
    from telltale.training.events import EpochDone
    from telltale.training.fitting import open_extractor
    from telltale.training.loop import train_epochs
    from telltale.training.network import prepare
    from telltale.training.recipe import Recipe
    from telltale.training.store import Store

    settings = {"img_size": 160, "epochs": epochs, "patience": 0, "augment": (), "schedule": "constant"}
    if case == "cnn":
        recipe = Recipe(model="cnn", output="sigmoid", pixels="raw", **settings)
    else:
        weights = _random_weights()
        third = {"freeze": 2 / 3} if case == "third" else {"fix_norms": case == "fixed"}
        recipe = Recipe(model="mobilenetv2_100", fit="finetune", weights=weights, output="sigmoid", **third, **settings)
    start = time.perf_counter()
    index = scan(data)
    parts = np.array([0 if one == "train" else 2 for one in index.table.column("split").to_pylist()], np.int8)
    parts[np.flatnonzero(parts == 2)[[0, -1]]] = 1
    splits = replace(split(index), parts=parts)
    looked = time.perf_counter() - start
    recipe = recipe.resolved
    extractor = open_extractor(recipe) if recipe.how == "finetune" else None
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _, state, lesson = prepare(splits, recipe, device="cpu", extractor=extractor, tell=silent)
        prepared = time.perf_counter() - start
        events = train_epochs(state, lesson, Store(Path(folder) / "weights", "00c0ffee"))
        seconds = [event.seconds for event in events if isinstance(event, EpochDone)]
    return {"seconds": seconds, "look": looked, "prepare": prepared, "pictures": len(splits.train)}


def _random_weights() -> str:
    """A file with random weights for MobileNetV2 1.0: there is no hub here."""
    import timm
    import torch
    from safetensors.torch import save_file

    path = Path(tempfile.gettempdir()) / "telltale-benchmark" / "mobilenetv2_100.safetensors"
    if not path.is_file():
        torch.manual_seed(0)
        network = timm.create_model("mobilenetv2_100", num_classes=0)
        for _ in range(20):
            network.train()(torch.randn(8, 3, 96, 96) + torch.randn(8, 3, 1, 1))
        path.parent.mkdir(exist_ok=True)
        save_file(network.state_dict(), path)
    return str(path)


def run(command: list[str]) -> dict[str, object]:
    """The JSON that a process prints as its last line."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet).stdout
    return json.loads(output.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--keras-python", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", choices=CASES, default=None)
    parser.add_argument("--telltale", choices=CASES, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.telltale:
        print(json.dumps(time_telltale(asked.data, asked.telltale, asked.epochs)))
        return
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(asked.data).extractall(folder)
        root = next(Path(folder).rglob("train")).parent
        for case in [asked.only] if asked.only else CASES:
            compare(case, root, asked)


def compare(case: str, root: Path, asked: argparse.Namespace) -> None:
    """Run all peers in turn, and print their medians and ratios."""
    epochs = str(asked.epochs)
    commands = {
        "telltale": [sys.executable, __file__, asked.data, "--telltale", case, "--epochs", epochs],
        "keras": [asked.keras_python, str(HERE / "keras_epochs.py"), str(root), case, epochs],
        "timm": [sys.executable, str(HERE / "timm_epochs.py"), str(root), epochs],
    }
    if not asked.keras_python:
        del commands["keras"]
    if case != "mobilenetv2":
        del commands["timm"]
    found: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(asked.rounds):
        for name in [*commands] if number % 2 == 0 else [*reversed(commands)]:
            answer = run(commands[name])
            found[name] += answer["seconds"][1:]
            if name == "telltale":
                print(f"  telltale: look {answer['look']:.1f} s, before the first epoch {answer['prepare']:.1f} s")
    print(CASES[case])
    for name, seconds in found.items():
        middle, least = statistics.median(seconds), min(seconds)
        print(
            f"  {name}: {middle:.2f} s an epoch ({2000 / middle:.0f} images/s), best {least:.2f} s, n = {len(seconds)}"
        )
    for name in [one for one in found if one != "telltale"]:
        ratio = statistics.median(found[name]) / statistics.median(found["telltale"])
        print(f"  {name} / telltale: {ratio:.2f} (of the best: {min(found[name]) / min(found['telltale']):.2f})")


if __name__ == "__main__":
    main()
