"""One session of a training, told to a tracker; also as a process of its own, as a training is:

python session.py TRACKER RUN_FOLDER FIRST LAST [finished]
"""

import io
import signal
import sys
from pathlib import Path

from PIL import Image

from telltale.progress import Advance, Note
from telltale.training.about import About
from telltale.training.events import CheckpointSaved, EpochDone, MemoryShort, StepDone, TrainingStarted, TrainingStopped
from telltale.training.trackers import open_trackers
from telltale.training.trackers.board import Trackers
from telltale.training.trackers.tracker import Outcome

RUN = "0a1b2c3d"
CLASSES = ("cat", "dog & <b>")


def about(folder: Path, **settings: object) -> About:
    """A training of cats and dogs."""
    recipe = {
        "model": "cnn",
        "epochs": 3,
        "lr": 0.001,
        "compile": False,
        "augment": ("flip", "rotation=20"),
        "time": "",
    }
    counts = {"train": 70, "validation": 15, "test": 15}
    return About(
        RUN, "pets-0a1b2c3d", folder, recipe | settings, {"torch": "2.15.0"}, "c0ffee", True, "ab" * 32, "pets",
        CLASSES, counts,
    )  # fmt: skip


def row(epoch: int) -> dict[str, float]:
    """What results.csv says of an epoch."""
    return {"epoch": epoch, "train_loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1), "val_accuracy": 0.5, "lr": 0.1}


def draw(colour: tuple[int, int, int]) -> bytes:
    """A PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


OUTCOME = Outcome(
    "finished",
    {"accuracy": (0.9, 0.8, 0.95), "log_loss": (0.3, 0.2, 0.4)},
    {"accuracy": (0.875, 0.7, 0.97)},
    draw((200, 0, 0)),
    draw((0, 0, 200)),
)


def play(trackers: Trackers, known: About, first: int, last: int, *, outcome: Outcome | None = None) -> None:
    """A session that goes on after epoch `first - 1` and does those up to `last`; without an outcome it is stopped."""
    with trackers:
        trackers.introduce(known)
        trackers.begin([row(epoch) for epoch in range(first)], first - 1)
        trackers.hear(TrainingStarted(last, 2, 70, 15, 1234, "cpu", "f32", first))
        for epoch in range(first, last + 1):
            for step in (1, 2):
                trackers.hear(StepDone(epoch, step, 35))
            trackers.hear(MemoryShort(epoch, 1, 2))
            trackers.hear(CheckpointSaved(epoch, 0, f"epoch-{epoch:04}"))
            trackers.hear(EpochDone(**row(epoch), seconds=1.0, improved=True))
        if outcome:
            trackers.hear(TrainingStopped("all epochs done", last, last, 0.5, 0.5, 3.0))
            trackers.finish(outcome)


def say(message: Advance | Note) -> None:
    """Notes, as lines on standard error."""
    if isinstance(message, Note):
        print(f"{'warning: ' if message.warning else ''}{message.text}", file=sys.stderr)


if __name__ == "__main__":
    name, folder, first, last, *rest = sys.argv[1:]
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    play(open_trackers([name], tell=say), about(Path(folder)), int(first), int(last), outcome=OUTCOME if rest else None)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before, "Ctrl-C is ours"
