"""Runs are compared on the test pictures that all have answered and none knows, and the page says what came of it."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pyarrow as pa
import pytest

from telltale.data.index import Index, scan
from telltale.data.manifest import FILE as TRAINING, Manifest
from telltale.data.splits import Splits
from telltale.delivery.answers import read_answers
from telltale.delivery.comparison_page import MOST_SHOWN, choose_shown, save_comparison
from telltale.delivery.gallery import show
from telltale.delivery.pipeline import train
from telltale.delivery.run_comparison import LOOKED, ComparedRun, RunComparison, compare_runs
from telltale.errors import BundleError, DataError, RecipeError
from telltale.evaluation.comparison import Answered, compare_all
from telltale.evaluation.evaluation import Evaluation, score
from telltale.evaluation.metrics import Interval
from telltale.progress import Note
from telltale.training.ledger import read_looks
from telltale.training.recipe import Recipe
from telltale.training.run import open_run

matplotlib.use("Agg")

NETWORK, SIDE = "test_efficientnet", 64
PROBE = Recipe(model=NETWORK, img_size=SIDE, val_split=0.2, test_split=0.3)


@pytest.fixture(scope="module")
def places(tmp_path_factory, weights, backbone):
    """Run folders: first; renamed, trained on the same pictures under other names; and other, with another seed."""
    from tests.conftest import draw_pictures

    root = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELLTALE_WEIGHTS", str(weights))
        pets = draw_pictures(root / "pets")
        train(pets, PROBE, output=root / "first")
        shutil.copytree(pets, root / "copy")
        for path in (root / "copy").glob("*/*.png"):
            path.rename(path.with_name(f"renamed {path.name}"))
        train(root / "copy", PROBE, output=root / "renamed")
        train(pets, replace(PROBE, seed=1), output=root / "other")
    return root


@pytest.fixture
def runs(tmp_path, places):
    """The same folders, to be changed."""
    for name in ("first", "renamed", "other"):
        shutil.copytree(places / name, tmp_path / name)
    return tmp_path


def answer(run, change, labels=None):
    """Let this run have given other answers: `change` makes its probabilities, `labels` its class numbers."""
    found = read_answers(run)
    codes = np.array([found.classes.index(name) for name in found.labels], np.int32)
    evaluation = score(codes, change(found.probabilities.copy(), codes), found.classes, paths=found.index.paths)
    evaluation = replace(evaluation, labels=codes if labels is None else labels(codes))
    evaluation.save_predictions(run / "test_predictions.parquet")


def blunder(rows):
    """Sure and wrong answers for these rows, sure and right ones for all others."""

    def change(probabilities, codes):
        said = codes.copy()
        said[rows] = (codes[rows] + 1) % probabilities.shape[1]
        return (0.96 * np.eye(probabilities.shape[1])[said] + 0.01).astype(np.float32)

    return change


def test_pictures_are_the_same_by_their_pixels_whatever_their_names(runs):
    told = []
    answer(runs / "first", blunder([0, 1, 2]))
    answer(runs / "renamed", blunder([2]))
    found = compare_runs([runs / "first", runs / "renamed"], tell=told.append)
    pair = found.comparison.pairs[0]
    tested = len(read_answers(runs / "first").index)
    assert found.pictures == tested >= 10
    assert (pair.only_first, pair.only_second, pair.neither) == (0, 2, 1)
    assert pair.names == ("first", "renamed")
    assert found.notes == ()
    assert [one.text for one in told] == [
        LOOKED,
        "Test pictures were scored so often until now: first 2, renamed 2 times.",
    ]
    assert told[0].warning
    assert found.best.name == "renamed"
    paths = read_answers(runs / "first").index.paths
    assert {one.path for one in pair.differing} == set(paths[:2])


def test_each_run_has_its_figures_on_the_pictures_that_are_compared(runs):
    answer(runs / "first", blunder([0, 1, 2]))
    found = compare_runs([runs / "first", runs / "renamed"])
    one = found.runs[0]
    assert [axes.get_title() for axes in show(found).axes] == ["Accuracy", "Difference of accuracy"]
    assert one.metrics["accuracy"].value == pytest.approx(1 - 3 / found.pictures)
    assert (one.network, one.fit) == (f"{NETWORK} at {SIDE}", "probe")
    assert one.ece == Evaluation.load(runs / "first" / "evaluation.json").calibration.ece_after
    assert 0.3 < one.megabytes < 2
    assert one.tested == found.pictures


def test_every_run_gets_a_look_in_its_ledger(runs):
    before = len(read_looks(open_run(runs / "first")))
    found = compare_runs([runs / "first", runs / "renamed"])
    for name in ("first", "renamed"):
        looks = read_looks(open_run(runs / name))
        assert len(looks) == before + 1
        assert looks[-1].by == f"telltale compare {runs / 'first'} {runs / 'renamed'}"
        assert looks[-1].pictures == found.pictures
    assert [one.looks for one in found.runs] == [before + 1] * 2


def test_only_pictures_that_both_were_tested_on_count_and_the_rest_is_explained(runs):
    told = []
    first, other = read_answers(runs / "first"), read_answers(runs / "other")
    common = set(first.pixels) & set(other.pixels)
    assert common  # else this seed says nothing
    found = compare_runs([runs / "first", runs / "other"], tell=told.append)
    assert found.pictures == len(common)
    alone, total = len(set(first.pixels) - common), len(first.pixels)
    assert found.notes[0] == (
        f"{alone} of the {total} test pictures of first are left out: other was not tested on them, but used them in "
        "training."
    )
    counts = "Test pictures were scored so often until now: first 2, other 2 times."
    assert [one.text for one in told if isinstance(one, Note)] == [*found.notes, LOOKED, counts]


def test_a_picture_that_a_run_knows_is_left_out_for_all(runs):
    tested = read_answers(runs / "renamed")
    bundle = runs / "renamed" / "model.telltale" / TRAINING
    manifest = Manifest.load(bundle)
    known = (
        tested.index.table.slice(0, 1).select(["pixels", "fingerprint"]).append_column("part", pa.array([0], pa.int8()))
    )
    Manifest(pa.concat_tables([manifest.table, known.cast(manifest.table.schema)]), manifest.radius).save(bundle)
    found = compare_runs([runs / "first", runs / "renamed"])
    assert found.pictures == len(tested.index) - 1
    assert found.notes == (
        "1 common picture is left out: renamed knows the same, or one that looks the same, from its training.",
    )


def test_a_picture_with_two_labels_is_left_out(runs):
    def change(codes):
        codes = codes.copy()
        codes[0] = (codes[0] + 1) % 4
        return codes

    answer(runs / "renamed", blunder([]), labels=change)
    found = compare_runs([runs / "first", runs / "renamed"])
    assert found.pictures == len(read_answers(runs / "first").index) - 1
    assert found.notes == ("1 common picture is left out: the runs give different labels.",)


def test_classes_are_joined_by_name(runs):
    found = read_answers(runs / "renamed")
    codes = np.array([found.classes.index(name) for name in found.labels], np.int32)
    mixed = ("a new one", *found.classes[::-1])
    wide = np.concatenate([np.full((len(codes), 1), 0.01), found.probabilities[:, ::-1]], axis=1)
    score(len(found.classes) - codes, wide, mixed, paths=found.index.paths).save_predictions(
        runs / "renamed" / "test_predictions.parquet"
    )
    compared = compare_runs([runs / "first", runs / "renamed"])
    assert compared.comparison.pairs[0].differing == ()
    assert compared.pictures == len(codes)


def test_groups_count_as_wholes(runs):
    index = Index.load(runs / "first" / "index.arrow")
    at = index.table.schema.get_field_index("group")
    groups = pa.array([f"g{row // 10}" for row in range(len(index))])
    replace(index, table=index.table.set_column(at, "group", groups)).save(runs / "first" / "index.arrow")
    pair = compare_runs([runs / "first", runs / "renamed"]).comparison.pairs[0]
    assert pair.clusters == 4


def test_a_cross_validation_is_compared_on_what_each_fold_had_not_seen(runs, weights, monkeypatch, places):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    train(places / "pets", replace(PROBE, folds=2), output=runs / "folds")
    found = compare_runs([runs / "first", runs / "folds"])
    assert found.pictures == len(read_answers(runs / "first").index)
    assert found.runs[1].tested == 40
    assert "28 of the 40 test pictures of folds are left out: first was not tested on them" in found.notes[0]


def test_runs_of_different_pictures_cannot_be_compared(runs, unseen, weights, monkeypatch):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    train(unseen, PROBE, output=runs / "unlike")
    before = read_looks(open_run(runs / "first"))
    with pytest.raises(DataError, match="first and unlike have no test pictures in common") as caught:
        compare_runs([runs / "first", runs / "unlike"])
    assert "with the same data, --seed, --val-split and --test-split" in caught.value.do
    assert read_looks(open_run(runs / "first")) == before


@pytest.mark.parametrize("names", [["first"], ["first", "first"], ["first", "renamed", "first"]])
def test_there_must_be_two_different_runs(runs, names):
    with pytest.raises(RecipeError, match="there is nothing to compare"):
        compare_runs([runs / name for name in names])


def test_a_run_that_is_not_finished_is_refused(runs):
    (runs / "renamed" / "test_predictions.parquet").unlink()
    with pytest.raises(BundleError, match=r"has no test_predictions\.parquet"):
        compare_runs([runs / "first", runs / "renamed"])
    shutil.rmtree(runs / "renamed" / "model.telltale")
    with pytest.raises(BundleError, match=r"is not finished|holds no trained classifier"):
        compare_runs([runs / "first", runs / "renamed"])


def test_damaged_or_foreign_answers_are_refused(runs):
    content = (runs / "renamed" / "test_predictions.parquet").read_bytes()
    (runs / "renamed" / "test_predictions.parquet").write_bytes(content[:-50])
    with pytest.raises(BundleError, match=r"The answers in .* cannot be used \(ArrowInvalid"):
        compare_runs([runs / "first", runs / "renamed"])
    shutil.copy(runs / "first" / "test_predictions.parquet", runs / "renamed")
    with pytest.raises(BundleError, match=r"it names pictures that are not in index\.arrow"):
        compare_runs([runs / "first", runs / "renamed"])


def test_a_bundle_without_a_list_of_its_pictures_is_known_by_its_split(runs):
    (runs / "renamed" / "model.telltale" / TRAINING).unlink()
    index = Index.load(runs / "renamed" / "index.arrow")
    parts = Splits.load(runs / "renamed" / "splits.arrow", index).parts
    assert len(read_answers(runs / "renamed").used) == int((parts < 2).sum()) - int((parts < 0).sum())


def test_runs_of_one_name_are_told_apart_by_their_places(runs):
    shutil.copytree(runs / "renamed", runs / "elsewhere" / "first")
    found = compare_runs([runs / "first", runs / "elsewhere" / "first"])
    assert [one.name for one in found.runs] == [str(runs / "first"), str(runs / "elsewhere" / "first")]


VOID = {"meta", "br", "img", "rect", "line"}


class Page(HTMLParser):
    """Tags, addresses and text of a page; fails where a tag is not closed or carries a handler."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_page_begins_with_the_verdict_and_shows_the_pictures_that_differ(runs, tmp_path):
    answer(runs / "first", blunder([0, 1, 2]))
    found = compare_runs([runs / "first", runs / "renamed"])
    (tmp_path / "out").mkdir()
    page = Page(save_comparison(found, tmp_path / "out").read_text())
    assert page.text.index(found.verdict) < page.text.index("The runs")
    assert LOOKED in page.text
    differing = found.comparison.pairs[0].differing
    assert page.tags.count("img") == len(differing) > 0
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert all(one.path in page.text for one in differing)
    assert f"is {differing[0].true} first: ✗ {differing[0].first} 97.0 %" in page.text
    assert f"{NETWORK} at {SIDE}" in page.text
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["kind"] == "run comparison"
    assert {name: content[name] for name in found.to_dict()} == json.loads(json.dumps(found.to_dict()))


