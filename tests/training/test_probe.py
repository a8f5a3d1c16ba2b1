"""The probe keeps bf16 only where it answers like f32, and says what it tried."""

from dataclasses import replace

import pytest

from telltale.model.engine import has_bf16
from telltale.model.features import features
from telltale.progress import Note, silent
from telltale.training import probe as module
from telltale.training.probe import fit_probe
from telltale.training.views import Views


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_given_precision_is_used_without_a_gate(splits, extractor, precision):
    if precision == "bf16" and not has_bf16():
        pytest.skip("needs a processor with bf16")
    found = fit_probe(splits, replace(extractor, precision=precision), tell=silent)
    assert found.extractor.arithmetic == precision
    assert "precision_gate" not in found.facts
    assert str(found.facts["penalty"]) in found.facts["tried"]
    assert found.losses["val_loss"] == pytest.approx(min(found.facts["tried"].values()), abs=1e-6)
    right = found.head.probabilities(features(splits.test, found.extractor)).argmax(1) == splits.test.codes
    assert right.mean() > 0.7, "colours are easy"


def test_auto_compares_both(splits, extractor, monkeypatch):
    if not has_bf16():
        pytest.skip("needs a processor with bf16")
    monkeypatch.setattr(module, "GATE_LEAST", 1)
    found = fit_probe(splits, replace(extractor, precision="auto"), tell=silent)
    gate = found.facts["precision_gate"]
    assert gate["passed"]
    assert gate["pictures"] == len(splits.validation)
    assert gate["mean_difference"] <= module.GATE_DIFFERENCE
    assert abs(gate["right_bf16"] - gate["right_f32"]) <= 1
    assert found.extractor.arithmetic == "bf16"


def test_where_bf16_answers_otherwise_f32_is_used(splits, extractor, monkeypatch):
    if not has_bf16():
        pytest.skip("needs a processor with bf16")
    monkeypatch.setattr(module, "GATE_DIFFERENCE", 0.0)
    monkeypatch.setattr(module, "GATE_LEAST", 1)
    told = []
    found = fit_probe(splits, replace(extractor, precision="auto"), tell=told.append)
    assert not found.facts["precision_gate"]["passed"]
    assert found.extractor.precision == "f32"
    notes = [one for one in told if isinstance(one, Note)]
    assert len(notes) == 1
    assert notes[0].warning
    assert notes[0].text.startswith("bf16 gives other answers than f32 on")
    exact = fit_probe(splits, extractor, tell=silent)
    assert (found.head.weight == exact.head.weight).all()


def test_auto_without_bf16_is_f32(splits, extractor):
    plain = replace(extractor, backbone=replace(extractor.backbone, converted=False), precision="auto")
    assert plain.arithmetic == "f32"
    assert "precision_gate" not in fit_probe(splits, plain, tell=silent).facts


def test_few_validation_pictures_mean_f32(splits, extractor):
    assert len(splits.validation) < module.GATE_LEAST
    found = fit_probe(splits, replace(extractor, precision="auto"), tell=silent)
    assert found.extractor.arithmetic == "f32"
    assert "precision_gate" not in found.facts


@pytest.mark.parametrize(
    ("terms", "helpful"), [(("brightness=0.2@1", "noise=10"), True), (("hue=180@1",), False)], ids=["light", "colours"]
)
def test_with_copies_the_better_of_both_heads_is_kept(splits, extractor, terms, helpful):
    """Where colours are the classes, copies in other colours do not help."""
    plain, told = fit_probe(splits, extractor, tell=silent), []
    found = fit_probe(splits, extractor, views=Views(terms, 2), tell=told.append)
    facts = found.facts["views"]
    loss, other = facts["val_loss_with"], facts["val_loss_without"]
    assert other == plain.losses["val_loss"]
    assert facts["used"] == (loss < other) == helpful
    assert found.losses["val_loss"] == min(loss, other)
    assert (found.head.weight == plain.head.weight).all() == (not helpful)
    words = "they are used" if helpful else "they are not used"
    (note,) = [one.text for one in told if isinstance(one, Note)]
    assert note == f"2 augmented copies: validation loss {loss:.4f}, without {other:.4f}; {words}."


@pytest.mark.parametrize("views", [None, Views(("flip",), 0), Views((), 3), Views(("none",), 3)])
def test_without_copies_that_differ_there_is_nothing_to_compare(splits, extractor, views):
    assert "views" not in fit_probe(splits, extractor, views=views, tell=silent).facts
