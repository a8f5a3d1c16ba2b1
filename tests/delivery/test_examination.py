"""Further pictures are compared with the test part of the run, and every further look at test pictures is counted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from telltale.data.index import Index, scan
from telltale.data.splits import Splits
from telltale.delivery.examination import examine, find_run
from telltale.delivery.shift_page import render_shift, save_examination
from telltale.errors import DataError
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.wording import describe
from telltale.model.bundle import load
from telltale.training.ledger import LEDGER, read_looks
from telltale.training.run import Run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, whose ledger may be written to."""
    run = Run(Path(shutil.copytree(trained, tmp_path / "pets")))
    # Other tests may have scored its test part meanwhile.
    first = (run.folder / LEDGER).read_text().splitlines()[0]
    (run.folder / LEDGER).write_text(f"{first}\n")
    return run


@pytest.fixture
def classifier(run):
    return load(run.folder)


def load_test_part(run):
    return Splits.load(run.folder / "splits.arrow", Index.load(run.folder / "index.arrow")).test


def copy_test_part(run, folder, most=99):
    """Some of the run's test pictures in class folders of their own, saved again with the same pixels."""
    part = load_test_part(run)
    for path, label in list(zip(part.paths, part.table.column("label").to_pylist(), strict=True))[:most]:
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.open(Path(part.location, path)).save(folder / label / f"again-{Path(path).stem}.bmp")
    return folder


def darken(folder):
    for path in folder.rglob("*.png"):
        Image.open(path).point(lambda value: value // 3).save(path)
    return folder


@pytest.fixture
def large_test(run):
    """The run as if all its pictures had been tested: of four test pictures nothing can be said."""
    index = Index.load(run.folder / "index.arrow")
    Splits(index, np.full(len(index), 2, np.int8)).save(run.folder / "splits.arrow")
    return run


def test_new_pictures_are_compared_with_the_test_part(large_test, classifier, unseen):
    found = examine(classifier, darken(unseen), run=large_test)
    assert found.evaluation.images == 40 and found.fresh is found.evaluation
    saved = Evaluation.load(large_test.folder / "evaluation.json")
    assert found.reference.to_dict() == saved.to_dict()
    assert "the new ones are darker" in found.shift.verdict
    assert (found.tested, found.looks, found.notes) == (0, 1, ())
    assert len(read_looks(large_test)) == 1
    content = json.loads(json.dumps(found.to_dict()))
    assert content["images"] == 40 and content["run"] == {"folder": str(large_test), "looks": 1, "tested": 0}
    assert content["reference"]["images"] == found.reference.images
    assert {one["name"] for one in content["shift"]["drops"]} <= set(classifier.classes)


def test_of_a_small_test_part_only_the_result_is_compared(run, classifier, unseen):
    found = examine(classifier, unseen, run=run)
    assert found.shift.auc is None
    assert f"With {len(load_test_part(run))} pictures on one side it cannot be said" in found.shift.verdict
    assert set(found.shift.changes) == set(found.reference.metrics)


def test_the_test_part_itself_is_a_further_look_and_no_comparison(run, classifier, tmp_path):
    folder = copy_test_part(run, tmp_path / "again")
    for looks in (2, 3):
        found = examine(classifier, folder, run=run)
        assert (found.looks, found.evaluation.looks, found.shift) == (looks, looks, None)
        assert found.tested == found.evaluation.images == len(load_test_part(run))
        assert f"This run has scored them {looks} times" in describe(found.evaluation)
        assert found.notes == ("These are its test pictures: there is nothing to compare.",)
    assert [one.by for one in read_looks(run)] == ["telltale train", "telltale evaluate", "telltale evaluate"]
    assert read_looks(run)[1].pictures == found.tested


def test_some_test_pictures_are_counted_and_left_out_of_the_comparison(run, classifier, unseen):
    copy_test_part(run, unseen, most=3)
    found = examine(classifier, unseen, run=run)
    assert (found.evaluation.images, found.tested, found.evaluation.looks) == (43, 3, 1)
    assert found.notes == (
        "Of these 43 pictures 3 are test pictures of this run, which has now scored test pictures 2 times: what was "
        "chosen after the first may fit them.",
        "Compared with the test part are the 40 new ones, without 3 that it knows.",
    )
    assert found.fresh.images == 40 and not any("again" in path for path in found.fresh.paths)
    assert read_looks(run)[-1].pictures == 3


def test_what_it_has_learned_from_is_no_comparison(run, classifier, trained):
    pets = trained.parents[1] / "pets"
    with pytest.raises(DataError, match="pictures were learned from by this classifier"):
        examine(classifier, pets, run=run)
    assert len(read_looks(run)) == 1, "what was refused was no look"
    for seen in ("mark", "skip"):
        found = examine(classifier, pets, run=run, seen=seen)
        assert found.shift is None
        assert found.notes[-1] == (
            "All of these are test pictures of the run, or known to it from its training: there is nothing to compare."
        )
    assert len(read_looks(run)) == 3


def test_a_bundle_alone_says_what_a_run_would_show(run, classifier, unseen):
    found = examine(classifier, scan(unseen))
    assert (found.shift, found.reference, found.looks) == (None, None, 0)
    assert found.notes == (
        "This is a bundle without its run; with the run folder the result is compared with its test part.",
    )
    assert found.to_dict()["run"] is None


def test_the_bundle_in_a_run_folder_is_of_that_run(run, tmp_path):
    assert find_run(run.folder) == find_run(run.bundle) == run
    assert find_run(shutil.copytree(run.bundle, tmp_path / "mine.telltale")) is None


@pytest.mark.parametrize("name", ["evaluation.json", "index.arrow", "splits.arrow"])
def test_a_run_that_lacks_something_is_no_reason_to_fail(run, classifier, unseen, name):
    (run.folder / name).unlink()
    found = examine(classifier, unseen, run=run)
    assert found.evaluation.images == 40 and found.shift is None
    (note,) = found.notes
    assert note.startswith("There is no test result to compare with: ") and name in note


def test_a_look_that_cannot_be_written_down_is_said(run, classifier, tmp_path):
    (run.folder / LEDGER).unlink()
    (run.folder / LEDGER).mkdir()
    found = examine(classifier, copy_test_part(run, tmp_path / "again"), run=run)
    assert found.looks == 2
    assert found.notes[0].startswith("This look at test pictures could not be written down: ")


def test_everything_is_saved(large_test, classifier, unseen, tmp_path):
    (unseen / "red" / "red-0.png").rename(unseen / "red" / "<b>&.png")
    found = examine(classifier, darken(unseen), run=large_test)
    written = save_examination(found, tmp_path / "out")
    assert [path.name for path in written] == ["evaluation.json", "confusion_matrix.png", "shift.json", "shift.html"]
    saved = json.loads(written[2].read_text())
    assert saved["kind"] == "shift" and saved["shift"] == found.to_dict()["shift"]
    page = written[3].read_text()
    assert "unseen beside the test part of pets" in page
    assert "default-src 'none'" in page and "<script" not in page and "<b>&" not in page
    for words in ("Both results", "Which classes suffer", "How the pictures differ", "darker", "The most typical of"):
        assert words in page
    assert page.count("data:image/jpeg") >= 12
    assert len(page) < 300_000


def test_without_a_comparison_there_is_no_page(classifier, unseen, tmp_path):
    found = examine(classifier, unseen)
    assert [path.name for path in save_examination(found, tmp_path / "out")] == [
        "evaluation.json",
        "confusion_matrix.png",
    ]
    with pytest.raises(ValueError, match="no shift to show"):
        render_shift(found)