def test_a_picture_that_is_gone_leaves_its_words(runs, tmp_path, places):
    answer(runs / "first", blunder([0, 1]))
    found = compare_runs([runs / "first", runs / "renamed"])
    moved = replace(found, index=replace(found.index, location=str(tmp_path)))
    text = save_comparison(moved, tmp_path).read_text()
    assert "<img" not in text
    assert "no picture" in text
    assert "gone" in moved._repr_html_()


def drawn(tmp_path, count=3, names=None):
    """A comparison of runs with these names on noise; every picture differs."""
    rng = np.random.default_rng(0)
    names = names or [f"run{number}" for number in range(count)]
    classes = ("<b>cat</b>", "dog")
    labels = np.arange(200) % 2
    answered = Answered(classes, labels, [f"<script>{row}</script>.jpg" for row in range(200)])
    answers = {name: rng.dirichlet([1, 1], 200).astype(np.float32) for name in names}
    runs = tuple(
        ComparedRun(
            name, tmp_path, "network at 64", "probe", 1.0, 200, score(labels, answers[name], classes).metrics,
            Interval(0.02, 0.01, 0.03) if number else None, 2,
        )
        for number, name in enumerate(names)
    )  # fmt: skip
    index = scan_nothing(tmp_path)
    return RunComparison(runs, compare_all(answered, answers), index, ("<i>A note.</i>",))


