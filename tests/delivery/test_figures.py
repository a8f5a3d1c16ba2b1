"""Figures of an evaluation and of a run: the panels that there is something for, whatever the names are."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image
from tests.delivery.report_example import evaluated, judged

from telltale.delivery.gallery import show
from telltale.errors import DataError
from telltale.training.run import Run

matplotlib.use("Agg")


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def written(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.asarray(Image.open(file).convert("RGB"))


def texts(figure):
    return {text.get_text() for text in figure.axes[0].texts}


def test_an_evaluation_is_its_confusion_matrix_plain_or_normalised():
    evaluation = evaluated(("cats", "dogs", "birds"), images=300)
    plain, shares = show(evaluation), show(evaluation, normalised=True)
    assert (titles(plain), titles(shares)) == (["Pictures"], ["Share of each class"])
    assert {"93", "7"} <= texts(plain)
    assert {"93.0%", "7.0%"} <= texts(shares)
    assert written(plain).std() > 10


def test_calibration_and_refusals_are_panels_of_their_own():
    figure = show(judged().evaluation)
    assert titles(figure) == ["Pictures", "Reliability", "What refusing buys"]
    assert written(figure).shape[1] > 2 * written(figure).shape[0]


@pytest.mark.parametrize("count", [2, 30, 120])
def test_names_are_no_formulas_and_no_warnings(count):
    names = ("$\\frac{1}$", "\N{CAT FACE}", *(f"$ {number} {'x' * 50}" for number in range(count - 2)))
    written(show(judged(names).evaluation))


def test_a_run_is_its_loss_and_accuracy(tmp_path):
    run = Run(tmp_path)
    run.rewrite([{"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 0.9, "lr": 0.1} for n in (1, 2)])
    figure = show(run)
    assert titles(figure) == ["Loss", "Accuracy"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["train_loss", "val_loss"]
    written(figure)


def test_a_run_without_an_epoch_has_nothing_to_show(tmp_path):
    with pytest.raises(DataError, match="There is nothing to show of the run"):
        show(Run(tmp_path))
