"""`telltale compare`: which of two runs is better, for people and for programs; and what is refused."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from telltale.cli import app
from telltale.delivery.answers import read_answers
from telltale.evaluation.evaluation import score


@pytest.fixture
def runs(trained, tmp_path):
    """Two runs on the same pictures: b has all of them right, a the first three wrong."""
    for name, wrong in (("a", 3), ("b", 0)):
        shutil.copytree(trained, tmp_path / "runs" / name)
        found = read_answers(tmp_path / "runs" / name)
        labels = [found.classes.index(one) for one in found.labels]
        said = [(code + (row < wrong)) % 4 for row, code in enumerate(labels)]
        probabilities = found.probabilities * 0 + 0.02
        probabilities[range(len(said)), said] = 0.94
        codes = found.index.codes
        score(codes, probabilities, found.classes, paths=found.index.paths).save_predictions(
            tmp_path / "runs" / name / "test_predictions.parquet"
        )
    return tmp_path / "runs"


def test_the_verdict_the_page_and_what_comes_next(cli, runs, tmp_path):
    answer = cli("compare", "runs/a", "runs/b")
    assert answer.code == 0, answer
    words = " ".join(answer.stdout.split())
    assert words.startswith("b is right on 3 pictures that a gets wrong, a on none that b gets wrong (of ")
    assert "may be chance (p = 0.25)" in words
    assert "warning: These runs were compared on their test pictures" in answer.stderr
    assert "telltale evaluate runs/b DATA" in answer.stderr
    folder = tmp_path / "comparisons" / "a-and-b"
    assert {path.name for path in folder.iterdir()} == {"comparison.json", "report.html"}
    assert "written: comparisons/a-and-b" in answer.stderr


def test_json_has_everything(cli, runs, tmp_path):
    answer = cli("compare", runs / "a", runs / "b", "--json", "-o", "out")
    assert answer.code == 0, answer
    content = json.loads(answer.stdout)
    assert content["folder"] == "out"
    assert [one["name"] for one in content["runs"]] == ["a", "b"]
    assert content["pairs"][0]["only_second"] == 3
    saved = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert {name: saved[name] for name in content if name != "folder"} == {
        name: value for name, value in content.items() if name != "folder"
    }


def test_what_fails_leaves_no_folder_behind(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (runs / "b" / "test_predictions.parquet").unlink()
    answer = CliRunner().invoke(app, ["compare", "runs/a", "runs/b"])
    assert answer.exit_code == 2
    assert "do: Finish it: telltale train --resume runs/b" in answer.stderr
    assert not (tmp_path / "comparisons").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "Only 'a' was given: there is nothing to compare it with."),
        (["a", "b", "--model", "cnn", "--by", "loss"], "2 runs were given together with --model and --by."),
        (["a", "b"], "'a' is not a run folder."),
        (["data", "--model", "cnn", "--set", "oops"], "--set 'oops' has no '='."),
    ],
)
def test_flags_that_do_not_go_together_are_explained(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["compare", *arguments])
    assert answer.exit_code == 2
    assert f"error: {words}" in answer.stderr
    assert "  do: " in answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # tests/cli/test_search.py has the same command in words
def test_data_with_candidates_is_a_search(cli, pictures, tmp_path):
    pytest.importorskip("telltale.delivery.search")
    flags = ("--model", "cnn", "--vary", "lr=0.01,0.001", "--epochs", 1, "--set", "img_size=24", "--by", "loss")
    answer = cli("compare", "pictures", *flags, "--json", "-o", "found")
    assert answer.code == 0, answer
    content = json.loads(answer.stdout)
    assert (content["folder"], content["by"]) == ("found", "loss")
    assert len(content["candidates"]) == 2
    assert (tmp_path / "found" / "comparison.json").is_file()
