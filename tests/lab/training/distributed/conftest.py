"""Ranks that are forked."""

import pytest

from tests.lab.training.distributed.rank_forker import RankForker
from tests.lab.training.module_forker import ModuleForker


@pytest.fixture(scope="module")
def ranks(forker: ModuleForker) -> RankForker:
    return RankForker(forker)
