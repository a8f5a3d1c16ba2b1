"""Every look at the test part of a run is a line of its ledger, and none is lost."""

import json
import threading

import numpy as np
import pytest

from telltale.errors import OutputError
from telltale.evaluation.evaluation import score
from telltale.files import locked
from telltale.training.ledger import LEDGER, Look, read_looks, record_look
from telltale.training.run import Run


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def scored(run, looks):
    from dataclasses import replace

    evaluation = score(np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]], ["cat", "dog"])
    replace(evaluation, looks=looks).save(run.folder / "evaluation.json")


def test_looks_are_counted_in_order(run):
    assert read_looks(run) == ()
    assert record_look(run, "telltale train", 250) == 1
    assert record_look(run, "telltale evaluate", 12) == 2
    first, second = read_looks(run)
    assert (first.by, first.pictures, second.by, second.pictures) == ("telltale train", 250, "telltale evaluate", 12)
    assert first.when <= second.when and len(first.when) == 20
    assert len((run.folder / LEDGER).read_text().splitlines()) == 2


def test_a_run_without_a_ledger_has_the_looks_that_its_evaluation_says(run):
    scored(run, 2)
    assert read_looks(run) == (Look("", "telltale train", 3),) * 2
    assert record_look(run, "telltale evaluate", 1) == 3
    assert [one.by for one in read_looks(run)] == ["telltale train", "telltale train", "telltale evaluate"]
    scored(run, 9)
    assert len(read_looks(run)) == 3, "from then on the ledger says it"


def test_a_damaged_evaluation_was_a_look(run):
    (run.folder / "evaluation.json").write_text("x")
    assert record_look(run, "telltale train", 3) == 2


@pytest.mark.parametrize("torn", ["{", '{"when": "2026"}\n', "[]\n", '{"when": "x", "by": "y", "pictures": null}'])
def test_a_torn_line_is_a_look_that_nothing_is_known_of(run, torn):
    record_look(run, "telltale train", 5)
    with open(run.folder / LEDGER, "a") as file:
        file.write(torn)
    assert read_looks(run)[1] == Look("", "unknown", 0)
    assert record_look(run, "telltale evaluate", 5) == 3
    assert read_looks(run)[2].by == "telltale evaluate"


def test_looks_at_the_same_time_are_all_counted(run):
    numbers = []
    threads = [
        threading.Thread(target=lambda: numbers.append(record_look(run, "telltale evaluate", 1))) for _ in range(12)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(numbers) == list(range(1, 13))
    assert len(read_looks(run)) == 12


def test_it_is_written_while_a_training_holds_the_folder(run):
    with locked(run.folder):
        assert record_look(run, "telltale train", 5) == 1
    assert json.loads((run.folder / LEDGER).read_text())["pictures"] == 5


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"test_ledger.jsonl' cannot be written"):
        record_look(Run(tmp_path / "gone"), "telltale evaluate", 1)
