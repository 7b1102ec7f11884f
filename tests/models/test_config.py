import pytest

from models.config import DEFAULT_PRESET, PRESETS, ConfigError, ModelConfig

SHAPE = {"layers": 2, "heads": 2, "width": 8, "context": 16, "vocab_size": 23}


def test_width_is_shared_out_among_the_heads() -> None:
    assert ModelConfig(**{**SHAPE, "heads": 4, "width": 48}).head_width == 12


@pytest.mark.parametrize("name", list(SHAPE))
def test_every_size_must_be_at_least_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name.replace('_', ' ')} must be at least 1, not 0"):
        ModelConfig(**{**SHAPE, name: 0})


def test_a_width_that_the_heads_cannot_share_is_refused_with_one_that_they_can() -> None:
    with pytest.raises(ConfigError, match=r"width 10 cannot be divided among 4 heads.*such as 12"):
        ModelConfig(**{**SHAPE, "heads": 4, "width": 10})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_must_leave_something(dropout: float) -> None:
    with pytest.raises(ConfigError, match="dropout"):
        ModelConfig(**SHAPE, dropout=dropout)


def test_a_preset_takes_changes_and_passes_over_those_that_are_none() -> None:
    changed = PRESETS[DEFAULT_PRESET].config(300, layers=7, heads=None, dropout=0.1)
    assert (changed.layers, changed.heads, changed.vocab_size, changed.dropout) == (7, PRESETS[DEFAULT_PRESET].heads, 300, 0.1)
