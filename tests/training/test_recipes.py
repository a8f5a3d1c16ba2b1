"""Every named recipe loads, fits together, says where it comes from, and trains; a wrong name gets the right ones."""

import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from telltale.batches.augmentation import parse_augmentation
from telltale.errors import RecipeError
from telltale.model.zoo import describe_network, list_models
from telltale.training.recipe import Recipe
from telltale.training.recipes import FOLDER, find_recipe, list_recipes

NAMES = [
    "cats-dogs-cnn", "cats-dogs-cnn-2", "cats-dogs-cnn-augmented", "cats-dogs-cnn-augmented-2", "cats-dogs-cnn-scaled",
    "cats-dogs-cnn-scaled-2", "cats-dogs-mobilenetv2", "cats-dogs-mobilenetv2-2", "custom-cnn", "dog-breeds",
    "efficientnetv2-b2", "inceptionv3-random", "timm-efficientnetv2-b2", "timm-efficientnetv2-b2-random",
]  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in list_recipes()}
SMALL = {"cnn": 32, "cnn_growing": 48, "inception_v3": 80}
"""Pixels that are enough for a network; 64 for the others."""

each = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def test_the_names_are_known():
    assert list(RECIPES) == NAMES


@each
def test_a_recipe_says_where_it_comes_from(recipe):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", recipe.name)
    expect = recipe.expect
    assert all(len(text) > 10 for text in (recipe.title, recipe.source, recipe.data, expect.on, expect.reported))
    assert len({one.title for one in RECIPES.values()}) == len(RECIPES)
    assert "accuracy" in expect.metric and 0 < expect.low < expect.high <= 1
    assert recipe.notes and all(len(note) > 10 for note in (*recipe.notes, *recipe.also))


@each
def test_a_reported_figure_is_in_the_range(recipe):
    figures = [float(one) for one in re.findall(r"0\.\d{3}", recipe.expect.reported)]
    if "none" not in recipe.expect.reported:
        assert any(recipe.expect.low <= one <= recipe.expect.high for one in figures)