def scan_nothing(tmp_path):
    """An index of one picture."""
    from PIL import Image

    (tmp_path / "source" / "a").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "source" / "a" / "1.png")
    return scan(tmp_path / "source")


def test_names_from_outside_are_escaped(tmp_path):
    found = drawn(tmp_path, names=["<script>alert(1)</script>", "b"])
    text = save_comparison(found, tmp_path).read_text()
    for html in (text, found._repr_html_()):
        assert "<script" not in html
        assert "<i>A note" not in html
        assert "&lt;script&gt;alert(1)" in html
    assert "default-src 'none'" in text
    assert "calibration error" in Page(text).text


def test_of_many_pairs_each_shows_a_few_pictures(tmp_path):
    found = drawn(tmp_path, 12)
    shown = choose_shown(found)
    assert sum(map(len, shown)) <= MOST_SHOWN
    text = save_comparison(found, tmp_path).read_text()
    assert len(re.findall("Pictures where they differ", text)) == 66
    assert "Which differences are sure" in text
    assert len(text) < 1_000_000


def test_as_text_it_fits_into_a_terminal(tmp_path):
    found = drawn(tmp_path, names=["a-very-long-name-of-a-run-that-says-all-of-its-settings", "b", "猫と犬"])
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("run   ") and "accuracy" in line for line in lines)
    assert sum("…" in line for line in lines) >= 3
    two = str(drawn(tmp_path / "two", names=["a", "b"]))
    assert "The pictures that tell them apart most:" in two
    assert "a says " in two
