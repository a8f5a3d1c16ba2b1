"""A training whose machine is gone comes back from a mirror, and ends as if it had never been stopped."""

import json
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from telltale.data.index import scan
from telltale.data.splits import split
from telltale.delivery.pipeline import resume, train
from telltale.delivery.restoring import bring_back
from telltale.delivery.resume_proof import compare_runs
from telltale.errors import BundleError, Interrupted, PlaceError, RecipeError
from telltale.evaluation.evaluation import Evaluation
from telltale.files import write_manifest
from telltale.progress import Advance, Note, silent
from telltale.training.fitting import fit
from telltale.training.ledger import read_looks, record_look
from telltale.training.recipe import Recipe
from telltale.training.run import Run, open_run

NETWORK, SIDE = "test_efficientnet", 32
PLAIN = Recipe(model="cnn", img_size=24, epochs=3, batch_size=8)
STEPS = 4
"""Batches in an epoch: 28 training pictures of the 40 drawn, 8 at a time."""


class Killed(BaseException):
    """What ends a training between two steps, without a chance to save anything."""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


@pytest.fixture
def mirrored(tmp_path):
    return replace(PLAIN, mirrors=(str(tmp_path / "mirror"),), mirror_wait="5s")


def killed_in(tmp_path, steps):
    """A `tell` that ends the training after so many steps, once the mirror has every epoch that is done."""
    seen = []

    def tell(message):
        if isinstance(message, Advance) and message.stage == "train":
            seen.append(message)
            if len(seen) == steps:
                wait_for(tmp_path, (steps - 1) // STEPS)
                raise Killed

    return tell


def wait_for(tmp_path, epoch):
    for _ in range(2000):
        if list(tmp_path.glob(f"mirror/*/weights/epoch-{epoch:04d}-*/manifest.json")):
            return
        time.sleep(0.005)
    raise AssertionError(f"epoch {epoch} does not arrive")


def begin(pictures, recipe, tmp_path, steps=STEPS + 2):
    with pytest.raises(Killed):
        train(pictures, recipe, tell=killed_in(tmp_path, steps))
    end_threads()


def end_threads():
    """A process that is killed takes its threads with it."""
    while any(thread.name.startswith("mirror ") for thread in threading.enumerate()):
        time.sleep(0.005)


def notes(told):
    return [one.text for one in told if isinstance(one, Note)]


@pytest.mark.parametrize(
    "recipe",
    [PLAIN, replace(PLAIN, model=NETWORK, img_size=SIDE, fit="finetune", ema=0.9, augment=("medium",))],
    ids=["plain", "finetune"],
)
def test_the_same_command_on_an_empty_machine_goes_on_bit_for_bit(pictures, tmp_path, recipe):
    straight = train(pictures, recipe, output="straight")
    mirrored = replace(recipe, mirrors=(str(tmp_path / "mirror"),))
    begin(pictures, mirrored, tmp_path)
    shutil.rmtree("runs")
    told = []
    done = train(pictures, mirrored, tell=told.append)
    assert compare_runs(straight.run.folder, done.run.folder)[1] == ""
    said = notes(told)
    assert any(text.startswith("Fetched epoch-0001-") for text in said)
    assert "The training goes on after epoch 1." in said
    assert any(" (stopped after 1 epoch). It goes on. (Another --seed begins a new one.)" in text for text in said)
    assert not done.lacking
    (result,) = tmp_path.glob("mirror/*/result-0003.*")
    assert (result / "report.html").read_bytes() == (done.run.folder / "report.html").read_bytes()
    assert f"{tmp_path}/mirror has up to epoch-0003-" in (done.run.folder / "report.html").read_text()


def test_by_the_address_of_the_mirror(pictures, tmp_path, mirrored):
    straight = train(pictures, PLAIN, output="straight")
    begin(pictures, mirrored, tmp_path)
    shutil.rmtree("runs")
    done = resume(tmp_path / "mirror", output="back")
    assert str(done.run) == "back"
    assert compare_runs(straight.run.folder, done.run.folder)[1] == ""
    assert resume(tmp_path / "mirror", output="back").run.folder == done.run.folder, "and again"


def test_what_is_newer_on_this_machine_counts(pictures, tmp_path, mirrored):
    begin(pictures, mirrored, tmp_path, steps=2 * STEPS + 2)
    shutil.rmtree(next(tmp_path.glob("mirror/*/weights/epoch-0002-*")))
    told = []
    train(pictures, mirrored, tell=told.append)
    assert "The training goes on after epoch 2." in notes(told)
    assert len(list(tmp_path.glob("runs/*"))) == 1


def test_a_finished_training_is_not_trained_again(pictures, tmp_path, mirrored):
    first = train(pictures, mirrored)
    for _ in range(2):
        told = []
        again = train(pictures, mirrored, tell=told.append)
        assert any("This training is finished, and nothing is left to do." in text for text in notes(told))
        assert not any(isinstance(one, Advance) and one.stage == "train" for one in told)
        assert again.test.to_dict() == first.test.to_dict()
        assert again.test.looks == 1
        shutil.rmtree("runs")
    assert Evaluation.load(next(tmp_path.glob("mirror/*/result-*/evaluation.json"))).looks == 1


def test_looks_at_the_test_part_travel_with_the_run(pictures, tmp_path, mirrored):
    run = train(pictures, mirrored).run
    assert record_look(run, "telltale evaluate", 3) == 2
    again = train(pictures, mirrored)  # it is finished: the mirror only hears of the look
    assert again.test.looks == 2
    (there,) = tmp_path.glob("mirror/*/test_ledger.jsonl")
    assert there.read_bytes() == (run.folder / "test_ledger.jsonl").read_bytes()
    shutil.rmtree("runs")
    back = train(pictures, mirrored)
    assert back.test.looks == 2
    assert [one.by for one in read_looks(back.run)] == ["telltale train", "telltale evaluate"]
    assert len(list(tmp_path.glob("mirror/*/result-*"))) == 1, "a look makes no new result"


def test_other_settings_other_data_and_other_places_are_other_trainings(pictures, unseen, tmp_path, mirrored):
    train(pictures, mirrored)
    for source, recipe in [
        (pictures, replace(mirrored, seed=1)),
        (unseen, mirrored),
        (pictures, replace(mirrored, epochs=4)),
    ]:
        told = []
        train(source, recipe, tell=told.append)
        assert not any("holds this training" in text for text in notes(told))
    assert len(list(tmp_path.glob("mirror/*"))) == 4


def test_pictures_that_have_changed_make_a_new_training(pictures, tmp_path, mirrored):
    begin(pictures, mirrored, tmp_path)
    Image.new("RGB", (40, 40), (3, 2, 1)).save(pictures / "red" / "later.png")
    told = []
    done = train(pictures, mirrored, tell=told.append)
    assert any("1 new (red/later.png). So this is a new training." in text for text in notes(told))
    assert len(done.run.history) == 3
    assert len(list(tmp_path.glob("mirror/*"))) == 2


@pytest.mark.parametrize("output", [None, "mine"])
def test_a_run_that_came_back_for_other_pictures_leaves_its_place_to_the_new_training(
    pictures, tmp_path, mirrored, output
):
    begin(pictures, mirrored, tmp_path)
    shutil.rmtree("runs", ignore_errors=True)
    Image.new("RGB", (40, 40), (3, 2, 1)).save(pictures / "red" / "later.png")
    done = train(pictures, mirrored, output=output)
    assert len(done.run.history) == 3
    folders = ["mine"] if output else [f"runs/{path.name}" for path in Path("runs").iterdir()]
    assert folders == [str(done.run)]


def test_a_probe_is_mirrored_and_comes_back(pictures, tmp_path):
    recipe = Recipe(model=NETWORK, img_size=SIDE, mirrors=(str(tmp_path / "mirror"),))
    first = train(pictures, recipe)
    shutil.rmtree("runs")
    told = []
    again = train(pictures, recipe, tell=told.append)
    assert again.test.to_dict() == first.test.to_dict()
    assert any("(finished after 1 epoch)" in text for text in notes(told))


def test_a_cross_validation_comes_back(pictures, tmp_path, mirrored):
    straight = train(pictures, replace(PLAIN, folds=2, epochs=2), output="straight")
    recipe = replace(mirrored, folds=2, epochs=2)
    seen = []

    def tell(message):
        seen.append(getattr(message, "text", getattr(message, "stage", "")))
        if seen[-1] == "train" and any(text.startswith("Fold 1 of 2") for text in seen):
            wait_for_fold(tmp_path)
            raise Killed

    with pytest.raises(Killed):
        train(pictures, recipe, tell=tell)
    end_threads()
    shutil.rmtree("runs")
    told = []
    done = train(pictures, recipe, tell=told.append)
    assert any(text.startswith("Fetched epoch-0002-") for text in notes(told))
    for name in ("folds.csv", "evaluation.json", "model.telltale/model.safetensors", "fold-1/results.csv"):
        assert (done.run.folder / name).read_bytes() == (straight.run.folder / name).read_bytes(), name


def wait_for_fold(tmp_path):
    for _ in range(2000):
        if list(tmp_path.glob("mirror/*/fold-1/weights/epoch-0002-*/manifest.json")):
            return
        time.sleep(0.005)
    raise AssertionError("the fold does not arrive")


def test_a_stop_waits_for_the_mirror(pictures, tmp_path, mirrored):
    def tell(message):
        if isinstance(message, Advance) and message.stage == "train" and message.done > 40:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"Stopped after batch \d of epoch 2; everything is saved"):
        train(pictures, mirrored, tell=tell)
    assert list(tmp_path.glob("mirror/*/weights/epoch-0001-step-*/manifest.json"))


