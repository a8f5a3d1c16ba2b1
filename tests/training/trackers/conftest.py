"""What the tests of trackers need: a session in a process of its own, with an environment that knows nobody."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SESSION = Path(__file__).with_name("session.py")
KEPT = ("PATH", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


@pytest.fixture
def run_session(tmp_path: Path) -> Callable[..., str]:
    """`run_session(name, first, last, ...)` plays a session in the run folder `tmp_path/runs/pets`: what it said."""

    def run(name: str, first: int, last: int, *rest: str, **environment: str) -> str:
        folder = Path("runs", "pets")
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, SESSION, name, str(folder), str(first), str(last), *rest],
            cwd=tmp_path,
            env={key: os.environ[key] for key in KEPT if key in os.environ}
            | {"HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "", "standard output is for results"
        return done.stderr

    return run
