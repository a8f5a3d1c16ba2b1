"""A search trains candidates on one split, ranks them, tests the first once, and trains nothing twice."""

import csv
import json
import re
import signal
from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from telltale.data.index import Index
from telltale.data.source import Columns
from telltale.data.splits import Splits
from telltale.delivery.gallery import show
from telltale.delivery.run_list import list_runs
from telltale.delivery.search import search
from telltale.delivery.search_plan import Candidate, SearchSettings
from telltale.delivery.trial import explain_failure
from telltale.errors import ChangedDataError, Interrupted, ModelError, OutputError, RecipeError
from telltale.evaluation.evaluation import Evaluation
from telltale.model.bundle import load
from telltale.progress import Advance, Note
from telltale.training.recipe import Recipe, read_time

matplotlib.use("Agg")

NETWORK, SIDE = "test_efficientnet", 64
CNN = {"model": "cnn", "img_size": 32, "epochs": 3, "batch_size": 4}
FIGURES = ("accuracy", "log_loss", "ece", "images_per_second", "size_mb", "seconds")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, weights, backbone):  # which is converted once for all tests
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))


class Told(list):
    """Notes that were told."""

    def __call__(self, message):
        if isinstance(message, Note):
            self.append(message.text)

    def about(self, words):
        return [text for text in self if words in text]


def test_candidates_are_ranked_on_one_split_and_the_winner_is_tested(pictures, tmp_path):
    settings = SearchSettings(
        {**CNN, "epochs": 1},
        vary=("lr=1e-9",),
        candidates=(
            Candidate("probe", Recipe(model=NETWORK, img_size=SIDE)),
            Candidate("typo", Recipe(model="test_efficientnett", img_size=SIDE)),
            Candidate("no <b>number", Recipe(model="cnn", img_size=32, epochs=1, lr=1e30, batch_size=4)),
        ),
    )
    told = Told()
    found = search(pictures, settings, tell=told)

    assert str(found.folder) == "comparisons/pictures"
    assert [one.name for one in found.ranked] == ["probe", "cnn lr=1e-9"]
    assert found.winner.accuracy.value > found.ranked[1].accuracy.value
    assert {(one.name, one.failed) for one in found.left_out} == {("typo", True), ("no <b>number", True)}
    reasons = {one.name: one.why for one in found.left_out}
    assert re.match(r"No model named 'test_efficientnett'\. Did you mean 'test_efficientnet'", reasons["typo"])
    assert "The loss became no finite number" in reasons["no <b>number"]
    # Early: before anybody looked at a picture.
    assert told.index(told.about("typo cannot be trained")[0]) < told.index(told.about("40 pictures")[0])

    runs = [one.run for one in found.ranked]
    splits = [Splits.load(run.folder / "splits.arrow", Index.load(run.folder / "index.arrow")) for run in runs]
    assert all((one.parts == splits[0].parts).all() for one in splits)
    assert [(run.folder / "evaluation.json").is_file() for run in runs] == [True, False]
    assert found.test.images == len(splits[0].test)
    assert found.test.looks == 1
    assert sorted(found.test.paths) == sorted(splits[0].test.paths)
    assert Evaluation.load(runs[0].folder / "evaluation.json").metrics == found.test.metrics
    assert load(found.winner.run.bundle).classes == ("blue", "green", "red", "yellow")
    states = {one.name: one.state for one in list_runs(found.folder)}
    assert states["probe"] == "finished"
    assert states[runs[1].name] == "trained"
    for one in found.ranked:
        assert one.speed > 0
        assert one.megabytes > 0.1
        assert 0 <= one.calibration_error <= 1
    check_files(found)
    titles = [axes.get_title() for axes in show(found).axes]
    assert titles == ["Validation accuracy", "Validation log loss"]
    assert [text.get_text() for text in show(found).axes[0].get_yticklabels()] == ["probe", "cnn lr=1e-9"]


