"""What TensorBoard shows: one whole history, whatever became of earlier files, the test, its pictures, the settings."""

import shutil

import pytest
from tests.training.trackers.session import CLASSES, OUTCOME, about, play, row

from telltale.progress import Note
from telltale.training.trackers import open_trackers
from telltale.training.trackers.tracker import SCALARS


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "pets"


def session(run, first, last, outcome=None, **settings):
    told = []
    play(open_trackers(["tensorboard"], tell=told.append), about(run, **settings), first, last, outcome=outcome)
    return [one.text for one in told if isinstance(one, Note)]


def read(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return events


def curve(events, name):
    return [(point.step, pytest.approx(point.value)) for point in events.Scalars(name)]


def test_curves_figures_and_pictures(run):
    (note,) = session(run, 1, 3, OUTCOME)
    assert note == f"tensorboard: written to {run / 'tensorboard'}; to look at it: tensorboard --logdir {run.parent}"
    events = read(run)
    for column, name in SCALARS.items():
        assert curve(events, name) == [(epoch, row(epoch)[column]) for epoch in range(4)]
    assert curve(events, "test/accuracy") == [(3, 0.9)]
    assert curve(events, "test/log_loss_high") == [(3, 0.4)]
    assert set(events.Tags()["images"]) == {"confusion_matrix", "samples"}
    (picture,) = events.Images("confusion_matrix")
    assert (picture.width, picture.height, picture.encoded_image_string) == (30, 20, OUTCOME.confusion)


def test_settings_can_be_compared_and_read(run):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    session(run, 1, 1, OUTCOME)
    events = read(run)
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["augment"].string_value == "flip, rotation=20"
    assert settings["epochs"].number_value == 3
    text = events.Tensors("about/text_summary")[0].tensor_proto.string_val[0].decode()
    assert f'classes = ["{CLASSES[0]}", "{CLASSES[1]}"]' in text
    assert 'git_commit = "c0ffee"' in text
    assert all(line.startswith("    ") for line in text.splitlines()), "names from outside are no Markdown"


@pytest.mark.parametrize("lost", [False, True], ids=["same machine", "another machine"])
def test_a_training_that_goes_on_has_one_history_without_doubles(run, lost):
    session(run, 1, 3)
    if lost:
        shutil.rmtree(run / "tensorboard")
    session(run, 3, 5, OUTCOME)  # epoch 3 was lost
    events = read(run)
    for name in SCALARS.values():
        assert [point.step for point in events.Scalars(name)] == [0, 1, 2, 3, 4, 5]
    assert curve(events, "test/accuracy") == [(5, 0.9)]
