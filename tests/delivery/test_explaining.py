"""`telltale predict --heatmaps`: a picture for each, where it belongs and nowhere else."""

import os

import numpy as np
import pytest
from PIL import Image

from telltale.delivery.explaining import SIDE, HeatmapFolder, mirror_name
from telltale.delivery.predictor import predict

NAMES = [
    "photos/cat.jpg",
    "photos/cat.png",
    "photos/cat.png.jpg",
    "photos/cat",
    "photos/cat.JPG",
    "../cat.jpg",
    "../../cat.jpg",
    "/cat.jpg",
    "./cat/../dog.jpg",
    "..",
    "",
    "https://example.org/cat.jpg?size=3",
    "https://example.org/cat.jpg?size=4",
    "nul\0.jpg",
    "line\nbreak.jpg",
    "a" * 300 + ".jpg",
    "a" * 299 + "b.jpg",
    "猫" * 100 + "/犬.jpg",
    "C:\\photos\\cat.jpg",
    "..\\..\\cat.jpg",
    "trailing. /cat.jpg",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_leads_into_the_folder(name, tmp_path):
    place = mirror_name(name)
    assert place.lower().endswith(".jpg")
    path = tmp_path / "out" / place
    assert os.path.normpath(path) == str(path)
    assert path.is_relative_to(tmp_path / "out")
    assert all(len(part.encode()) < 200 and part == part.rstrip(". ") for part in place.split("/"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")


def test_different_names_have_different_places():
    assert len({mirror_name(name) for name in NAMES}) == len(NAMES)


def test_every_picture_that_is_answered_gets_a_heat_map(classifier, pictures, tmp_path):
    Image.fromarray(np.zeros((900, 1200, 3), np.uint8)).save(pictures / "red" / "large.png")
    (pictures / "red" / "broken.png").write_bytes(b"no picture")
    folder = HeatmapFolder(classifier, tmp_path / "maps")
    with_maps = list(predict(classifier, [pictures], onlooker=folder))
    assert with_maps == list(predict(classifier, [pictures]))
    answered = {mirror_name(one.filename) for one in with_maps if one.status == "ok"}
    written = {path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.jpg")}
    assert written == answered
    with Image.open(next((tmp_path / "maps").rglob("large*"))) as large:
        assert large.size == (SIDE, SIDE * 3 // 4)


def test_the_command_line_writes_them(cli, trained, pictures):
    answer = cli("predict", trained, "pictures/red", "--heatmaps", "maps")
    assert answer.code == 0, answer
    assert "heat maps: maps" in answer.stderr
    assert len(answer.stdout.splitlines()) == 11
    assert len(list((pictures.parent / "maps" / "pictures" / "red").glob("*.jpg"))) == 10
