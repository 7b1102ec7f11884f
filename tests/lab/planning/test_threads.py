"""Threads of the engine."""

import pytest

from lab.planning.device import engine_threads


@pytest.mark.parametrize(
    ("cores", "beside_gpu", "threads"),
    [(1, False, 1), (2, False, 1), (4, True, 2), (8, False, 4), (16, False, 4), (16, True, 8), (64, True, 8)],
)
def test_the_engine_takes_half_of_the_cores_and_more_of_them_beside_a_gpu(cores: int, beside_gpu: bool, threads: int) -> None:
    assert engine_threads(cores, beside_gpu=beside_gpu) == threads
