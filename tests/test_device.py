"""What this machine offers, and what a user may ask for."""

import os
import subprocess
import sys

import pytest

from telltale.device import DEVICES, choose_device, cores
from telltale.errors import RecipeError


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity that can be set")
def test_cores_follow_the_affinity():
    code = (
        "import os; from telltale.device import cores; "
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(cores())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert answer.stdout.strip() == "1"


def test_cpu_is_cpu():
    assert choose_device("cpu") == "cpu"


def test_auto_and_cuda_agree_with_torch():
    import torch

    if torch.cuda.is_available():
        assert choose_device("auto") == choose_device("cuda") == "cuda"
        return
    assert choose_device() == "cpu"
    with pytest.raises(RecipeError, match="The device is 'cuda', and torch finds no usable GPU here"):
        choose_device("cuda")


@pytest.mark.parametrize("wanted", ["gpu", "CUDA", "", "mps"])
def test_an_unknown_device_is_refused(wanted):
    with pytest.raises(
        RecipeError, match=rf"The device is '{wanted}'\. One of {', '.join(DEVICES)}\. Give one of them"
    ):
        choose_device(wanted)