def test_a_mirror_within_what_it_mirrors_is_refused(pictures, tmp_path):
    with pytest.raises(PlaceError, match=r"The mirror .*pictures/m lies in the data, "):
        train(pictures, replace(PLAIN, mirrors=(str(pictures / "m"),)))
    run = train(pictures, replace(PLAIN, epochs=1)).run
    with pytest.raises(PlaceError, match=r"The mirror .*/m lies in the run folder, "):
        resume(run.folder, recipe=replace(run.recipe, mirrors=(str(run.folder / "m"),)))


@pytest.mark.parametrize("where", ["file/x", "file"])
def test_a_mirror_that_cannot_be_is_said_before_anything_is_trained(pictures, tmp_path, where):
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlaceError, match=r"file"):
        train(pictures, replace(PLAIN, mirrors=(str(tmp_path / where),)))
    assert not (tmp_path / "runs").exists()


def test_one_mirror_twice_is_refused(pictures):
    with pytest.raises(PlaceError, match=r"The mirror m was given twice"):
        train(pictures, replace(PLAIN, mirrors=("./m", "m")))


def test_what_holds_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"empty holds no run\. A run folder, or a mirror"):
        bring_back(tmp_path / "empty", None, silent)
    with pytest.raises(BundleError, match=r"'.*absent' is not a run folder"):
        bring_back(tmp_path / "absent", None, silent)


