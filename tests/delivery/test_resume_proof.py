"""`prove_resume` kills real processes, and would see a difference."""

import os
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from telltale.data.source import Columns
from telltale.delivery.pipeline import train
from telltale.delivery.rehearsal import Rehearsal, Task
from telltale.delivery.resume_proof import compare_runs, draw_kills, prove_resume
from telltale.errors import RecipeError, SourceError
from telltale.progress import Note, silent
from telltale.training.recipe import Recipe

NETWORK, SIDE = "test_efficientnet", 32
SCRATCH = Recipe(model="cnn", img_size=24, batch_size=8, epochs=2)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


def test_a_fine_tuning_that_is_killed_twice_ends_the_same(pictures, tmp_path):
    told = []
    recipe = Recipe(model=NETWORK, img_size=SIDE, fit="finetune", time="1h", batch_size=0)
    proof = prove_resume(pictures, recipe, device="cpu", tell=told.append)
    assert proof.equal
    assert proof.difference == ""
    assert proof.steps == 3 * 4  # as many as 28 pictures make in batches of the 8 that are found
    assert len(proof.kills) == 2
    assert 0 < proof.kills[0] < proof.kills[1] < proof.steps
    assert [name.split(maxsplit=1)[1] for name in proof.compared] == [
        "tensors of model.telltale/model.safetensors",
        "tensors of weights/best",
        "tensors of weights/last",
        "rows of results.csv",
        "probabilities of 4 test pictures",
    ]
    notes = [one.text for one in told if isinstance(one, Note)]
    assert (
        notes[0] == "Two trainings of 3 epochs, not the 8 of the recipe: one is left alone, one is killed on the way."
    )
    assert notes[1] == "The limit of time is left out: it ends a training where the clock says."
    assert notes[-1] == f"Killed after step {proof.kills[1]} of 12."
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_a_difference_is_named(pictures):
    one = train(pictures, SCRATCH, output="one").run.folder
    other = train(pictures, replace(SCRATCH, seed=1), output="other").run.folder
    assert compare_runs(one, other) == ((), "model.telltale/model.safetensors: backbone.blocks.0.bias is another")
    for name, difference in {
        "weights/best": "weights/best: network.features.blocks.0.bias is another",
        "results.csv": "results.csv: row 1 is '1,",
        "test_predictions.parquet": "test_predictions.parquet: other probabilities",
    }.items():
        mixed = shutil.copytree(one, one.with_name(name.replace("/", "-")))
        if name == "weights/best":
            shutil.rmtree(mixed / "weights")
            shutil.copytree(other / "weights", mixed / "weights")
        else:
            shutil.copy(other / name, mixed / name)
        assert compare_runs(one, mixed)[1].startswith(difference), name
    compared, difference = compare_runs(one, one)
    assert difference == ""
    assert compared[3:] == ("2 rows of results.csv", "the probabilities of 4 test pictures")


def test_a_probe_cannot_be_killed(pictures):
    with pytest.raises(RecipeError, match=r"A probe cannot be killed between two steps: its head is computed"):
        prove_resume(pictures, Recipe(model=NETWORK))


def test_what_the_training_raises_is_raised(pictures, tmp_path):
    with pytest.raises(SourceError, match=r"There is no 'absent'") as caught:
        prove_resume("absent", SCRATCH)
    assert caught.value.do
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_a_training_of_one_step_cannot_be_proven():
    with pytest.raises(RecipeError, match=r"The training ended after 1 step: there is none to kill it before"):
        draw_kills(1, 2, 2, np.random.default_rng(0))


@given(st.integers(2, 500), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32))
def test_kills_fall_between_steps_the_last_one_after_the_first_epoch(steps, epochs, kills, seed):
    points = draw_kills(steps, epochs, kills, np.random.default_rng(seed))
    assert points == draw_kills(steps, epochs, kills, np.random.default_rng(seed))
    assert points == sorted(set(points))
    assert 1 <= len(points) <= kills
    assert 1 <= points[0] <= points[-1] < steps
    assert points[-1] > steps // epochs or steps // epochs + 1 >= steps


def test_a_process_that_cannot_train_is_explained(pictures, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONHOME", os.devnull)
    task = Task("mine", str(pictures), asdict(Columns()), asdict(SCRATCH), "cpu")
    words = r"The process of the training ended by itself with exit code 1\."
    with Rehearsal(task, silent) as rehearsal, pytest.raises(RecipeError, match=words):
        list(rehearsal.steps())
    assert capfd.readouterr().err


def test_a_rehearsal_ends_with_its_block(pictures):
    task = Task("mine", str(pictures), asdict(Columns()), asdict(SCRATCH), "cpu")
    with Rehearsal(task, silent) as rehearsal:
        first = next(rehearsal.steps())
    assert (first.done, first.total) == (8, 56)
    assert rehearsal.process.returncode is not None
