"""The list of runs: each with how far and how good, whatever state its folder is in."""

import json
import time
from dataclasses import replace

import pytest

from telltale.delivery.run_list import SORTS, describe_state, list_runs, read_summary, tabulate_runs
from telltale.errors import BundleError, UserError
from telltale.evaluation.metrics import Interval
from telltale.files import locked, write_json
from telltale.training.recipe import Recipe
from telltale.training.run import create_run

SCRATCH = Recipe(model="cnn", epochs=4).resolved


def rows(count):
    return [
        {"epoch": epoch, "train_loss": 1.0, "val_loss": 1 / epoch, "val_accuracy": epoch / 10, "lr": 0.1}
        for epoch in range(1, count + 1)
    ]


def begin(place, epochs=0, recipe=SCRATCH, begun="2026-11-26T12:00:00Z"):
    """A run that has done so many epochs."""
    run = create_run("", place)
    recipe.save(run.folder / "recipe.toml")
    write_json(run.folder / "run.json", "run", 1, {"id": "0a1b2c3d", "name": place.name, "begun": begun})
    if epochs:
        run.rewrite(rows(epochs))
    return run


def finish(run, accuracy=0.9, recipe=SCRATCH):
    """Everything that a training leaves and the list looks at."""
    figure = {"value": accuracy, "low": 0.6, "high": 0.95}
    write_json(run.folder / "evaluation.json", "evaluation", 1, {"metrics": {"accuracy": figure}})
    run.bundle.mkdir()
    (run.bundle / "manifest.json").write_text("{}")
    write_json(run.folder / "fit.json", "fit", 1, {"fit": {"epochs": len(run.history)}})
    settings = json.loads(json.dumps({"model": recipe.model, "epochs": recipe.epochs, "augment": recipe.augment}))
    write_json(run.folder / "finished.json", "finished", 1, {"settings": settings})
    return run


def names(runs):
    return [run.name for run in runs]


def test_a_finished_run(tmp_path):
    finish(begin(tmp_path / "pets", 4))
    (run,) = list_runs(tmp_path)
    assert run == replace(
        run, folder=tmp_path / "pets", state="finished", begun="2026-11-26T12:00:00Z", model="cnn", fit="scratch",
        epochs=4, epochs_asked=4, val_accuracy=0.4, val_loss=0.25, test_accuracy=Interval(0.9, 0.6, 0.95), error="",
    )  # fmt: skip
    assert (run.name, run.accuracy) == ("pets", 0.9)


def test_how_far_an_unfinished_run_is(tmp_path):
    begin(tmp_path / "begun")
    begin(tmp_path / "stopped", 3)
    early = begin(tmp_path / "early")
    (early.weights / "epoch-0000").mkdir(parents=True)
    (early.weights / "epoch-0000" / "manifest.json").write_text("{}")
    trained = finish(begin(tmp_path / "trained", 4))
    (trained.folder / "finished.json").unlink()
    extended = finish(begin(tmp_path / "extended", 4))
    Recipe(model="cnn", epochs=9).resolved.save(extended.folder / "recipe.toml")
    extended.rewrite(rows(6))
    found = {run.name: describe_state(run) for run in list_runs(tmp_path)}
    assert found == {
        "begun": "begun",
        "stopped": "stopped after epoch 3",
        "early": "stopped",
        "trained": "trained",
        "extended": "stopped after epoch 6",
    }


def test_a_training_that_works_there_is_running(tmp_path):
    run = begin(tmp_path / "pets", 1)
    with locked(run.folder):
        assert read_summary(run.folder).state == "running"
    assert read_summary(run.folder).state == "stopped"
    with locked(run.folder):  # the look has let go
        pass


def test_folds_count_together(tmp_path):
    recipe = Recipe(model="cnn", epochs=4, folds=3).resolved
    run = begin(tmp_path / "pets", recipe=recipe)
    for number in (1, 2):
        begin(run.folder / f"fold-{number}", 3, recipe)
    (found,) = list_runs(tmp_path)
    assert (found.epochs, found.epochs_asked, found.val_loss, found.state) == (6, 12, 1 / 3, "stopped")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("recipe.toml", b"model = ", "recipe.toml cannot be read (TOMLDecodeError)."),
        ("recipe.toml", b"\xff\xfe", "recipe.toml cannot be read (UnicodeDecodeError)."),
        ("run.json", b"{", "run.json cannot be read (JSONDecodeError)."),
        ("run.json", b"[1]", "run.json holds something else."),
        ("fit.json", b"[" * 100_000, "fit.json cannot be read (RecursionError)."),
        ("results.csv", b"epoch,val_loss,val_accuracy\n1,much,0.5\n", "results.csv is damaged (ValueError)."),
        ("results.csv", b"epoch,loss\n1,0.5\n", "results.csv is damaged (KeyError)."),
        ("results.csv", b"epoch,val_loss,val_accuracy\n1,0.5", "results.csv is damaged (TypeError)."),
        ("results.csv", bytes(100), ""),
        ("evaluation.json", b'{"metrics": {}}', "evaluation.json is damaged (KeyError)."),
        ("evaluation.json", b'{"metrics": 7}', "evaluation.json is damaged (TypeError)."),
        ("mirrors.json", b'{"mirrors": 7}', ""),
    ],
)
def test_damage_is_named_and_the_rest_is_listed(tmp_path, name, content, error):
    finish(begin(tmp_path / "pets", 4))
    finish(begin(tmp_path / "birds", 4))
    (tmp_path / "pets" / name).write_bytes(content)
    found = {run.name: run for run in list_runs(tmp_path)}
    assert found["birds"].state == "finished"
    assert found["pets"].error == error
    assert found["pets"].state == ("damaged" if error else "finished")
    if error:
        assert describe_state(found["pets"]) == f"damaged: {error}"