def test_one_of_several_runs_must_be_named(pictures, tmp_path, mirrored):
    for seed in (0, 1):
        train(pictures, replace(mirrored, seed=seed, epochs=1))
    with pytest.raises(
        BundleError, match=r"mirror holds 2 runs: pictures-[\w-]+ \(finished after 1 epoch\), pictures-"
    ) as caught:
        resume(tmp_path / "mirror")
    assert caught.value.expected == "One run to go on with."
    named = caught.value.do.removeprefix("Name it: --resume ")
    shutil.rmtree("runs")
    assert resume(named).run.name.startswith("pictures")


def test_a_run_folder_takes_no_other_output(pictures, tmp_path):
    run = train(pictures, replace(PLAIN, epochs=1)).run
    with pytest.raises(RecipeError, match=r"--resume .*, which is a run folder itself"):
        resume(run.folder, output="other")


def test_another_run_in_the_output_is_left_alone(pictures, tmp_path, mirrored):
    train(pictures, replace(mirrored, epochs=1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("x")
    with pytest.raises(RecipeError, match=r"The folder 'mine' is not empty"):
        resume(tmp_path / "mirror", output="mine")


def test_from_python_fit_mirrors_too(pictures, tmp_path, mirrored):
    splits = split(scan(pictures))
    _, run = fit(splits, replace(mirrored, epochs=1))
    (root,) = tmp_path.glob("mirror/*")
    assert list(root.glob("weights/epoch-0001-*/manifest.json"))
    assert list(root.glob("result-0001.*/model.telltale/manifest.json"))
    assert json.loads((run.folder / "mirrors.json").read_text())["mirrors"][0]["result"]


def test_a_mirror_can_be_added_and_the_run_catches_up(pictures, tmp_path):
    run = train(pictures, PLAIN).run
    done = resume(run.folder, recipe=replace(run.recipe, mirrors=(str(tmp_path / "later"),)))
    assert not done.lacking
    assert list(tmp_path.glob("later/*/weights/epoch-0003-*/manifest.json"))
    assert list(tmp_path.glob("later/*/result-0003.*/report.html"))
    assert open_run(run.folder).id == Run(run.folder).id


def test_a_mirror_that_was_named_from_another_folder_is_found(pictures, tmp_path, monkeypatch):
    run = train("pictures", replace(PLAIN, epochs=1, mirrors=("mirror",)), output=tmp_path / "mine").run
    shutil.rmtree("mirror")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert not resume(run.folder).lacking
    assert list(tmp_path.glob("mirror/*/result-0001.*"))
    assert not (tmp_path / "elsewhere" / "mirror").exists()


def test_what_one_mirror_cannot_give_another_does(pictures, tmp_path):
    recipe = replace(PLAIN, mirrors=(str(tmp_path / "mirror"), str(tmp_path / "other")))
    straight = train(pictures, PLAIN, output="straight")
    begin(pictures, recipe, tmp_path, steps=2 * STEPS + 2)
    for state in tmp_path.glob("mirror/*/weights/*/state.safetensors"):
        state.write_bytes(b"x")
    shutil.rmtree("runs")
    told = []
    done = train(pictures, recipe, tell=told.append)
    assert any(text.startswith("Fetched epoch-000") and "other" in text for text in notes(told))
    assert compare_runs(straight.run.folder, done.run.folder)[1] == ""
    assert not done.lacking, "and what was damaged is mended"


def test_a_finished_cross_validation_comes_back_and_is_not_scored_again(pictures, tmp_path, mirrored):
    recipe = replace(mirrored, folds=2, epochs=1)
    first = train(pictures, recipe)
    shutil.rmtree("runs")
    told = []
    again = train(pictures, recipe, tell=told.append)
    assert any("is finished, and nothing is left to do" in text for text in notes(told))
    assert again.test.to_dict() == first.test.to_dict()


def test_the_first_command_knows_a_training_that_was_extended(pictures, tmp_path, mirrored):
    first = train(pictures, mirrored)
    resume(first.run.folder, recipe=replace(first.run.recipe, epochs=4))
    shutil.rmtree("runs")
    told = []
    again = train(pictures, mirrored, tell=told.append)
    assert any("is finished, and nothing is left to do" in text for text in notes(told))
    assert len(again.run.history) == 4


def test_a_run_of_another_version_in_the_same_place_does_no_harm(pictures, tmp_path, mirrored):
    train(pictures, mirrored)
    shutil.rmtree("runs")
    (settings,) = tmp_path.glob("mirror/*/start.*/recipe.toml")
    settings.write_text('new_setting = "x"\n')
    write_manifest(settings.parent)
    told = []
    train(pictures, mirrored, tell=told.append)
    assert not any("holds this training" in text for text in notes(told))
    assert len(list(tmp_path.glob("mirror/*"))) == 2


def test_stopped_while_it_looks_at_pictures_nothing_is_sent(pictures, tmp_path, mirrored):
    def stop(message):
        if isinstance(message, Note) and message.text.startswith("40 pictures"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pictures, mirrored, tell=stop)
    assert list(tmp_path.glob("mirror/*")) == []


def test_without_what_it_began_with_a_training_does_not_go_on(pictures, tmp_path, mirrored):
    """Its parts would be drawn anew, and what was learned from could become the test."""
    begin(pictures, mirrored, tmp_path)
    next(tmp_path.glob("mirror/*/start.*/splits.arrow")).write_bytes(b"x")
    shutil.rmtree("runs")
    with pytest.raises(BundleError, match="holds nothing whole of pictures-"):
        resume(tmp_path / "mirror")


def test_a_mirror_that_was_moved_is_said_to_get_nothing_more(pictures, tmp_path, mirrored):
    train(pictures, mirrored)
    shutil.rmtree("runs")
    for where, words in [("mirror", []), ("moved", [f"sent to {tmp_path}/mirror, not to {tmp_path}/moved: --mirror"])]:
        if where == "moved":
            (tmp_path / "mirror").rename(tmp_path / "moved")
        (root,) = (tmp_path / where).iterdir()
        for address in (tmp_path / where, root):
            told = []
            bring_back(address, tmp_path / f"back-{where}-{address.name}", told.append)
            said = [text for text in notes(told) if text.startswith("What follows is sent to")]
            assert len(said) == len(words)
            assert all(word in text for word, text in zip(words, said, strict=True))
