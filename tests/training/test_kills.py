"""`kill -9` at every point of saving, sending, publishing and removing: at most one epoch is lost, and nothing else."""

import json
import subprocess
import sys

import pytest

EPOCHS = 3


def kill_everywhere(folder, url, *, points, env=None, imports=()):
    """What was found after each kill; `points` are names, `named` (one of each name) or `every`."""
    task = {"folder": str(folder), "url": url, "points": points, "imports": imports}
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.kill_driver", json.dumps(task)],
        capture_output=True,
        encoding="utf-8",
        env=env,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found):
    """Nothing is lost but what was not yet saved."""
    assert "error" not in found, found
    assert found["killed"] or found["code"] == 0, f"it failed by itself: {found}"
    assert found["here"] >= found["saved"], f"an epoch that was saved is gone: {found}"
    assert found["elsewhere"] >= max(found["sent"], found["saved"] - 1), f"more than an epoch is lost: {found}"
    assert found["other"], f"another run was touched: {found}"
    if "end" in found:
        assert (found["end"], found["half"]) == (EPOCHS, []), f"it does not come to its end: {found}"
        assert EPOCHS in found["kept"], found


POINTS = {
    "replace state.safetensors", "replace manifest.json", "replace epoch", "replace last.json", "replace best.json",
    "unlink manifest.json", "before write state.safetensors", "after write state.safetensors",
    "before write manifest.json", "after write manifest.json", "before write last.json", "after write best.json",
    "before delete manifest.json", "after delete manifest.json", "after delete state.safetensors",
}  # fmt: skip


def check_all(found, points=POINTS):
    for one in found:
        check(one)
    assert set(points) <= {one["point"] for one in found}, "a point has another name now"


def test_a_folder_as_mirror(tmp_path):
    check_all(kill_everywhere(tmp_path / "runs", str(tmp_path / "mirror"), points="named"))


@pytest.mark.slow
def test_a_folder_as_mirror_at_every_point(tmp_path):
    found = kill_everywhere(tmp_path / "runs", str(tmp_path / "mirror"), points="every")
    check_all(found)
    assert len(found) > 200
