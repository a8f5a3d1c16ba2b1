"""Every setting is checked, can be set from a text, and survives the file."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings, strategies as st

from telltale.errors import RecipeError
from telltale.training.recipe import Recipe

WHOLE = "A whole number of at least 1"
LEAST = "A number of at least 0"
SHARE = "A share between 0 and 0.9"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"fit": "finetune"}, "fit is 'finetune'. One of auto, probe, scratch"),
        ({"resize": "stretch"}, "resize is 'stretch'. One of crop, squash, pad"),
        ({"schedule": "step"}, "schedule is 'step'. One of cosine, constant, plateau"),
        ({"precision": "f16"}, "precision is 'f16'. One of auto, f32, bf16"),
        ({"epochs": 0}, f"epochs is 0. {WHOLE}"),
        ({"batch_size": 0}, f"batch_size is 0. {WHOLE}"),
        ({"patience": -1}, f"patience is -1. {LEAST}"),
        ({"seed": -1}, f"seed is -1. {LEAST}"),
        ({"weight_decay": -0.1}, f"weight_decay is -0.1. {LEAST}"),
        ({"weight_decay": float("nan")}, f"weight_decay is nan. {LEAST}"),
        ({"img_size": 7}, "img_size is 7. 0, or 8 to 4096 pixels"),
        ({"img_size": 5000}, "img_size is 5000. 0, or 8 to 4096 pixels"),
        ({"lr": 0.0}, "lr is 0.0. A number above 0"),
        ({"lr": float("nan")}, "lr is nan. A number above 0"),
        ({"lr": float("inf")}, "lr is inf. A number above 0"),
        ({"val_split": 0.0}, f"val_split is 0.0. {SHARE}"),
        ({"test_split": 0.9}, f"test_split is 0.9. {SHARE}"),
        (
            {"val_split": 0.5, "test_split": 0.5},
            "val_split + test_split is 1.0. Less than 0.95: the rest",
        ),
    ],
    ids=lambda value: ",".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_be_is_refused(setting, words):
    with pytest.raises(RecipeError) as caught:
        Recipe(**setting)
    assert words in str(caught.value)
    assert "Give another value with --set" in caught.value.do


@pytest.mark.parametrize(
    ("recipe", "how"),
    [
        (Recipe(), "probe"),
        (Recipe(model="cnn"), "scratch"),
        (Recipe(model="resnet50", fit="scratch"), "scratch"),
        (Recipe(model="cnn", fit="probe"), "probe"),
    ],
)
def test_auto_means_scratch_for_the_plain_network_only(recipe, how):
    assert recipe.how == how


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "3", 3),
        ("lr", "1e-2", 0.01),
        ("lr", "1", 1.0),
        ("model", "cnn", "cnn"),
        ("flip", "no", False),
        ("flip", "ON", True),
        ("flip", "0", False),
        ("weights", "", ""),
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
        ("flip", "maybe", "flip is 'maybe'. yes or no"),
        ("epochs", "0", f"epochs is 0. {WHOLE}"),
        ("epoch", "3", "A recipe has no setting 'epoch'. Did you mean 'epochs'? See `telltale train --help`"),
        ("zzz", "3", "A recipe has no setting 'zzz'. One of model, fit, weights"),
    ],
)
def test_a_text_that_cannot_be_is_refused(name, text, words):
    with pytest.raises(RecipeError) as caught:
        Recipe().with_settings({name: text})
    assert words in str(caught.value)


OTHER = Recipe(
    model="test_vit", fit="probe", weights="w.pth", img_size=96, resize="pad", seed=3, val_split=0.2, test_split=0.1,
    precision="f32", epochs=7, batch_size=5, lr=1e-5, weight_decay=0.01, schedule="plateau", patience=0, flip=False,
    near_duplicates=False, mirrored_duplicates=True, lookalikes=True, fix_leaks=True, folds=3,
    labels_fix="fix.csv",
)  # fmt: skip


def test_every_setting_survives_the_file(tmp_path):
    default = Recipe()
    assert all(getattr(OTHER, one.name) != getattr(default, one.name) for one in fields(Recipe)), "OTHER must differ"
    for recipe in (default, OTHER):
        assert Recipe.load(recipe.save(tmp_path / "recipe.toml")) == recipe
    text = (tmp_path / "recipe.toml").read_text()
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
        ("flip = 1", "flip is 1. A value of type bool"),
        ("model = 3", "model is 3. A value of type str"),
        ("epochs = 0", f"epochs is 0. {WHOLE}"),
        ("epochs = = 0", "cannot be read"),
        ("[train]\nepochs = 3", "A recipe has no setting 'train'"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path, text, words):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        Recipe.load(tmp_path / "recipe.toml")
    assert words in str(caught.value)


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
