"""Before anything is trained it is known which trackers are meant, and whether they are there."""

import importlib.util

import pytest

from telltale.errors import RecipeError, UserError
from telltale.training.about import read_commit
from telltale.training.trackers import TRACKERS, check_trackers
from telltale.training.trackers.tracker import Outcome, find_fault


def test_a_wrong_name_gets_the_right_one():
    with pytest.raises(UserError, match=r"No tracker named 'wandbb'\. Did you mean 'wandb'\?"):
        check_trackers(["tensorboard", "wandbb"])


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_one_line(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(RecipeError, match=f"The tracker '{name}' needs a package that is not installed here") as caught:
        check_trackers([name])
    assert caught.value.do == f"pip install 'telltale[{name}]'"


def test_a_server_that_is_not_there_is_a_warning(monkeypatch):
    told = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:9/mlflow")
    check_trackers(["mlflow", "tensorboard", "wandb"], told.append)
    (note,) = told
    assert note.warning
    assert note.text.startswith("mlflow: Nobody answers at 127.0.0.1:9 (Connection refused).")
    assert "secret" not in note.text


@pytest.mark.parametrize("url", ["", "sqlite:///mlflow.db", "mlruns", "databricks", "file:///x"])
def test_what_is_no_server_has_no_fault(url):
    assert find_fault(url) == ""


def test_a_server_behind_a_proxy_is_not_looked_for(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert find_fault("http://somewhere.invalid:5000") == ""


def test_figures_carry_their_intervals():
    assert Outcome(test={"accuracy": (0.9, 0.8, 0.95)}).figures == {
        "test/accuracy": 0.9,
        "test/accuracy_low": 0.8,
        "test/accuracy_high": 0.95,
    }


def test_a_folder_without_git_has_no_commit(tmp_path):
    assert read_commit(tmp_path) == ("", False)
