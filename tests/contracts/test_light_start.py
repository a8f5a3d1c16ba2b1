"""The command line answers before anything heavy is imported."""

import subprocess
import sys

import pytest

HEAVY = ["cv2", "matplotlib", "openvino", "pyarrow", "scipy", "sklearn", "timm", "torch", "torchvision"]


@pytest.mark.parametrize("module", ["telltale", "telltale.cli", "telltale.data.index", "telltale.delivery.predictor"])
def test_import_leaves_torch_alone(module):
    found = _imported(module)
    assert not found & {"matplotlib", "openvino", "scipy", "sklearn", "timm", "torch", "torchvision"}


def test_the_command_line_starts_with_nothing_heavy():
    assert not _imported("telltale.cli") & set(HEAVY)


def test_help_works(cli):
    answer = cli("--help")
    assert answer.code == 0, answer
    assert "train" in answer.stdout
    assert not answer.stderr


def _imported(module: str) -> set[str]:
    program = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())
