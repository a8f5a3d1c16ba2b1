"""`search_rate` leaves a curve and a rate, and nothing where there is none to find."""

import csv
from dataclasses import replace

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from telltale.delivery.pipeline import train
from telltale.delivery.rate_search import search_rate
from telltale.errors import RecipeError
from telltale.progress import Note
from telltale.training.rate_finder import LOWEST
from telltale.training.recipe import Recipe

NETWORK, SIDE = "test_efficientnet", 32
SCRATCH = Recipe(model="cnn", img_size=24, batch_size=4)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


def test_a_search_leaves_a_table_and_a_picture(pictures, tmp_path):
    (pictures / "red" / "broken.png").write_bytes(b"")
    told = []
    found = search_rate(pictures, SCRATCH, tell=told.append)
    assert str(found.folder) == "rates/pictures"
    assert {path.name for path in found.folder.iterdir()} == {"lr_finder.csv", "lr_finder.png"}
    with open(found.folder / "lr_finder.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == found.curve.rows
    assert rows[0]["lr"] == LOWEST
    assert 1e-4 <= found.curve.best <= 1e-1
    Image.open(found.folder / "lr_finder.png").verify()
    assert not any(isinstance(one, Note) and "the curve says little" in one.text for one in told)
    again = search_rate(pictures, SCRATCH, output="again")
    assert again.curve == found.curve
    assert str(again.folder) == "again"
    assert not (tmp_path / "runs").exists()


def test_where_little_is_left_to_learn_it_is_said(pictures):
    learned = train(pictures, replace(SCRATCH, epochs=12, lr=0.01)).run
    told = []
    search_rate(pictures, replace(SCRATCH, start_from=str(learned)), tell=told.append)
    words = "from the start: hardly anything is left to learn, and the curve says little."
    assert any(isinstance(one, Note) and one.warning and one.text.endswith(words) for one in told)


def test_a_probe_has_no_rate(pictures, tmp_path):
    with pytest.raises(RecipeError, match=r"A probe has no learning rate to find: its head is computed"):
        search_rate(pictures, Recipe(model=NETWORK))
    assert not (tmp_path / "rates").exists()


def test_a_loss_that_is_no_number_is_said(pictures, tmp_path, weights):
    tensors = load_file(weights / f"{NETWORK}.safetensors")
    save_file({**tensors, "bn2.weight": tensors["bn2.weight"] * float("inf")}, "burst.safetensors")
    burst = Recipe(
        model=NETWORK, img_size=SIDE, fit="finetune", hidden=4, weights="burst.safetensors", arithmetic="f32"
    )
    with pytest.raises(RecipeError, match=r"The loss is no finite number before anything was learned"):
        search_rate(pictures, burst)
    assert not (tmp_path / "rates").exists()
