"""For the tests and for the examples in docstrings: a cache of their own, no network, no weights from outside."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Never touch the user's cache or the hub; child processes inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELLTALE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("TELLTALE_WEIGHTS", raising=False)
        yield
