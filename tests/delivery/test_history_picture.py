"""Loss and accuracy over the epochs: drawn where there is something to see."""

import io
import math

import pytest
from PIL import Image

from telltale.delivery.history_picture import SIZE, draw_history


def rows(count, **others):
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "val_loss": 1.2 / epoch,
            "val_accuracy": 1 - 0.5 / epoch,
            "lr": 0.1,
            **others,
        }
        for epoch in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("history", "drawn"),
    [
        ([], False),
        (rows(1), False),
        (rows(2), True),
        (rows(300), True),
        (rows(5, val_accuracy=1.0, train_loss=0.5, val_loss=0.5), True),
        ([*rows(3), {"epoch": 4, "train_loss": math.nan, "val_loss": math.nan, "val_accuracy": math.nan}], True),
        (rows(4, train_loss=math.nan), True),
        (rows(3, val_loss=math.nan), False),
    ],
    ids=["none", "a probe", "two epochs", "many", "all the same", "diverged at the end", "no training loss", "nothing"],
)
def test_epochs_become_lines(history, drawn):
    picture = draw_history(history)
    if drawn:
        assert Image.open(io.BytesIO(picture)).size == SIZE
    else:
        assert picture == b""


def test_a_training_that_learns_looks_other_than_one_that_does_not():
    assert draw_history(rows(9)) != draw_history(rows(9, val_loss=1.2))
