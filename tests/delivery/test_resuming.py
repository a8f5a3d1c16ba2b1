"""A training that was stopped goes on as if it had not been, on the same pictures and with the same settings only."""

import json
import shutil
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from telltale.data.source import Columns
from telltale.delivery.pipeline import resume, train
from telltale.delivery.rehearsal import Rehearsal, Task
from telltale.delivery.resume_proof import compare_runs
from telltale.delivery.resuming import Origin, note_origin, read_origin, resolve_paths
from telltale.errors import BundleError, DataError, Interrupted, OutputError, RecipeError, SourceError
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.wording import describe
from telltale.files import locked
from telltale.progress import Advance, Note, silent
from telltale.training.recipe import Recipe
from telltale.training.run import create_run, open_run

NETWORK, SIDE = "test_efficientnet", 32
SCRATCH = Recipe(model="cnn", img_size=24, epochs=3, batch_size=8)
FINETUNE = Recipe(model=NETWORK, img_size=SIDE, fit="finetune", epochs=2, batch_size=8)
STEPS = 4
"""Batches in an epoch: 28 training pictures of the 40 drawn, 8 at a time."""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


class Killed(BaseException):
    """What ends a training between two steps, without a chance to save anything."""


def end_after(steps, end):
    """A `tell` that does `end` after so many steps."""
    seen = []

    def tell(message):
        if isinstance(message, Advance) and message.stage == "train":
            seen.append(message)
            if len(seen) == steps:
                end()

    return tell


def kill():
    raise Killed


def stop():
    signal.raise_signal(signal.SIGTERM)


