"""Shapes that cannot be built, and learning-rate schedules in closed form and against Hugging Face's."""

import math

import pytest

from models.config import DEFAULT_PRESET, PRESETS, ConfigError, ModelConfig
from models.learning_rate import DECAY, schedule_factor

EDGES = [(0.0, 0.0, 1.0), (2.0, 0.1, 0.2), (-1.0, 0.1, 0.0), (0.01, 0.03, 1 / 3), (0.5, 0.0, 0.6), (1.0, 1.0, 1.0)]


@pytest.mark.parametrize(("progress", "warmup", "factor"), EDGES)
def test_the_learning_rate_at_its_edges(progress: float, warmup: float, factor: float) -> None:
    assert math.isclose(schedule_factor("cosine", progress, warmup, 0.2), factor, abs_tol=1e-12)


def test_wsd_rises_stands_and_falls_by_the_square_root() -> None:
    def at(progress: float) -> float:
        return schedule_factor("wsd", progress, 0.1, 0.05)

    assert [at(0.0), at(0.05), at(0.1), at(0.5), at(1 - DECAY)] == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0])
    assert at(1 - 0.75 * DECAY) == pytest.approx(0.05 + 0.95 * (1 - math.sqrt(0.25)))
    assert at(1.0) == at(1.5) == pytest.approx(0.05)
    falling = [at(1 - DECAY + DECAY * share / 10) for share in range(11)]
    assert falling == sorted(falling, reverse=True)


def test_a_warm_up_into_the_decay_cuts_the_decay_short() -> None:
    assert schedule_factor("wsd", 0.9, 0.9, 0.0) == 1.0
    assert schedule_factor("wsd", 1.0, 0.9, 0.0) == pytest.approx(0.0)
    assert schedule_factor("wsd", 0.5, 1.0, 0.0) == 0.5
    assert schedule_factor("wsd", 1.0, 1.0, 0.0) == 1.0


SHAPE = {"layers": 2, "heads": 2, "width": 8, "context": 16, "vocab_size": 23}


@pytest.mark.parametrize("name", list(SHAPE))
def test_every_size_must_be_at_least_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name.replace('_', ' ')} must be at least 1, not 0"):
        ModelConfig(**{**SHAPE, name: 0})


def test_width_is_shared_out_among_the_heads_and_where_it_cannot_be_refused_with_one_that_can() -> None:
    assert ModelConfig(**{**SHAPE, "heads": 4, "width": 48}).head_width == 12
    with pytest.raises(ConfigError, match=r"width 10 cannot be divided among 4 heads.*such as 12"):
        ModelConfig(**{**SHAPE, "heads": 4, "width": 10})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_must_leave_something(dropout: float) -> None:
    with pytest.raises(ConfigError, match="dropout"):
        ModelConfig(**SHAPE, dropout=dropout)


def test_a_preset_takes_changes_and_passes_over_those_that_are_none() -> None:
    changed = PRESETS[DEFAULT_PRESET].config(300, layers=7, heads=None, dropout=0.1)
    assert (changed.layers, changed.heads, changed.vocab_size, changed.dropout) == (7, PRESETS[DEFAULT_PRESET].heads, 300, 0.1)
