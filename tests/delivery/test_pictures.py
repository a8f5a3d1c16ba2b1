"""The pictures in a run folder."""

import io

import pytest
from PIL import Image

from telltale.data.index import scan
from telltale.delivery.pictures import draw_predictions, explain, shrink_explained
from telltale.evaluation.evaluation import Mistake
from telltale.evaluation.scoring import evaluate


@pytest.mark.parametrize("name", ["confusion_matrix", "confusion_matrix_normalised", "predictions", "heatmaps"])
def test_a_run_folder_shows(trained, name):
    with Image.open(trained / f"{name}.png") as image:
        image.load()
        assert min(image.size) > 250


def test_a_probe_has_no_history(trained):
    assert not (trained / "history.png").exists()


def test_mistakes_are_explained_in_small_pictures(classifier, pictures):
    index = scan(pictures)
    mistakes = [Mistake(path, path.split("/")[0], "red", 0.9) for path in list(index.paths)[:5]]
    mistakes.append(Mistake("blue/gone.png", "blue", "red", 0.9))
    found = shrink_explained(explain(classifier, index, mistakes))
    assert list(found) == [one.path for one in mistakes[:5]]
    for path, picture in found.items():
        image = Image.open(io.BytesIO(picture))
        assert (image.format, len(picture) <= 7000) == ("JPEG", True)
        with Image.open(pictures / path) as original:
            assert image.width / image.height == pytest.approx(original.width / original.height, rel=0.05)


def test_pictures_that_are_gone_are_left_out_of_the_predictions(classifier, pictures):
    index = scan(pictures)
    evaluation = evaluate(classifier, index)
    before = Image.open(io.BytesIO(draw_predictions(evaluation, index)))
    for path in (pictures / "blue").iterdir():
        path.unlink()
    after = Image.open(io.BytesIO(draw_predictions(evaluation, index)))
    assert after.height < before.height
