"""What would work here is said without changing anything, and what would not comes with what to do."""

import os
import shutil

import pytest

from telltale.delivery.doctor import EXTRAS, Check, examine


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """A machine where nobody is logged in anywhere."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "WANDB_", "MLFLOW_", "COLAB_")):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")


def look(*mirrors):
    return {check.name: check for check in examine(mirrors)}


def test_everything_is_looked_at_and_nothing_is_left_behind(tmp_path):
    checks = look()
    assert {"Python", "torch", "processor", "memory", "GPU", "this folder", "cache"} < checks.keys()
    assert {f"[{name}]" for name in EXTRAS} < checks.keys()
    assert not [check for check in checks.values() if check.state == "problem"]
    assert checks["S3 credentials"] == Check(
        "S3 credentials", "note", "none found", "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    assert list((tmp_path / "work").iterdir()) == []


def test_an_extra_that_is_missing_is_a_line_to_copy(monkeypatch):
    monkeypatch.setitem(EXTRAS, "absent", ("no_such_module", "nothing"))
    check = look()["[absent]"]
    assert (check.state, check.text, check.do) == ("note", "nothing: not installed", "pip install 'telltale[absent]'")


def test_credentials_are_found_and_never_shown(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRET")
    monkeypatch.setenv("WANDB_API_KEY", "wandb-secret")
    checks = look()
    assert checks["S3 credentials"].text == checks["W&B login"].text == "found"
    assert not [check for check in checks.values() if "SECRET" in f"{check}".upper() and "KEY_ID" not in f"{check}"]


def test_a_named_file_that_is_not_there_is_a_problem(monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "absent.json")
    check = look()["Google credentials"]
    assert (check.state, check.do) == ("problem", "Correct the path, or unset it.")
    assert "names absent.json, which is not there" in check.text


def test_a_named_login_of_drive_that_is_not_there_is_a_problem(monkeypatch):
    monkeypatch.setenv("TELLTALE_DRIVE_CREDENTIALS", "absent.json")
    check = look()["Drive credentials"]
    assert (check.state, check.text) == ("problem", "TELLTALE_DRIVE_CREDENTIALS names absent.json, which is not there")


def test_weights_are_named(monkeypatch, weights, tmp_path):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    assert "test_efficientnet in" in look()["weights"].text
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(tmp_path / "absent"))
    assert look()["weights"].state == "problem"


def test_on_colab_the_drive_is_looked_for(monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    check = look()["Colab's Drive"]
    assert (check.text, check.do) == ("not mounted", "from google.colab import drive; drive.mount('/content/drive')")


def test_a_full_disk_is_a_problem(small_disk, monkeypatch):
    monkeypatch.chdir(small_disk("work", "2m"))
    check = look()["this folder"]
    assert (check.state, check.do) == ("problem", "Free some space.")


def test_mirrors_are_tried(tmp_path):
    (tmp_path / "file").write_text("x")
    good, bad = str(tmp_path / "mirror"), str(tmp_path / "file" / "x")
    checks = look(good, bad)
    assert checks[f"mirror {good}"].text.startswith("written, read back and deleted a small file in")
    assert list((tmp_path / "mirror").iterdir()) == []
    assert (checks[f"mirror {bad}"].state, bool(checks[f"mirror {bad}"].do)) == ("problem", True)
    shutil.rmtree(tmp_path / "mirror")