@each
def test_the_settings_fit_together(recipe):
    settings = recipe.recipe.resolved
    parse_augmentation(settings.augment)
    architecture = describe_network(settings.model, size=settings.img_size, pool=settings.pool)
    assert architecture.size == settings.img_size > 0
    names = list_models(f"{settings.model}*", pretrained=True)
    assert settings.how == "scratch" or settings.model in {*names, *(name.partition(".")[0] for name in names)}
    # A setting for another way of training would do nothing.
    assert settings.how == "finetune" or (settings.freeze, settings.layer_decay) == (0.0, 0.75)
    assert settings.how != "probe" or settings == replace(
        Recipe(), **{name: getattr(settings, name) for name in ("model", "fit", "img_size", "resize", "epochs", "lr")}
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cats-dogs-cnn", {"model": "cnn", "pixels": "raw", "output": "sigmoid", "dropout": 0.2, "augment": ()}),
        ("cats-dogs-cnn-2", {"pixels": "unit", "output": "softmax", "dropout": 0.5, "augment": ()}),
        ("cats-dogs-cnn-augmented", {"pixels": "raw", "augment": ("flip-rotation",)}),
        ("cats-dogs-cnn-augmented-2", {"pixels": "unit", "dropout": 0.5, "augment": ("flip-rotation",)}),
        ("cats-dogs-cnn-scaled", {"pixels": "symmetric", "augment": ("flip-rotation",)}),
        ("cats-dogs-mobilenetv2", {"pool": "max", "hidden": 128, "freeze": 1.0, "img_size": 160, "output": "sigmoid"}),
        ("inceptionv3-random", {"fit": "scratch", "img_size": 224, "schedule": "plateau"}),
        ("efficientnetv2-b2", {"fit": "finetune", "epochs": 15}),
        ("custom-cnn", {"model": "cnn_growing", "epochs": 20}),
        ("timm-efficientnetv2-b2", {"fit": "finetune", "lr": 0.005, "batch_size": 128, "augment": ("distortions",)}),
        ("timm-efficientnetv2-b2-random", {"fit": "scratch", "lr": 0.005, "batch_size": 128}),
        ("dog-breeds", {"fit": "probe", "img_size": 224}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_settings_are_those_of_the_source(name, settings):
    recipe = RECIPES[name].recipe
    assert {one: getattr(recipe, one) for one in settings} == settings
    if name.startswith("cats-dogs"):
        plain = {"epochs": 20, "batch_size": 32, "lr": 0.001, "schedule": "constant", "patience": 0, "img_size": 160}
        assert {one: getattr(recipe, one) for one in plain} == plain


@each
def test_a_page_shows_it(recipe):
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert f"\n## {recipe.name}\n" in page
    assert all(note in page for note in recipe.notes)


# With weights this network takes 35 s to convert and to learn; from random weights it is trained in `make test`, too.
SLOW = {"timm-efficientnetv2-b2"}


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(one, marks=pytest.mark.slow if one.name in SLOW else (), id=one.name) for one in list_recipes()],
)
def test_it_trains(recipe, photos, tmp_path):
    """Two epochs on 24 photos, smaller than it was made for; pretrained weights are random."""
    from safetensors.torch import save_file

    from telltale.data.index import scan
    from telltale.data.splits import split
    from telltale.model.zoo import create_backbone
    from telltale.training.fitting import fit
    from telltale.training.run import create_run

    settings = replace(recipe.recipe, img_size=SMALL.get(recipe.recipe.model, 64), epochs=2)
    if settings.how != "scratch":
        network = create_backbone(describe_network(settings.model, size=settings.img_size))
        save_file(network.state_dict(), tmp_path / "random.safetensors")
        settings = replace(settings, weights=str(tmp_path / "random.safetensors"))
    splits = split(scan(photos), seed=0)
    classifier, run = fit(splits, settings, run=create_run("one", tmp_path / "run"), device="cpu")
    assert classifier.classes == ("cats", "dogs")
    epochs = [row["epoch"] for row in run.history]
    assert epochs == {"probe": [1], "scratch": [1, 2], "finetune": [0, 1, 2][bool(settings.hidden) :]}[settings.how]
    assert Recipe.load(run.folder / "recipe.toml").augment == settings.augment


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """12 cats and 12 dogs: real photos where they lie beside the checkout, else noise of two colours."""
    root = tmp_path_factory.mktemp("photos")
    archive = Path(__file__).parents[3] / "shared" / "data" / "cats_and_dogs.zip"
    for name, colour in {"cats": (40, 60, 200), "dogs": (200, 50, 40)}.items():
        (root / name).mkdir()
        if archive.is_file():
            with zipfile.ZipFile(archive) as file:
                for entry in sorted(one for one in file.namelist() if fnmatch(one, f"*train/{name}/*.jpg"))[:12]:
                    (root / name / Path(entry).name).write_bytes(file.read(entry))
        else:
            for number in range(12):
                pixels = np.random.default_rng(number).normal(colour, 25, (40, 48, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_a_name_is_found(tmp_path, monkeypatch):
    assert find_recipe("cats-dogs-cnn") == FOLDER / "cats-dogs-cnn.toml"
    monkeypatch.chdir(tmp_path)
    Path("cats-dogs-cnn").write_text("epochs = 3\n")
    assert find_recipe("cats-dogs-cnn") == FOLDER / "cats-dogs-cnn.toml"
    assert Recipe.load(find_recipe("./cats-dogs-cnn")).epochs == 3


def test_a_file_is_found(tmp_path):
    path = Recipe(epochs=7).save(tmp_path / "mine.toml")
    assert Recipe.load(find_recipe(path)).epochs == 7
    assert find_recipe(str(path)) == path


def test_a_wrong_name_gets_the_right_ones():
    with pytest.raises(RecipeError, match=r"There is no recipe and no file 'dog-breed'. Did you mean 'dog-breeds'"):
        find_recipe("dog-breed")
    with pytest.raises(
        RecipeError, match=r"no file '§§'. One of cats-dogs-cnn, .* List them with .telltale models --recipes"
    ):
        find_recipe("§§")


def test_a_pattern_chooses():
    assert [recipe.name for recipe in list_recipes("efficientnetv2-b2")] == [
        "efficientnetv2-b2",
        "timm-efficientnetv2-b2",
        "timm-efficientnetv2-b2-random",
    ]
    assert [recipe.name for recipe in list_recipes("*-random")] == NAMES[11:12] + NAMES[13:]
    assert list_recipes("§§") == ()


def test_no_torch_is_needed_to_list():
    program = (
        "import sys; from telltale.training.recipes import list_recipes as ls; ls(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
