"""The pages of the commands say what the commands say."""

import subprocess
import sys
from pathlib import Path

GENERATE = Path(__file__).parents[2] / "docs" / "generate.py"


def test_pages_of_commands_are_current():
    done = subprocess.run(
        [sys.executable, GENERATE, "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
