"""`telltale runs` lists what is there, for people and for programs, and never ends in a traceback."""

import json
import subprocess
import sys

import numpy as np
import pytest

from telltale.evaluation.evaluation import score
from telltale.training.recipe import Recipe
from telltale.training.run import create_run


@pytest.fixture
def runs(tmp_path):
    """Two runs: one was stopped, one is damaged."""
    for number, name in enumerate(("pets", "a name that is far too long for a column of a table")):
        run = create_run("", tmp_path / "runs" / name)
        Recipe(model="cnn", epochs=4).resolved.save(run.folder / "recipe.toml")
        row = {"epoch": 2, "train_loss": 1.0, "val_loss": 0.5 + number, "val_accuracy": 0.75, "lr": 0.1}
        run.rewrite([row])
    (tmp_path / "runs" / "pets" / "run.json").write_text("{")
    return tmp_path / "runs"


def test_a_line_for_each_run_and_what_comes_next(cli, runs):
    answer = cli("runs", "--sort", "loss")
    assert answer.code == 0, answer
    head, first, second = answer.stdout.splitlines()
    assert head.split()[:4] == ["name", "begun", "(UTC)", "network"]
    assert first.startswith("pets ")
    assert first.endswith("damaged: run.json cannot be read (JSONDecodeError).")
    assert second.startswith("a name that is…mn of a table  ")
    assert "2/4" in second
    assert second.endswith("stopped after epoch 2")
    assert "2 runs in 'runs'." in answer.stderr
    assert "next: telltale train --resume 'runs/a name that is far too long" in answer.stderr


def test_json_has_everything(cli, runs):
    answer = cli("runs", runs, "--json", "--sort", "name")
    assert answer.code == 0, answer
    long, pets = json.loads(answer.stdout)
    assert long["name"].startswith("a name")
    assert (pets["name"], pets["folder"], pets["state"]) == ("pets", str(runs / "pets"), "damaged")
    assert (pets["epochs"], pets["epochs_asked"], pets["val_loss"], pets["test_accuracy"]) == (2, 4, 0.5, None)


def test_no_runs_and_no_folder(cli, tmp_path):
    (tmp_path / "runs").mkdir()
    answer = cli("runs")
    assert (answer.code, answer.stdout) == (0, "")
    assert "0 runs in 'runs'." in answer.stderr
    answer = cli("runs", "elsewhere")
    assert answer.code == 2
    assert "error: There is no folder 'elsewhere'." in answer.stderr
    assert "Traceback" not in answer.stderr


def test_nothing_heavy_is_loaded(runs):
    program = """
import sys
from telltale.cli import app
try:
    app(["runs"])
except SystemExit:
    pass
print(sorted({"cv2", "pyarrow", "torch", "timm", "openvino"} & {name.split(".")[0] for name in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=runs.parent, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_choosing_by_test_accuracy_earns_a_warning(cli, runs):
    words = "warning: the test accuracy of a run that was chosen by it is too good."
    evaluation = score(np.array([0, 1]), np.eye(2), ["cat", "dog"])
    first, second = sorted(runs.iterdir())
    evaluation.save(first / "evaluation.json")
    assert words not in cli("runs", "--sort", "accuracy").stderr
    evaluation.save(second / "evaluation.json")
    assert words in cli("runs", "--sort", "accuracy").stderr
    assert words not in cli("runs").stderr
