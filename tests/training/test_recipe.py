"""Every setting is checked, can be set from a text, and survives the file."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings, strategies as st

from telltale.errors import RecipeError
from telltale.training.recipe import Recipe, read_time

LEAST = "A number of at least 0"
SHARE = "A share between 0 and 0.9"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"fit": "full"}, "fit is 'full'. One of 'auto', 'probe', 'finetune', 'scratch'"),
        ({"resize": "stretch"}, "resize is 'stretch'. One of 'crop', 'squash', 'pad'"),
        ({"schedule": "linear"}, "schedule is 'linear'. One of 'cosine', 'constant', 'plateau', 'step'"),
        ({"arithmetic": "f16"}, "arithmetic is 'f16'. One of 'auto', 'f32', 'bf16'"),
        ({"pool": "min"}, "pool is 'min'. One of '', 'avg', 'max'"),
        ({"output": "tanh"}, "output is 'tanh'. One of 'softmax', 'sigmoid'"),
        ({"pixels": "0..1"}, "pixels is '0..1'. One of 'auto', 'raw', 'unit', 'symmetric'"),
        ({"optimizer": "lion"}, "optimizer is 'lion'. One of 'adamw', 'sgd'"),
        ({"balance": "yes"}, "balance is 'yes'. One of 'none', 'weights', 'sampling'"),
        ({"pixels": "raw"}, "pixels is 'raw'. auto with pretrained weights, which were made for one scale"),
        ({"epochs": -1}, f"epochs is -1. {LEAST}"),
        ({"batch_size": -1}, f"batch_size is -1. {LEAST}"),
        ({"accumulate": 0}, "accumulate is 0. A number of at least 1"),
        ({"step_epochs": 0}, "step_epochs is 0. A number of at least 1"),
        ({"patience": -1}, f"patience is -1. {LEAST}"),
        ({"seed": -1}, f"seed is -1. {LEAST}"),
        ({"hidden": -1}, f"hidden is -1. {LEAST}"),
        ({"views": -1}, f"views is -1. {LEAST}"),
        ({"warmup": -0.5}, f"warmup is -0.5. {LEAST}"),
        ({"clip": -1.0}, f"clip is -1.0. {LEAST}"),
        ({"weight_decay": -0.1}, f"weight_decay is -0.1. {LEAST}"),
        ({"weight_decay": float("nan")}, f"weight_decay is nan. {LEAST}"),
        ({"lr": -0.1}, f"lr is -0.1. {LEAST}"),
        ({"lr": float("nan")}, f"lr is nan. {LEAST}"),
        ({"lr": float("inf")}, f"lr is inf. {LEAST}"),
        ({"dropout": 1.0}, "dropout is 1.0. A number from 0 to 0.95"),
        ({"freeze": 1.1}, "freeze is 1.1. A number from 0 to 1"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0. A number from 0.01 to 1"),
        ({"factor": 2.0}, "factor is 2.0. A number from 0.001 to 1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0. A number from 0 to 0.9"),
        ({"ema": 1.0}, "ema is 1.0. A number from 0 to 0.99999"),
        ({"folds": 1}, "folds is 1. 0, or 2 to 100"),
        ({"img_size": 7}, "img_size is 7. 0, or 8 to 4096 pixels"),
        ({"img_size": 5000}, "img_size is 5000. 0, or 8 to 4096 pixels"),
        ({"val_split": 0.0}, f"val_split is 0.0. {SHARE}"),
        ({"test_split": 0.9}, f"test_split is 0.9. {SHARE}"),
        (
            {"val_split": 0.5, "test_split": 0.5},
            "val_split + test_split is 1.0. Less than 0.95: the rest",
        ),
        ({"time": "10"}, "time is '10'. A number with s, m or h, such as 10m"),
        ({"time": "0s"}, "time is '0s'. A number with s, m or h"),
        ({"time": "-5m"}, "time is '-5m'. A number with s, m or h"),
        ({"start_from": "runs/a", "pool": "max"}, "pool is 'max'. Nothing beside start_from: that classifier has"),
        ({"start_from": "runs/a", "weights": "w.pth"}, "weights is 'w.pth'. Nothing beside start_from"),
        ({"start_from": "runs/a", "fit": "scratch"}, "start_from is 'runs/a'. Nothing with fit scratch, which begins"),
    ],
    ids=lambda value: ",".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_be_is_refused(setting, words):
    with pytest.raises(RecipeError) as caught:
        Recipe(**setting)
    assert words in str(caught.value)
    assert "Give another value with --set" in caught.value.do


@pytest.mark.parametrize(
    ("recipe", "how", "epochs", "lr"),
    [
        (Recipe(), "probe", 1, 0.001),
        (Recipe(model="cnn"), "scratch", 30, 0.001),
        (Recipe(model="cnn_growing"), "scratch", 30, 0.001),
        (Recipe(model="resnet50", fit="scratch", epochs=3), "scratch", 3, 0.001),
        (Recipe(model="cnn", fit="probe"), "probe", 1, 0.001),
        (Recipe(fit="finetune"), "finetune", 8, 0.0005),
        (Recipe(start_from="runs/a", lr=0.1), "finetune", 8, 0.1),
        (Recipe(start_from="runs/a", model="cnn"), "finetune", 8, 0.0005),
        (Recipe(start_from="runs/a", fit="probe"), "probe", 1, 0.001),
    ],
)
def test_what_is_left_open_is_resolved(recipe, how, epochs, lr):
    assert recipe.how == how
    found = recipe.resolved
    assert (found.fit, found.epochs, found.lr) == (how, epochs, lr)
    assert found.resolved == found


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2M ", 120), ("m", 0), ("1d", 0), ("1e3s", 0)]
)
def test_times_are_read(text, seconds):
    assert read_time(text) == seconds


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "3", 3),
        ("lr", "1e-2", 0.01),
        ("lr", "1", 1.0),
        ("model", "cnn", "cnn"),
        ("compile", "no", False),
        ("compile", "ON", True),
        ("compile", "0", False),
        ("weights", "", ""),
        ("augment", "flip, rotation=20,", ("flip", "rotation=20")),
        ("augment", "", ()),
        ("time", "10m", "10m"),
    ],
)
def test_settings_are_read_from_texts(name, text, value):
    found = getattr(Recipe().with_settings({name: text}), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("epochs", "three", "epochs is 'three'. A whole number"),
        ("epochs", "1.5", "epochs is '1.5'. A whole number"),
        ("lr", "fast", "lr is 'fast'. A number"),
        ("compile", "maybe", "compile is 'maybe'. yes or no"),
        ("epochs", "-1", f"epochs is -1. {LEAST}"),
        (
            "epoch",
            "3",
            "A recipe has no setting 'epoch'. Did you mean 'epochs'? All settings are in the recipe.toml",
        ),
        ("zzz", "3", "A recipe has no setting 'zzz'. One of model, fit, weights"),
    ],
)
def test_a_text_that_cannot_be_is_refused(name, text, words):
    with pytest.raises(RecipeError) as caught:
        Recipe().with_settings({name: text})
    assert words in str(caught.value)


OTHER = Recipe(
    model="test_vit", fit="scratch", weights="w.pth", img_size=96, resize="pad", seed=3, val_split=0.2, test_split=0.1,
    near_duplicates=False, mirrored_duplicates=True, lookalikes=True, fix_leaks=True, labels_fix="fix.csv",
    arithmetic="f32", precision=0.9, coverage=0.8,
    pool="max", hidden=128, dropout=0.5, output="sigmoid", pixels="symmetric", epochs=7, time="1.5h",
    batch_size=5, accumulate=2, optimizer="sgd", lr=1e-5, layer_decay=0.9, freeze=0.5, fix_norms=False, views=3,
    weight_decay=0.01, schedule="plateau", warmup=1.5, step_epochs=3, factor=0.5, patience=0, label_smoothing=0.1,
    balance="weights", ema=0.999, clip=1.0, augment=("medium", 'rotation="20"', "é"), compile=True,
    keep=0, mirrors=("gs://bucket/x", "/mnt/drive x"), mirror_wait="30s", trackers=("tensorboard",),
)  # fmt: skip
STARTED = Recipe(start_from="runs/a", fit="finetune", folds=3)


def test_every_setting_survives_the_file(tmp_path):
    default = Recipe()
    for one in fields(Recipe):
        values = {getattr(recipe, one.name) for recipe in (default, OTHER, STARTED)}
        assert len(values) > 1, f"give {one.name} another value"
    for recipe in (default, OTHER, STARTED):
        assert Recipe.load(recipe.save(tmp_path / "recipe.toml")) == recipe
    text = OTHER.save(tmp_path / "recipe.toml").read_text()
    assert text.splitlines()[0] == 'model = "test_vit"'
    assert len(text.splitlines()) == len(fields(Recipe))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_name_survives_the_file(tmp_path_factory, name):
    recipe = replace(OTHER, weights=name)
    path = recipe.save(tmp_path_factory.getbasetemp() / "odd.toml")
    assert Recipe.load(path) == recipe


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "C:\\new", "a\nb", "tab\there", "é 猫 \U0001f408", "'", "\x00\x1f\x7f", '"""']
)
def test_odd_paths_survive_the_file(tmp_path, name):
    recipe = replace(OTHER, weights=name)
    assert Recipe.load(recipe.save(tmp_path / "recipe.toml")) == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", "A recipe has no setting 'epoch'. Did you mean 'epochs'?"),
        ('epochs = "3"', "epochs is '3'. A value of type int"),
        ("epochs = true", "epochs is True. A value of type int"),
        ("lr = true", "lr is True. A value of type float"),
        ("compile = 1", "compile is 1. A value of type bool"),
        ("model = 3", "model is 3. A value of type str"),
        ("epochs = -1", f"epochs is -1. {LEAST}"),
        ('augment = "flip"', "augment is 'flip'. A list of texts"),
        ("augment = [1]", "augment is [1]. A list of texts"),
        ("epochs = = 0", "cannot be read"),
        ("[train]\nepochs = 3", "A recipe has no setting 'train'"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path, text, words):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        Recipe.load(tmp_path / "recipe.toml")
    assert words in str(caught.value)


def test_what_a_named_recipe_says_about_itself_is_no_setting(tmp_path):
    (tmp_path / "recipe.toml").write_text('epochs = 3\n[about]\ntitle = "three"\n')
    assert Recipe.load(tmp_path / "recipe.toml") == Recipe(epochs=3)


def test_a_whole_number_will_do_for_a_rate(tmp_path):
    (tmp_path / "recipe.toml").write_text("lr = 1")
    assert Recipe.load(tmp_path / "recipe.toml").lr == 1


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"PK\x03\x04"], ids=["absent", "bytes", "zip"])
def test_no_recipe_is_explained(tmp_path, content):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"The recipe '.*recipe.toml' cannot be read \(.+\)\. A TOML file such as"):
        Recipe.load(path)


def test_a_limit_of_time_is_for_one_training():
    with pytest.raises(RecipeError, match=r"time is '10m'\. No limit of time in a cross-validation"):
        Recipe(time="10m", folds=3)


def test_the_first_name_of_arithmetic_is_read(tmp_path):
    (tmp_path / "recipe.toml").write_text('precision = "bf16"\nepochs = 3\n')
    assert Recipe.load(tmp_path / "recipe.toml") == Recipe(arithmetic="bf16", epochs=3)
