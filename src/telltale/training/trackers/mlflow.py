"""MLflow: one run on a tracking server, or in the database of this folder, through MLflow's own client."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from telltale.training.about import About
from telltale.training.events import EpochDone, Event
from telltale.training.trackers.tracker import Outcome, Rows, find_fault, row_of, scalars_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG: Final = "telltale.run"
"""Tag by which a training that goes on finds its run again."""

EXPERIMENT: Final = "telltale"
"""Where MLFLOW_EXPERIMENT_NAME says no other."""

MOST_LETTERS: Final = 500
"""Of a parameter: what servers before 2.8 take; newer ones take 6,000."""

MOST_TAG_LETTERS: Final = 5000

ENDS: Final = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}

FILES: Final = ("recipe.toml", "evaluation.json")
"""Files of the run folder that go along."""


class MLflow:
    """Settings, a point of each curve per epoch, test figures and pictures as one MLflow run, also when it goes on.

    The server is the one in MLFLOW_TRACKING_URI; without it MLflow writes to a database in the current folder.
    """

    package: ClassVar[str] = "mlflow"

    def __init__(self) -> None:
        self._client: MlflowClient | None = None
        self._run = ""
        self._steps: dict[str, set[int]] | None = None
        """Steps of each metric that are there; None where the run is new, and all of them were sent by us."""
        self._folder = Path()
        self._last = 0

    def check(self) -> str:
        """Whether anybody answers at the server's address."""
        fault = find_fault(os.environ.get("MLFLOW_TRACKING_URI", ""))
        return f"{fault} It is tried again; see MLFLOW_TRACKING_URI." if fault else ""

    def begin(self, about: About, rows: Rows) -> str:
        """Find the run of this training, or begin one, and tell it of what it does not know yet."""
        from mlflow import MlflowClient

        client = self._client = MlflowClient()
        self._folder = about.folder
        experiment = _find_experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
        found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{about.id}'", max_results=1)
        known: Mapping[str, str] = {}
        if found:
            self._run, self._steps, known = found[0].info.run_id, {}, found[0].data.params
            client.update_run(self._run, status="RUNNING")
        else:
            tags = {RUN_TAG: about.id, "mlflow.source.name": "telltale"}
            self._run = client.create_run(experiment, run_name=about.name, tags=tags).info.run_id
        self._describe(client, about, known)
        for row in rows:
            self._log(scalars_of(row), int(row["epoch"]))
        return _where(client.tracking_uri, experiment, self._run)

    def hear(self, event: Event) -> None:
        """A point of each curve."""
        if isinstance(event, EpochDone):
            self._log(scalars_of(row_of(event)), event.epoch)

    def finish(self, outcome: Outcome) -> None:
        """The test's figures, pictures and files, and how it ended."""
        if self._client is None:
            return
        try:
            self._log(outcome.figures, self._last)
            self._send_files(self._client, outcome)
        finally:
            self._end(self._client, ENDS[outcome.end])

    def close(self) -> None:
        """Nothing is open."""
        self._client = None

    def _describe(self, client: "MlflowClient", about: About, known: Mapping[str, str]) -> None:
        """Settings as parameters, which MLflow never changes (recipe.toml has those of today), the rest as tags."""
        from mlflow.entities import Param, RunTag

        new = {name: value for name, value in about.settings.items() if name not in known}
        params = [Param(name, _text(value)[:MOST_LETTERS]) for name, value in new.items()]
        facts = {f"telltale.{name}": value for name, value in about.facts().items()}
        if about.commit:
            facts["mlflow.source.git.commit"] = about.commit
        tags = [RunTag(name, _text(value)[:MOST_TAG_LETTERS]) for name, value in facts.items()]
        client.log_batch(self._run, params=params, tags=tags)

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        """Send the figures that are not there yet for this step."""
        from mlflow.entities import Metric

        if self._client is None:
            return
        now = int(time.time() * 1000)
        new = [Metric(name, value, now, step) for name, value in figures.items() if step not in self._known(name)]
        if new:
            self._client.log_batch(self._run, metrics=new)
        for metric in new:
            self._known(metric.key).add(step)
        self._last = max(self._last, step)

    def _known(self, name: str) -> set[int]:
        """The steps of a metric that are there already."""
        if self._steps is None:
            self._steps = {}
        if name not in self._steps and self._client is not None:
            self._steps[name] = {one.step for one in self._client.get_metric_history(self._run, name)}
        return self._steps[name]

    def _send_files(self, client: "MlflowClient", outcome: Outcome) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, picture in outcome.pictures.items():
                path = Path(folder, f"{name}.png")
                path.write_bytes(picture)
                client.log_artifact(self._run, str(path))
        for name in FILES:
            if (self._folder / name).is_file():
                client.log_artifact(self._run, str(self._folder / name))

    def _end(self, client: "MlflowClient", status: str) -> None:
        from mlflow.entities import RunStatus

        # Not `set_terminated`, which prints two lines to standard output, where the result of --json goes.
        store = client._tracking_client.store
        store.update_run_info(self._run, RunStatus.from_string(status), int(time.time() * 1000), None)


def _find_experiment(client: "MlflowClient", name: str) -> str:
    """The id of an experiment, made where there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another training has just made it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _where(uri: str, experiment: str, run: str) -> str:
    """Where the run can be looked at."""
    place = urlsplit(uri)
    if place.scheme not in ("http", "https"):
        return f"written to {uri}; to look at it: mlflow ui --backend-store-uri {uri}"
    host = place.netloc.rpartition("@")[2]  # not the password
    return f"{place.scheme}://{host}{place.path.rstrip('/')}/#/experiments/{experiment}/runs/{run}"


def _text(value: Any) -> str:
    """A setting or fact as text.

    >>> _text(("flip", "rotation=20")), _text({"train": 7, "test": 3})
    ('flip, rotation=20', 'train: 7, test: 3')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
