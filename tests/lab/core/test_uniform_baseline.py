import math

import pytest

from models.config import uniform_baseline


def test_the_uniform_baseline_is_the_loss_of_equal_probabilities() -> None:
    assert uniform_baseline(1024) == pytest.approx(-sum(math.log(1 / 1024) for _ in range(1024)) / 1024)
