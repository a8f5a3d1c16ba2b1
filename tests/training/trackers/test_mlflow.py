"""What MLflow has, asked of its own server on this machine: one run, also when the training goes on."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from tests.training.trackers.session import OUTCOME, about, play, row

from telltale.progress import Note
from telltale.training.trackers import open_trackers
from telltale.training.trackers.tracker import SCALARS


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an MLflow server with a database of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # No workers for jobs, no reports to its makers.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(folder)}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | settings, stdout=said, stderr=said, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}", process, folder / "said")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url, process, said):
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"MLflow's server does not start:\n{said.read_text()}")


@pytest.fixture
def client(server, monkeypatch, request):
    """A client of the server, which also the tracker finds; each test has an experiment of its own."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    from mlflow import MlflowClient

    return MlflowClient()


def session(run, first, last, outcome=None, **settings):
    told = []
    play(open_trackers(["mlflow"], tell=told.append), about(run, **settings), first, last, outcome=outcome)
    return [one.text for one in told if isinstance(one, Note)]


def find(client, name):
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id])


def curve(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def test_two_sessions_are_one_run(client, server, request, tmp_path, capsys):
    folder = tmp_path / "pets"
    folder.mkdir()
    for name in ("recipe.toml", "evaluation.json"):
        (folder / name).write_text(name)
    (where,) = session(folder, 1, 2)
    (run,) = find(client, request.node.name)
    assert where.startswith(f"mlflow: {server}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}")
    assert (run.info.run_name, run.info.status) == ("pets-0a1b2c3d", "KILLED")
    assert run.info.end_time is not None

    session(folder, 2, 4, OUTCOME, epochs=4)  # epoch 2 was lost, and there is a new setting
    (run,) = find(client, request.node.name)
    assert run.info.status == "FINISHED"
    for column, name in SCALARS.items():
        assert curve(client, run, name) == [(epoch, row(epoch)[column]) for epoch in range(5)]
    assert curve(client, run, "test/accuracy") == [(4, 0.9)]
    assert curve(client, run, "test/accuracy_low") == [(4, 0.8)]
    assert run.data.params["augment"] == "flip, rotation=20"
    assert run.data.params["epochs"] == "3", "MLflow never changes a parameter; recipe.toml has the new one"
    tags = {name: run.data.tags[f"telltale.{name}"] for name in ("run", "pictures", "git_changed")}
    assert tags == {"run": "0a1b2c3d", "pictures": "train: 70, validation: 15, test: 15", "git_changed": "True"}
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"
    files = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert files == {"confusion_matrix.png", "samples.png", "recipe.toml", "evaluation.json"}
    assert capsys.readouterr().out == "", "standard output is for results"


def test_long_settings_are_cut_and_a_failure_is_one(client, request, tmp_path):
    from telltale.training.trackers.tracker import Outcome

    session(tmp_path / "pets", 1, 1, Outcome("failed"), start_from="x" * 10_000, time="")
    (run,) = find(client, request.node.name)
    assert run.info.status == "FAILED"
    assert run.data.params["start_from"] == "x" * 500
    assert client.list_artifacts(run.info.run_id) == []


def test_a_server_that_is_away_stops_nothing(client, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (text,) = session(tmp_path / "pets", 1, 2, OUTCOME)
    assert text.startswith("mlflow: API request to http://127.0.0.1:9")
