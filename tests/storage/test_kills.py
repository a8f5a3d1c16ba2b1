"""`kill -9` at each point of saving, sending, publishing and removing, with real servers behind the mirrors."""

import os

import pytest
from tests.training.test_kills import check_all, kill_everywhere

IMPORTS = {"s3": ["s3fs"], "google": ["gcsfs"], "drive": ["requests", "google.oauth2.service_account"]}
"""What each library is imported as: once, before a process is forked for each attempt."""


POINTS = [
    "before write state.safetensors", "after write state.safetensors", "after write manifest.json",
    "after write last.json", "after write best.json", "after delete manifest.json", "after delete state.safetensors",
]  # fmt: skip
"""Between these the folder on this machine changes, and not the mirror."""


@pytest.mark.parametrize("kind", IMPORTS)
def test_at_each_named_point(request, tmp_path, kind):
    service = request.getfixturevalue(kind)
    found = kill_everywhere(tmp_path, service.url, points=POINTS, env=dict(os.environ), imports=IMPORTS[kind])
    check_all(found, POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", IMPORTS)
@pytest.mark.timeout(1200)
def test_at_every_point(request, tmp_path, kind):
    service = request.getfixturevalue(kind)
    found = kill_everywhere(tmp_path, service.url, points="every", env=dict(os.environ), imports=IMPORTS[kind])
    check_all(found)
