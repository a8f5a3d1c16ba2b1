"""A run folder is new, never somebody else's, and its table of epochs is whole after every epoch."""

import re
import shutil

import pytest

from telltale.errors import BundleError, OutputError, RecipeError
from telltale.training.recipe import Recipe
from telltale.training.run import COLUMNS, Run, create_run, identify, open_run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_names_count_up(tmp_path):
    assert [create_run("pets").name for _ in range(3)] == ["pets", "pets-2", "pets-3"]
    shutil.rmtree(tmp_path / "runs" / "pets-2")
    assert create_run("pets").name == "pets-2"
    assert str(create_run("birds")) == "runs/birds"


def test_a_file_of_that_name_is_passed_over(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pets").write_text("x")
    assert create_run("pets").name == "pets-2"
    assert (tmp_path / "runs" / "pets").read_text() == "x"


def test_the_output_folder_is_made_with_its_parents(tmp_path):
    run = create_run("pets", tmp_path / "a" / "b")
    assert run.folder.is_dir()
    (tmp_path / "empty").mkdir()
    assert create_run("pets", tmp_path / "empty").folder == tmp_path / "empty", "nothing there can be lost"
    assert not (tmp_path / "runs").exists()


def test_an_output_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("x")
    with pytest.raises(RecipeError, match=r"The folder '.*mine' is not empty\. A new or an empty folder"):
        create_run("pets", tmp_path / "mine")
    assert (tmp_path / "mine" / "photo.jpg").read_text() == "x"


@pytest.mark.parametrize("output", ["file", "file/below", None])
def test_a_file_in_the_way_is_explained(tmp_path, output):
    (tmp_path / ("runs" if output is None else "file")).write_text("x")
    with pytest.raises(OutputError, match=r"cannot be written: a file stands where a folder is needed"):
        create_run("pets", output)


def test_every_epoch_becomes_a_row():
    run = create_run("pets")
    assert run.history == []
    first = {"epoch": 1, "train_loss": 1.25, "val_loss": 1 / 3, "val_accuracy": 0.5, "lr": 1e-05}
    run.rewrite([first | {"seconds": 3.0}])
    run.rewrite([*run.history, first | {"epoch": 2}])
    text = (run.folder / "results.csv").read_text()
    assert text.splitlines() == [
        "epoch,train_loss,val_loss,val_accuracy,lr",
        "1,1.25,0.3333333333333333,0.5,1e-05",
        "2,1.25,0.3333333333333333,0.5,1e-05",
    ]
    assert run.history == [first, first | {"epoch": 2}]
    assert tuple(run.history[0]) == COLUMNS
    assert {path.name for path in run.folder.iterdir()} == {"run.json", "results.csv"}


def test_rows_are_replaced_as_a_whole():
    run = create_run("pets")
    rows = [dict.fromkeys(COLUMNS, 0.5) | {"epoch": epoch} for epoch in range(4)]
    run.rewrite(rows)
    assert run.history == rows
    run.rewrite(rows[:2])
    assert [row["epoch"] for row in run.history] == [0, 1]
    run.rewrite([])
    assert run.history == []
    assert (run.folder / "results.csv").read_text() == "epoch,train_loss,val_loss,val_accuracy,lr\n"


def test_a_run_is_opened_again():
    run = create_run("pets")
    with pytest.raises(BundleError, match=r"'runs/pets' is not a run folder\. A folder with recipe.toml"):
        open_run(run.folder)
    Recipe(model="cnn").save(run.folder / "recipe.toml")
    assert open_run("runs/pets") == run
    assert open_run(run.folder).recipe == Recipe(model="cnn")
    assert run.bundle == run.folder / "model.telltale"
    assert run.weights == run.folder / "weights"


def test_a_run_keeps_its_id_and_its_name(tmp_path):
    run = create_run("é & cats")
    assert re.fullmatch(r"[0-9a-f]{8}", run.id)
    id_, moved = run.id, Run(run.folder.rename(tmp_path / "elsewhere"))
    assert (moved.id, moved.label) == (id_, f"_cats-{id_}")
    assert create_run("other").id != id_
    identify(moved, "00c0ffee", name="pets")
    assert moved.label == "pets-00c0ffee"


def test_a_folder_without_an_id_gets_one(tmp_path):
    run = Run(tmp_path)
    assert run.id == Run(tmp_path).id


def test_a_damaged_id_is_refused(tmp_path):
    identify(Run(tmp_path), "../../x")
    with pytest.raises(BundleError, match=r"run\.json' says that the run is '\.\./\.\./x'"):
        _ = Run(tmp_path).id
