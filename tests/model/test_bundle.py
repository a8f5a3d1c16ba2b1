"""A bundle gives the same answers wherever it is read, and nothing in it can be changed unseen."""

import json
import pickletools
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from telltale.errors import BundleError, OutputError
from telltale.files import format_manifest, write_manifest
from telltale.model.bundle import TOLERANCE, Golden, find_bundle, golden_difference, load, save
from telltale.model.classifier import Classifier, classify
from telltale.model.familiarity import fit_familiarity
from telltale.model.head import Head
from telltale.model.rejection import RejectRule

SIDE = 64


@pytest.fixture(scope="module")
def squares() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def bundle(tmp_path, classifier, squares) -> Path:
    golden = Golden(squares, classifier.extractor.engine.run(squares))
    return save(classifier, tmp_path / "pets.telltale", golden=golden, card="# Pets\n")


def probabilities(classifier: Classifier) -> np.ndarray:
    """Answers for pictures of several sizes."""
    rng = np.random.default_rng(3)
    return classify(classifier, [rng.integers(0, 256, (40 + 9 * n, 90 - 7 * n, 3), dtype=np.uint8) for n in range(5)])


def test_what_is_saved_is_loaded(bundle, classifier):
    found = load(bundle)
    assert found.classes == classifier.classes
    assert found.facts == classifier.facts
    assert found.extractor == classifier.extractor
    assert str(found) == "test_efficientnet at 64 x 64, 4 classes: blue, green, red, yellow"
    np.testing.assert_array_equal(probabilities(found), probabilities(classifier))
    assert classify(found, []).shape == (0, 4)


def test_temperature_and_precision_are_kept(tmp_path, classifier):
    head = Head(classifier.head.weight, classifier.head.bias, 1.7)
    fast = replace(classifier, head=head, extractor=replace(classifier.extractor, precision="bf16"))
    found = load(save(fast, tmp_path / "a.telltale"))
    assert found.head.temperature == 1.7
    assert found.extractor.precision == "auto", "another machine may have no bf16"
    assert load(save(classifier, tmp_path / "b.telltale")).extractor.precision == "f32"


def test_it_is_found_in_its_run_folder(bundle, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(bundle, run / "model.telltale")
    assert find_bundle(run) == run / "model.telltale"
    assert find_bundle(str(bundle)) == bundle


def test_it_holds_the_files_it_should_and_no_pickle(bundle):
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert names == {
        "README.md", "classifier.json", "manifest.json", "model.safetensors",
        "golden/0.png", "golden/1.png", "golden/2.png", "golden/golden.json",
    }  # fmt: skip
    assert (bundle / "README.md").read_text() == "# Pets\n"
    for name in names:
        with pytest.raises((ValueError, IndexError, UnicodeDecodeError)):
            list(pickletools.genops((bundle / name).read_bytes()))


FILES = ("README.md", "classifier.json", "model.safetensors", "golden/1.png", "golden/golden.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_byte_is_refused_by_name(bundle, name, where):
    path = bundle / name
    data = bytearray(path.read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[where]] ^= 1
    path.write_bytes(data)
    words = rf"'.*{name}' is missing or damaged: it does not match the manifest\. \d+ bytes with SHA-256"
    with pytest.raises(BundleError, match=words):
        load(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_cut_file_is_refused(bundle, name):
    path = bundle / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=name if name == "classifier.json" else rf"{name}' is missing or damaged"):
        load(bundle)
    path.unlink()
    with pytest.raises(BundleError):
        load(bundle)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"kind": "manifest"', b"\xff\xfe"], ids=repr)
def test_a_broken_manifest_is_refused(bundle, content):
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest.json' (cannot be read|is not a manifest file)"):
        load(bundle)


def test_a_save_that_was_interrupted_is_refused(bundle):
    (bundle / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"has no manifest.json\. A complete folder: the manifest is written last"):
        load(bundle)


def test_a_file_added_later_is_not_read(bundle, classifier):
    (bundle / "golden" / "9.png").write_bytes(b"x")
    np.testing.assert_array_equal(probabilities(load(bundle)), probabilities(classifier))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, r"'.*here' does not exist\. A run folder such as runs/NAME, or a bundle NAME.telltale"),
        (lambda path: path.mkdir(), r"'.*here' holds no trained classifier\. .* telltale train DATA"),
        (lambda path: path.write_text("x"), r"'.*here' holds no trained classifier"),
    ],
    ids=["absent", "empty folder", "file"],
)
def test_another_place_is_explained(tmp_path, make, words):
    make(tmp_path / "here")
    with pytest.raises(BundleError, match=words):
        load(tmp_path / "here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 3}, r"classifier.json' has format version 3\. Version 2 or older\. Update Telltale"),
        ({"format_version": "1"}, r"has format version '1'"),
        ({"kind": "dog"}, r"classifier.json' is not a classifier file"),
    ],
    ids=["newer", "no number", "kind"],
)
def test_another_format_is_refused(bundle, change, words):
    path = bundle / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    write_manifest(bundle)
    with pytest.raises(BundleError, match=words):
        load(bundle)