def test_what_is_no_run_is_left_out(tmp_path):
    begin(tmp_path / "pets", 1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "nowhere")
    assert names(list_runs(tmp_path)) == ["pets"]
    assert names(list_runs(tmp_path / "pets")) == ["pets"]
    assert list_runs(tmp_path / "photos") == []


@pytest.mark.parametrize(
    ("error", "missing", "word"), [("", 0, "whole"), ("", 2, "behind"), ("No such bucket.", 2, "away")]
)
def test_the_worst_mirror_is_a_word(tmp_path, error, missing, word):
    run = begin(tmp_path / "pets", 1)
    good = {"url": "s3://a", "last": "epoch-0001", "missing": 0, "error": ""}
    other = {"url": "gs://b", "last": "", "missing": missing, "error": error}
    write_json(run.folder / "mirrors.json", "mirrors", 1, {"mirrors": [good, other]})
    assert read_summary(run.folder).mirrors == word


def test_order(tmp_path):
    finish(begin(tmp_path / "old", 4, begun="2026-01-01T00:00:00Z"), 0.7)
    finish(begin(tmp_path / "new", 2, begun="2026-03-01T00:00:00Z"), 0.8)
    begin(tmp_path / "middle", 3, begun="2026-02-01T00:00:00Z")
    begin(tmp_path / "empty", begun="")
    assert names(list_runs(tmp_path)) == ["new", "middle", "old", "empty"]
    assert names(list_runs(tmp_path, sort="name")) == ["empty", "middle", "new", "old"]
    assert names(list_runs(tmp_path, sort="accuracy")) == ["new", "old", "middle", "empty"]
    assert names(list_runs(tmp_path, sort="loss")) == ["old", "middle", "new", "empty"]
    assert names(list_runs(tmp_path, sort="epochs")) == ["old", "middle", "new", "empty"]
    assert all(list_runs(tmp_path, sort=name) for name in SORTS)


def test_a_wrong_column_gets_the_right_one(tmp_path):
    with pytest.raises(UserError, match=r"No column to sort by named 'acuracy'\. Did you mean 'accuracy'\?"):
        list_runs(tmp_path, sort="acuracy")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(BundleError, match=r"There is no folder '.*nothing'\. A folder with runs"):
        list_runs(tmp_path / "nothing")


def test_the_table_has_a_column_of_mirrors_only_where_there_are_some(tmp_path):
    run = finish(begin(tmp_path / "pets", 4))
    head, line = tabulate_runs(list_runs(tmp_path))
    assert dict(zip(head, line, strict=True)) == {
        "name": "pets", "begun (UTC)": "2026-11-26 12:00", "network": "cnn", "fit": "scratch", "epochs": "4/4",
        "val acc": "0.400", "val loss": "0.250", "test accuracy": "0.900 [0.600, 0.950]", "state": "finished",
    }  # fmt: skip
    write_json(run.folder / "mirrors.json", "mirrors", 1, {"mirrors": [{"url": "s3://a", "missing": 0, "error": ""}]})
    assert tabulate_runs(list_runs(tmp_path))[1][-1] == "whole"


def test_two_hundred_runs_are_listed_at_once(tmp_path):
    lines = [f"{epoch},1.0,{1 / epoch},0.5,0.1" for epoch in range(1, 31)]
    mistakes = [{"path": f"{n}.jpg", "true": "cat", "predicted": "dog", "probability": 0.9} for n in range(100)]
    metrics = {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}}
    files = {
        "recipe.toml": SCRATCH.save(tmp_path / "recipe").read_text(),
        "results.csv": "\n".join(["epoch,train_loss,val_loss,val_accuracy,lr", *lines]),
        "evaluation.json": json.dumps({"metrics": metrics, "mistakes": mistakes}, indent=2),
    }
    for number in range(200):
        folder = tmp_path / f"pets-{number}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    start = time.perf_counter()
    assert len(list_runs(tmp_path)) == 200
    assert time.perf_counter() - start < 1.5  # 0.1 s on an idle core
