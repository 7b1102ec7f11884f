"""Settings and fixtures of every test."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Property tests share a machine with whatever else runs on it: the time of one example says nothing.
settings.register_profile("llmlab", deadline=None)
settings.load_profile("llmlab")


@pytest.fixture(autouse=True)
def nothing_stays_frozen() -> Iterator[None]:
    """Unfreeze the garbage collector's objects: an open lab freezes all there are, with the open files of earlier tests."""
    yield
    gc.unfreeze()
