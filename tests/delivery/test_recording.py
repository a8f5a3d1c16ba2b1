"""A whole training as its log and a tracker know it: each epoch once, also when it goes on elsewhere."""

import json
import shutil
from dataclasses import replace

import pytest
from tests.delivery.test_restoring import begin, end_threads

from telltale.delivery.pipeline import train
from telltale.errors import UserError
from telltale.training.recipe import Recipe

PLAIN = Recipe(model="cnn", img_size=24, epochs=3, batch_size=8, trackers=("tensorboard",))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def log(run):
    return [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]


def curves(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_training_that_goes_on_elsewhere_is_one_history(pictures, tmp_path):
    mirrored = replace(PLAIN, mirrors=(str(tmp_path / "mirror"),))
    begin(pictures, mirrored, tmp_path)
    end_threads()
    shutil.rmtree("runs")
    done = train(pictures, mirrored)
    lines = log(done.run)
    assert [line["epoch"] for line in lines if line["event"] == "EpochDone"] == [1, 2, 3]
    assert [line["event"] for line in lines[-2:]] == ["Evaluation", "Evaluation"]
    figures = {line["part"]: line["metrics"]["accuracy"] for line in lines[-2:]}
    assert figures["test"][0] == done.test.metrics["accuracy"].value
    found = curves(done.run)
    for name in ("loss/train", "loss/validation", "accuracy/validation", "learning_rate"):
        assert [point.step for point in found.Scalars(name)] == [1, 2, 3]
    assert [point.value for point in found.Scalars("loss/validation")] == pytest.approx(
        [row["val_loss"] for row in done.run.history]
    )
    assert {"confusion_matrix", "samples"} <= set(found.Tags()["images"])
    (text,) = (found.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in found.Tags()["tensors"])
    for word in ("data_hash", "git_commit", "versions", done.run.id):
        assert word in text
    assert (done.run.folder / "results.csv").read_text().count("epoch,") == 1


def test_a_cross_validation_is_told_once(pictures):
    done = train(pictures, replace(PLAIN, folds=2, epochs=1))
    assert [line["event"] for line in log(done.run)] == ["EpochDone", "Evaluation", "Evaluation"]
    assert list(done.run.folder.glob("tensorboard/events*"))
    assert [line["event"] for line in log(replace(done.run, folder=done.run.folder / "fold-1"))][
        -1
    ] == "TrainingStopped"


def test_an_unknown_tracker_is_said_before_anything_is_trained(pictures, tmp_path):
    with pytest.raises(UserError, match=r"No tracker named 'tensorbord'\. Did you mean 'tensorboard'\?"):
        train(pictures, replace(PLAIN, trackers=("tensorbord",)))
    assert not (tmp_path / "runs").exists()