@pytest.mark.parametrize("lacking", ["classes", "backbone", "preprocess", "temperature"])
def test_a_whole_bundle_that_lacks_something_is_refused(bundle, lacking):
    path = bundle / "classifier.json"
    content = json.loads(path.read_text())
    del content[lacking]
    path.write_text(json.dumps(content))
    write_manifest(bundle)
    with pytest.raises(BundleError, match=r"classifier.json' lacks something or says what cannot be \(.+\)"):
        load(bundle)


def test_a_name_in_the_manifest_cannot_lead_outside(bundle, tmp_path):
    (tmp_path / "outside").write_text("x")
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    content["files"]["../outside"] = {"size": 1, "sha256": "0" * 64}
    path.write_bytes(format_manifest(content["files"]))
    with pytest.raises(BundleError, match=r"does not list files with their sizes and hashes"):
        load(bundle)


def test_saving_again_replaces_the_bundle(bundle, classifier):
    (bundle / "note.txt").write_text("of the old one")
    other = replace(classifier, classes=("a", "b", "c", "d"))
    assert save(other, bundle) == bundle
    assert load(bundle).classes == ("a", "b", "c", "d")
    assert not (bundle / "note.txt").exists()
    assert golden_difference(load(bundle), bundle) == 0
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name], "nothing temporary is left over"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_nothing_else_is_ever_replaced(tmp_path, classifier, kind):
    path = tmp_path / "photos"
    if kind == "folder":
        path.mkdir()
        (path / "precious.txt").write_text("x")
    else:
        path.write_text("x")
    with pytest.raises(OutputError, match=r"'.*photos' exists and is not a bundle\. A free name"):
        save(classifier, path)
    assert [one.name for one in tmp_path.iterdir()] == ["photos"]
    assert (path / "precious.txt" if kind == "folder" else path).read_text() == "x"


def test_a_save_that_fails_leaves_the_old_bundle(bundle, classifier):
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    broken = replace(classifier, facts={"cannot": object()})
    with pytest.raises(TypeError):
        save(broken, bundle)
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_golden_pictures_get_their_probabilities(bundle, classifier):
    assert golden_difference(load(bundle), bundle) < 1e-6
    head = Head(classifier.head.weight[::-1].copy(), classifier.head.bias)
    assert golden_difference(replace(classifier, head=head), bundle) > TOLERANCE


def test_other_answers_on_another_machine_are_refused(classifier, tmp_path, monkeypatch):
    size = classifier.extractor.preprocess.size
    pictures = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    wrong = (
        -1000
        * classifier.head.weight[classifier.head.probabilities(classifier.extractor.engine.run(pictures)).argmax(1)]
    )
    bundle = save(classifier, tmp_path / "odd.telltale", golden=Golden(pictures, wrong))
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BundleError, match="gives other answers on this machine than where it was made"):
        load(bundle)


def test_it_is_loaded_and_run_without_torch(bundle):
    program = (
        "import sys, numpy as np; from telltale.model.bundle import golden_difference, load\n"
        f"found = load({str(bundle)!r})\n"
        f"assert golden_difference(found, {str(bundle)!r}) < 1e-3\n"
        "print({'torch', 'timm', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_on_another_machine_it_is_converted_once(bundle, classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    moved = shutil.copytree(bundle, tmp_path / "moved.telltale")
    found = load(moved)
    assert found.extractor.backbone.folder.is_relative_to(tmp_path / "cache")
    np.testing.assert_array_equal(probabilities(found), probabilities(classifier))
    assert golden_difference(found, moved) < 1e-6


def test_the_rule_and_the_familiarity_come_back(classifier, tmp_path):
    rng = np.random.default_rng(0)
    known = rng.normal(size=(60, classifier.extractor.backbone.dimension)).astype(np.float32)
    familiarity = fit_familiarity(known, np.arange(60, dtype=np.int32) % 4, classes=4)
    rule = RejectRule(0.99, 0.8, np.inf, 0.9, 0.3, 60, False)
    loaded = load(save(replace(classifier, familiarity=familiarity, rule=rule), tmp_path / "a.telltale"))
    assert loaded.rule == rule
    assert np.array_equal(loaded.familiarity.score(known), familiarity.score(known))
    plain = load(save(classifier, tmp_path / "b.telltale"))
    assert (plain.rule, plain.familiarity) == (None, None)


def test_a_bundle_of_version_1_has_no_rule(bundle):
    path = bundle / "classifier.json"
    content = json.loads(path.read_text()) | {"format_version": 1}
    del content["rule"]
    path.write_text(json.dumps(content))
    write_manifest(bundle)
    assert load(bundle).rule is None


@pytest.mark.parametrize("rule", [{"precision": 0.9}, [], "all", {"threshold": "high"}], ids=str)
def test_a_rule_that_cannot_be_is_refused(bundle, rule):
    path = bundle / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rule": rule}))
    write_manifest(bundle)
    with pytest.raises(BundleError, match=r"classifier.json' lacks something or says what cannot be"):
        load(bundle)