def check_files(found):
    content = json.loads((found.folder / "comparison.json").read_text())
    assert content["winner"]["name"] == "probe"
    assert [one["rank"] for one in content["candidates"]] == [1, 2]
    assert {one["name"] for one in content["left_out"]} == {"typo", "no <b>number"}
    rows = list(csv.DictReader((found.folder / "comparison.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["trained", "trained", "failed", "failed"]
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in rows[0])
    assert all(float(rows[0][name]) >= 0 for name in FIGURES)
    assert rows[0]["p_against_first"] == ""
    assert 0 <= float(rows[1]["p_against_first"]) <= 1
    page = (found.folder / "report.html").read_text()
    assert "<script" not in page
    assert "no <b>number" not in page
    assert "no &lt;b&gt;number" in page
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?:", page)
    assert page.index("is right most often") < page.index("test pictures") < page.index("images/s")
    text = str(found)
    assert text == str(found)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("which chose it", "which no candidate was trained or chosen with", "Failed: typo", " 1  probe"):
        assert words in " ".join(text.split("\n"))
    assert "is right most often" in found._repr_html_()
    assert found.following == "telltale predict comparisons/pictures/probe PHOTO.jpg"


def test_pictures_of_a_group_are_one_witness_in_the_paired_test(pictures, tmp_path):
    """Two pictures of each patient: the p value counts patients."""
    rows = [
        f"{path.relative_to(pictures)},{path.parent.name},{path.parent.name}-{number // 2}"
        for folder in sorted(pictures.iterdir())
        for number, path in enumerate(sorted(folder.iterdir()))
    ]
    (pictures / "list.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n")
    settings = SearchSettings(
        {**CNN, "epochs": 1, "val_split": 0.4},
        vary=("lr=1e-9",),
        candidates=(Candidate("probe", Recipe(model=NETWORK, img_size=SIDE, val_split=0.4)),),
    )
    found = search(pictures / "list.csv", settings, columns=Columns(group="patient"))
    splits = Splits.load(found.folder / "splits.arrow", Index.load(found.folder / "index.arrow"))
    groups = set(splits.validation.table.column("group").to_pylist())
    against = found.ranked[1].against
    assert against.clusters == len(groups) == len(splits.validation) / 2
    assert against.p >= 0.5 ** (len(groups) - 1), "so many patients cannot show more"


def test_the_same_command_again_trains_nothing_twice(pictures):
    settings = SearchSettings(CNN, vary=("lr=1e-9,0.003",))
    first = search(pictures, settings, output="out")
    assert first.winner.name == "lr=0.003"
    kept = {path: path.stat().st_mtime_ns for path in first.folder.glob("*/model.telltale/model.safetensors")}
    told = Told()
    again = search(pictures, settings, output="out", tell=told)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(told.about("finished before")) == 2
    assert told.about("its test part is not scored again")
    assert not told.about("epoch 1 of")
    assert again.test.metrics == first.test.metrics
    assert [(one.name, one.accuracy, one.log_loss, one.against.p if one.against else None) for one in again.ranked] == [
        (one.name, one.accuracy, one.log_loss, one.against.p if one.against else None) for one in first.ranked
    ]
    more = search(pictures, replace(settings, vary=("lr=1e-9,0.003,0.002",), by="loss"), output="out", tell=told)
    assert len(more.ranked) == 3
    assert len(list(more.folder.glob("*/candidate.json"))) == 3
    assert more.by == "loss"
    assert [one.log_loss.value for one in more.ranked] == sorted(one.log_loss.value for one in more.ranked)
    if more.winner.name != first.winner.name:
        assert more.test.looks == 2

    with pytest.raises(RecipeError, match=r"seed is 1, and the comparison in 'out' began with 0"):
        search(pictures, replace(settings, settings={**CNN, "seed": 1}), output="out")
    (pictures / "red" / "red-0.png").unlink()
    with pytest.raises(ChangedDataError, match=r"are not those that 'out' began with: 1 gone"):
        search(pictures, settings, output="out")


def test_halving_trains_the_best_third_for_longer(pictures):
    told = Told()
    settings = SearchSettings(CNN, vary=("lr=1e-9,0.003,1e-10",), halving=True)
    found = search(pictures, settings, tell=told)
    assert (found.winner.name, found.winner.share) == ("lr=0.003", 1.0)
    assert len(told.about("Round 1 of 2: 3 candidates with 1/3 of the epochs")) == 1
    assert len(told.about("Round 2 of 2: 1 candidate with the whole of the epochs")) == 1
    epochs = sorted((len(one.run.history), one.run.recipe.epochs) for one in found.ranked)
    assert epochs == [(1, 1), (1, 1), (3, 3)]
    assert "were left behind with a part of their epochs" in str(found)
    assert found.winner.run.recipe == replace(Recipe(**CNN).resolved, lr=0.003)
    rows = list(csv.DictReader((found.folder / "comparison.csv").read_text().splitlines()))
    assert [row["epochs"] for row in rows] == ["3", "1", "1"]
    assert rows[0]["lr"] == "0.003"


def test_a_time_limit_leaves_out_what_does_not_fit(pictures):
    told = Told()
    probe = Recipe(model=NETWORK, img_size=SIDE, views=10**7)
    settings = SearchSettings(CNN, vary=("lr=0.003",), candidates=(Candidate("long", probe),), time="9m")
    found = search(pictures, settings, tell=told)
    assert told.about("Cheapest first; at most about: cnn lr=0.003 ")
    assert [one.name for one in found.ranked] == ["cnn lr=0.003"]
    assert 180 < read_time(found.winner.run.recipe.time) < 250  # half of it, and a tenth of that for the validation
    assert [(one.name, one.failed) for one in found.left_out] == [("long", False)]
    assert re.fullmatch(r"It takes about \d+ min, and [89] min are left\.", found.left_out[0].why)
    assert "cnn lr=0.003 is the only candidate that was trained" in str(found)
    with pytest.raises(ModelError, match=r"None of 2 candidates was trained\. .*An epoch takes about"):
        search(pictures, replace(settings, time="0.1s"))


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(pictures):
    settings = SearchSettings(CNN, vary=("lr=0.003,1e-9",))
    seen = []

    def interrupt(message):
        if isinstance(message, Advance) and message.stage == "train":
            seen.append(message)
            if len(seen) == 25:  # in the second candidate
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"1 of 2 candidates are done; all is kept in out") as caught:
        search(pictures, settings, output="out", tell=interrupt)
    assert caught.value.run == "out"
    content = json.loads((pictures.parent / "out" / "comparison.json").read_text())
    assert content["test"] is None
    assert [one["name"] for one in content["left_out"]] == ["lr=1e-9"]
    assert not list((pictures.parent / "out").glob("*/evaluation.json"))
    told = Told()
    found = search(pictures, settings, output="out", tell=told)
    assert len(told.about("finished before")) == 1
    assert told.about("The training goes on after")
    assert [one.name for one in found.ranked] == ["lr=0.003", "lr=1e-9"]
    assert len(found.ranked[1].run.history) == 3


def test_what_is_varied_without_effect_is_said(pictures):
    told = Told()
    settings = SearchSettings({"model": NETWORK, "img_size": SIDE}, vary=("lr=0.1,0.2",), halving=True)
    found = search(pictures, settings, tell=told)
    assert told.about("lr has no effect on a probe")
    assert told.about("Successive halving has no effect: probes are computed whole.")
    assert np.array_equal(found.ranked[0].validation.probabilities, found.ranked[1].validation.probabilities)
    assert not found.ranked[1].worse


def test_where_nothing_can_be_trained_no_folder_is_left(pictures, tmp_path):
    settings = SearchSettings({"img_size": SIDE}, models=("test_efficientnett", "test_vitt"))
    with pytest.raises(ModelError, match=r"None of 2 candidates was trained\. test_efficientnett: No model named"):
        search(pictures, settings)
    assert not (tmp_path / "comparisons").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "Memory did not suffice (MemoryError)."),
        (RuntimeError("CUDA out of memory. Tried\nmore"), "Memory did not suffice (CUDA out of memory. Tried)."),
        (RuntimeError("a mistake of ours"), None),
        (OutputError("No space left.", expected="", do=""), None),
        (ModelError("No such network.", expected="One.", do="Choose."), "No such network. Choose."),
    ],
    ids=str,
)
def test_only_what_is_the_candidates_fault_lets_the_others_go_on(error, words):
    assert explain_failure(error) == words