def contents(folder):
    """Every file below a folder with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def begin(source, recipe, output, *, steps, end=kill, error=Killed):
    with pytest.raises(error) as caught:
        train(source, recipe, output=output, tell=end_after(steps, end))
    return caught.value


def same(one, other):
    """Both run folders hold the same weights, history and probabilities, bit for bit."""
    compared, difference = compare_runs(one, other)
    assert not difference
    assert len(compared) in (4, 5), "no best checkpoint where no epoch was better than the start"


@pytest.mark.parametrize(
    ("recipe", "end"),
    [
        (replace(SCRATCH, augment=("medium",), ema=0.9, schedule="plateau", patience=2), kill),
        (replace(SCRATCH, optimizer="sgd", balance="sampling", augment=("mixup",), accumulate=3), stop),
        (replace(FINETUNE, warmup=0.5, label_smoothing=0.1, clip=1.0), kill),
        (replace(FINETUNE, freeze=0.5, views=2, hidden=16), stop),
    ],
    ids=["average", "momentum", "finetune", "frozen"],
)
def test_a_training_that_was_stopped_ends_like_one_that_was_not(pictures, tmp_path, recipe, end):
    straight = train(pictures, recipe, output=tmp_path / "straight")
    error = Killed if end is kill else Interrupted
    begin(pictures, recipe, tmp_path / "stopped", steps=STEPS + 1, end=end, error=error)
    told = []
    again = resume(tmp_path / "stopped", tell=told.append)
    same(straight.run.folder, again.run.folder)
    # A group of batches whose gradients are added up is finished first.
    where = "epoch 1" if end is kill else f"batch {recipe.accumulate} of epoch 2"
    assert Note(f"The training goes on after {where}.") in told
    assert {path.name for path in again.run.folder.iterdir()} == {path.name for path in straight.run.folder.iterdir()}


def test_a_stop_says_where_and_how_to_go_on(pictures):
    stopped = begin(pictures, SCRATCH, "mine", steps=STEPS + 2, end=stop, error=Interrupted)
    assert stopped.text == "Stopped after batch 2 of epoch 2; everything is saved."
    assert stopped.run == "mine"


def test_a_stop_after_the_last_step_keeps_what_was_learned(pictures, tmp_path):
    def tell(message):
        if isinstance(message, Note) and message.text.startswith("Done after 3 epochs"):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"Stopped; what was learned is saved") as caught:
        train(pictures, SCRATCH, tell=tell)
    again = resume(caught.value.run)
    same(train(pictures, SCRATCH, output="straight").run.folder, again.run.folder)


def test_a_stop_before_anything_was_learned_leaves_no_folder(pictures, tmp_path):
    def tell(message):
        if isinstance(message, Note) and message.text.startswith("Split: "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        train(pictures, SCRATCH, tell=tell)
    assert not isinstance(caught.value, Interrupted)
    assert not (tmp_path / "runs").exists()


def test_killed_before_the_first_checkpoint_it_starts_from_the_beginning(pictures, tmp_path):
    task = Task("killed", str(pictures), asdict(Columns()), asdict(SCRATCH), "cpu")
    with Rehearsal(task, silent) as rehearsal:
        next(rehearsal.steps())
        rehearsal.kill(0.0)
    assert not list((tmp_path / "killed" / "weights").glob("*"))
    again = resume("killed")
    same(train(pictures, SCRATCH, output="straight").run.folder, again.run.folder)


def spoil_new(folder):
    Image.new("RGB", (40, 40), (3, 2, 1)).save(folder / "red" / "later.png")


def spoil_gone(folder):
    (folder / "red" / "red-0.png").unlink()
    (folder / "blue" / "blue-1.png").unlink()


def spoil_bytes(folder):
    Image.new("RGB", (40, 40), (3, 2, 1)).save(folder / "red" / "red-3.png")


def spoil_class(folder):
    (folder / "red" / "red-3.png").rename(folder / "blue" / "red-3.png")


@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        (spoil_new, r"1 new \(red/later\.png\)\. "),
        (spoil_gone, r"2 gone \(blue/blue-1\.png, red/red-0\.png\)\. "),
        (spoil_bytes, r"1 with other bytes \(red/red-3\.png\)\. "),
        (spoil_class, r"1 new \(blue/red-3\.png\); 1 gone \(red/red-3\.png\)\. "),
    ],
    ids=["new", "gone", "bytes", "class"],
)
def test_other_pictures_are_refused(pictures, tmp_path, spoil, difference):
    begin(pictures, SCRATCH, "mine", steps=STEPS + 1)
    spoil(pictures)
    before = contents(tmp_path / "mine" / "weights")
    with pytest.raises(DataError, match=rf"The pictures are not those that 'mine' began with: {difference}"):
        resume("mine")
    assert contents(tmp_path / "mine" / "weights") == before


def write_table(folder, **changed):
    """A table of the drawn pictures, with columns for part and group; `changed` names what row red-3 has instead."""
    lines = ["file,label,split,patient"]
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        row = {"label": path.parent.name, "split": ("train", "val", "test")[number % 3], "group": str(number)}
        row |= changed if path.stem == "red-3" else {}
        lines.append(f"{path.relative_to(folder)},{row['label']},{row['split']},{row['group']}")
    (folder / "table.csv").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"label": "blue"}, "1 with another label"),
        ({"split": "train", "group": "99"}, "1 with another group"),
        ({"split": "train"}, "1 with another part"),
    ],
    ids=["label", "group", "part"],
)
def test_other_labels_groups_and_parts_are_refused(pictures, changed, difference):
    write_table(pictures)
    columns = Columns(image="file", label="label", split="split", group="patient")
    with pytest.raises(Killed):
        train(pictures / "table.csv", SCRATCH, columns=columns, output="mine", tell=end_after(STEPS, kill))
    write_table(pictures, **changed)
    with pytest.raises(DataError, match=rf"began with: .*{difference} \(red/red-3\.png\)"):
        resume("mine")
    write_table(pictures)
    assert len(resume("mine").run.history) == 3


@pytest.mark.parametrize("change", [{"lr": 0.1}, {"seed": 3}, {"batch_size": 4}, {"augment": ()}, {"model": NETWORK}])
def test_other_settings_are_refused(pictures, change):
    begin(pictures, SCRATCH, "mine", steps=STEPS + 1)
    words = rf"{next(iter(change))} is .+, and this training began with "
    with pytest.raises(RecipeError, match=words) as caught:
        resume("mine", recipe=replace(SCRATCH.resolved, **change))
    assert (
        caught.value.expected
        == "The settings of the run; only epochs, patience, time, keep, mirrors, mirror_wait, trackers may change."
    )


def test_a_finished_run_is_extended(pictures):
    first = train(pictures, replace(SCRATCH, epochs=2), output="mine")
    rows, told = first.run.history, []
    longer = resume("mine", recipe=replace(first.run.recipe, epochs=4), tell=told.append)
    assert longer.run.history[:2] == rows
    assert [row["epoch"] for row in longer.run.history] == [1, 2, 3, 4]
    assert longer.run.recipe.epochs == 4
    notes = [one.text for one in told if isinstance(one, Note)]
    assert "The training goes on after epoch 2." in notes
    assert (first.test.looks, longer.test.looks) == (1, 2)
    assert Evaluation.load(longer.run.folder / "evaluation.json").looks == 2
    words = "This run has scored them 2 times: what was chosen after the first may fit them."
    assert words in describe(longer.test) and words in (longer.run.folder / "report.html").read_text("utf-8")
    assert words not in describe(first.test)
    best = min(longer.run.history, key=lambda row: row["val_loss"])
    assert json.loads((longer.run.folder / "fit.json").read_text())["fit"]["best_epoch"] == best["epoch"]


def test_pictures_that_other_weights_have_learned_from_are_not_new(pictures):
    first = train(pictures, replace(SCRATCH, epochs=1), output="first")
    same_parts = train(pictures, Recipe(start_from="first", fit="probe"), output="same")
    assert same_parts.test.seen.learned == 0
    told = []
    other = train(pictures, Recipe(start_from="first", fit="probe", seed=5), output="other", tell=told.append)
    learned = set(first.splits.train.paths) & set(other.splits.test.paths)
    assert other.test.seen.learned == len(learned) > 0
    warnings = [one.text for one in told if isinstance(one, Note) and one.warning]
    assert any(
        one.startswith(f"{len(learned)} of {len(other.splits.test)} test pictures were learned") for one in warnings
    )
    assert f"Not all are new: {len(learned)} were learned from" in describe(other.test)
    # It is known over generations: the third one's own pictures chose only what the first has learned from.
    third = train(pictures, Recipe(start_from="other", fit="probe", seed=7), output="third")
    known = set(third.splits.test.paths) & {*first.splits.train.paths, *other.splits.train.paths}
    assert third.test.seen.learned == len(known) > 0


def test_a_fold_is_extended_with_the_others_only(pictures):
    train(pictures, replace(SCRATCH, epochs=2, folds=2), output="mine")
    with pytest.raises(RecipeError, match="epochs is 1, and 2 are done in 'mine'"):
        resume("mine", recipe=replace(SCRATCH, epochs=1, folds=2))
    words = (
        r"'mine/fold-1' does not say where its pictures came from\..+one fold of a run: telltale train --resume mine"
    )
    with pytest.raises(BundleError, match=words):
        resume("mine/fold-1")


def test_pictures_that_have_moved_are_named_by_the_user(pictures):
    begin(pictures, SCRATCH, "mine", steps=STEPS + 1)
    pictures.rename("elsewhere")
    with pytest.raises(SourceError, match=r"If the pictures lie elsewhere now: telltale train NEW_PLACE --resume mine"):
        resume("mine")
    resume("mine", source="elsewhere")


def test_weights_of_a_training_that_is_not_finished(pictures):
    begin(pictures, SCRATCH, "half", steps=STEPS + 1)
    with pytest.raises(BundleError, match=r"'half' is not finished\..+ telltale train --resume half"):
        train(pictures, Recipe(start_from="half"), output="next")


def test_a_damaged_evaluation_is_written_anew(pictures):
    first = train(pictures, replace(SCRATCH, epochs=1), output="mine")
    (first.run.folder / "evaluation.json").write_text("x")
    assert resume("mine").test.looks == 2
    assert Evaluation.load(first.run.folder / "evaluation.json").looks == 2


def test_the_batch_size_that_was_found_is_kept(pictures):
    recipe = replace(SCRATCH, batch_size=0)
    begin(pictures, recipe, "mine", steps=STEPS + 1)
    assert open_run("mine").recipe.batch_size > 0
    told = []
    resume("mine", tell=told.append)
    assert not any(isinstance(one, Note) and one.text.startswith("Batch size") for one in told)


def test_a_cross_validation_goes_on_in_its_fold(pictures, tmp_path):
    recipe, stages = replace(SCRATCH, folds=2, epochs=2, batch_size=0), []
    straight = train(pictures, recipe, output="straight", tell=lambda one: stages.append(getattr(one, "stage", "")))
    steps = stages.count("train") // 2 + 1
    stopped = begin(pictures, recipe, "mine", steps=steps, end=stop, error=Interrupted)
    assert (stopped.run, stopped.text) == ("mine", "Stopped after batch 1 of epoch 1; everything is saved.")
    first = tmp_path / "mine" / "fold-1" / "weights" / "last.json"
    before = first.stat().st_mtime_ns
    resume("mine")
    assert first.stat().st_mtime_ns == before
    folds = [
        f"fold-{number}/{name}" for number in (1, 2) for name in ("results.csv", "model.telltale/model.safetensors")
    ]
    for name in ("folds.csv", "evaluation.json", "augmentation.png", "model.telltale/model.safetensors", *folds):
        assert (tmp_path / "mine" / name).read_bytes() == (straight.run.folder / name).read_bytes(), name


def test_from_another_working_folder_and_with_moved_pictures(pictures, tmp_path, monkeypatch):
    (tmp_path / "fixes.csv").write_text("file,given,suggested\nred/red-0.png,red,blue\n")
    recipe = replace(SCRATCH, labels_fix="fixes.csv")
    straight = train("pictures", recipe, output=tmp_path / "straight")
    begin("pictures", recipe, "mine", steps=STEPS + 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    shutil.move(pictures, elsewhere / "moved")
    with pytest.raises(Killed):
        resume(tmp_path / "mine", source="moved", tell=end_after(1, kill))
    # Where the pictures are now is known from here on.
    again = resume(tmp_path / "mine")
    same(straight.run.folder, again.run.folder)


def test_paths_of_a_recipe_are_those_of_where_it_was_written(tmp_path):
    recipe = Recipe(weights="w.safetensors", model=NETWORK)
    assert resolve_paths(recipe, str(Path.cwd())) == recipe
    there = resolve_paths(recipe, str(tmp_path / "there"))
    assert there == replace(recipe, weights=str(tmp_path / "there" / "w.safetensors"))


@pytest.mark.parametrize("place", ["hf://user/flowers", "s3://bucket/photos", "https://example.org/a.zip"])
def test_where_pictures_come_from_is_kept(tmp_path, place):
    run = create_run("mine")
    note_origin(run, place, Columns(label="what"), SCRATCH)
    assert read_origin(run) == Origin(place, Columns(label="what"), str(tmp_path))
    note_origin(run, "photos/train-{0..3}.tar", Columns(), SCRATCH)
    assert read_origin(run).source == str(tmp_path / "photos" / "train-{0..3}.tar")


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"'absent' is not a run folder"):
        resume("absent")


def test_a_run_without_its_checkpoints_is_refused(pictures):
    run = train(pictures, SCRATCH).run
    shutil.rmtree(run.weights)
    kept = (run.folder / "results.csv").read_text()
    with pytest.raises(BundleError, match=r"weights' holds no checkpoint, and epochs were done in this run"):
        resume(run.folder, recipe=replace(run.recipe, epochs=4))
    assert (run.folder / "results.csv").read_text() == kept


def test_what_was_learned_is_not_taken_back(pictures):
    run = train(pictures, SCRATCH).run
    with pytest.raises(RecipeError, match=r"epochs is 1, and 3 are done in 'runs/pictures'.*such as --epochs 13"):
        resume(run.folder, recipe=replace(run.recipe, epochs=1))


def test_two_processes_do_not_train_in_one_run(pictures):
    run = train(pictures, replace(SCRATCH, epochs=1)).run
    with (
        locked(run.folder),
        pytest.raises(OutputError, match=r"Another process works in 'runs/pictures'\. One training"),
    ):
        resume(run.folder, recipe=replace(run.recipe, epochs=2))
    assert len(run.history) == 1
