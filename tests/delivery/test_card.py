"""The model card: a hub reads its header, people its words, and names from outside become neither YAML nor markup."""

import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard
from tests.delivery.report_example import full, judged

from telltale.delivery.card import write_card
from telltale.errors import BundleError
from telltale.evaluation.metrics import Interval
from telltale.model.bundle import change_card, load, save

EVIL = ("<script>alert(1)</script>", "a: b\n- c # | `x` ![y](http://z)", 'quote" \\ \N{CAT FACE}\u2028')


@pytest.fixture
def bundle(classifier, tmp_path):
    return save(classifier, tmp_path / "pets.telltale", card="# before\n")


def test_a_hub_reads_the_metrics(classifier):
    card = ModelCard(write_card(classifier, judged()))
    assert card.data.to_dict()["library_name"] == "telltale"
    assert card.data.pipeline_tag == "image-classification"
    results = {one.metric_type: one for one in card.data.eval_results}
    assert results["accuracy"].metric_value == 0.92
    assert results["accuracy"].metric_name == "accuracy (95 % interval 0.880 to 0.948)"
    assert results["expected_calibration_error"].metric_value == 0.012
    assert {one.dataset_name for one in results.values()} == {"drawn"}
    assert {"f1", "log_loss", "balanced_accuracy"} <= set(results)


@pytest.mark.parametrize(
    "words",
    [
        "It is mostly right on pictures like these",
        "## What it is for",
        "| accuracy | 0.920 | 0.880 to 0.948 |",
        "| border: the outermost tenth | 0.600 | 0.540 to 0.660 |",
        "| cats | 125 | 0.920 | 0.859 to 0.956 | 0.920 | 0.859 to 0.956 |",
        "* Calibration error (ECE): 0.012 (0.006 to 0.025); 0.040 before calibration (temperature 1.30).",
        "* It answers where its highest probability is at least 0.800",
        "* It answers 88.0 % of the pictures (83.0 to 92.0 %) and has 96.0 % of those right (93.0 to 98.0 %).",
        "* Its prediction sets hold the right class for 96.0 %",
        "* Where does it fail? Most often on 'cats'.",
        "test\\_efficientnet, ",
    ],
)
def test_the_card_says(classifier, words):
    assert words in write_card(classifier, judged())


def test_what_was_not_measured_is_left_out(classifier):
    card = write_card(classifier, full())
    assert "ECE" not in card and "prediction sets" not in card
    assert "Nothing: it names one of its classes whatever it is shown." in card


def test_names_become_neither_yaml_nor_markup(classifier):
    card = write_card(classifier, judged(EVIL, title=EVIL[1]))
    _, header, body = card.split("---\n", 2)
    assert list(yaml.safe_load(header)) == ["library_name", "pipeline_tag", "tags", "metrics", "model-index"]
    assert "http" not in re.sub(r"\\[\[\]!]", "", header) or "\n- c" not in header
    assert "<script" not in re.sub(r"\\<", "", body)
    assert "![" not in body.replace("\\!", "").replace("\\[", "")
    rows = [line for line in body.splitlines() if line.startswith("| ") and "script" in line and "called" not in line]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (4, 7) for row in rows)


def test_the_first_use_of_the_card_runs(bundle, pictures, classifier):
    card = write_card(classifier, judged())
    program = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    picture = next(pictures.rglob("*.png"))
    exec(program.replace("THIS_FOLDER", str(bundle)).replace("photo.jpg", str(picture)), {})


def test_a_changed_card_leaves_the_rest_as_it_was(bundle):
    before = {path.name: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    change_card(bundle, "# after\n")
    after = {path.name: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert after.pop("README.md") == b"# after\n"
    assert {name for name in after if after[name] != before[name]} == {"manifest.json"}
    assert load(bundle).classes == ("blue", "green", "red", "yellow")
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_copy_of_the_bundle_keeps_its_card(bundle, tmp_path):
    import shutil

    shutil.copytree(bundle, tmp_path / "copy.telltale")
    change_card(bundle, "# after\n")
    assert (tmp_path / "copy.telltale" / "README.md").read_text() == "# before\n"
    load(tmp_path / "copy.telltale")


def test_a_damaged_bundle_is_not_sealed_anew(bundle):
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="is missing or damaged"):
        change_card(bundle, "# after\n")
    assert (bundle / "README.md").read_text() == "# before\n"


def test_where_nothing_can_be_linked_it_is_copied(bundle, monkeypatch):
    import os

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    change_card(bundle, "# after\n")
    assert (bundle / "README.md").read_text() == "# after\n"
    load(bundle)


def with_selective(**changes):
    content = judged()
    test = replace(content.evaluation, selective=replace(content.evaluation.selective, **changes))
    return replace(content, evaluations={"test": test})


def test_where_the_temperature_was_set_is_said_where_it_is_known(classifier):
    assert "temperature 1.30, set on 90 validation pictures)" in write_card(
        classifier, judged(calibrated_on="90 validation pictures")
    )
    assert "set on" not in write_card(classifier, judged())


def test_a_rule_that_was_not_tested_is_there_all_the_same(classifier):
    card = write_card(classifier, full(rule=judged().rule))
    assert "How many pictures it refuses was not tested." in card and "Nothing: it names" not in card


def test_a_classifier_that_always_answers_was_asked_to(classifier):
    content = with_selective(precision=0.0)
    card = write_card(classifier, replace(content, rule=replace(content.rule, precision=0.0, assured=False)))
    assert "* It was asked to answer always." in card
    assert "assured" not in card and " 0.0 % right" not in card


def test_nothing_answered_has_no_share_that_is_right(classifier):
    nothing = Interval(0.0, 0.0, 1.0)
    card = write_card(classifier, with_selective(accepted=0, unsure=250, unlike=0, accuracy=nothing))
    assert "* It answers none of the pictures." in card and "0.0 to 100.0 %" not in card
