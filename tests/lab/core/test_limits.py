"""The bounds of a run's numbers: in words, for msgspec, and the same wherever a number can be given."""

import math
from typing import Annotated

import msgspec
import pytest

from lab.core.errors import UserError
from lab.core.limits import LIMITS, Limit
from lab.core.machine import Machine
from lab.core.visible_text import quoted
from lab.planning.device import check_memory
from lab.planning.resolve_run import TextSize, check_request
from lab.planning.settings_form import make_plan
from lab.planning.settings_table import SETTINGS, RunRequest, Settings
from models.config import ConfigError, ModelConfig

MACHINE = Machine(processor="a processor", cores=2, memory=10**15, gpu=None)
ABSURD = [10**9 + 1, 10**30, 1e300, math.inf, math.nan, -1]


@pytest.mark.parametrize("name", list(LIMITS))
def test_no_field_takes_an_absurd_number(name: str) -> None:
    if name == "vocab_size":
        return
    label = name.replace("_", " ")
    for value in ABSURD:
        if LIMITS[name].problem(value):
            with pytest.raises(UserError, match=f"^{label} must be .*, not "):
                check_request(RunRequest(text="stories", preset="nano", **{name: value}))  # type: ignore[arg-type]
    assert any(LIMITS[name].problem(value) for value in ABSURD[1:4])
    assert LIMITS[name].problem(math.nan)
    assert LIMITS[name].problem(-1)


@pytest.mark.parametrize("name", ["layers", "heads", "width", "context", "vocab_size"])
def test_no_shape_takes_an_absurd_number_whoever_makes_it(name: str) -> None:
    shape = {"layers": 2, "heads": 2, "width": 8, "context": 16, "vocab_size": 23}
    for value in (10**9, 2**80):
        with pytest.raises(ConfigError, match=f"{name.replace('_', ' ')} must be at most"):
            ModelConfig(**shape | {name: value})
        with pytest.raises(msgspec.ValidationError, match="must be at most"):
            msgspec.json.decode(str(shape | {name: value}).replace("'", '"'), type=ModelConfig)


@pytest.mark.parametrize("field", [field for field in Settings.__dataclass_fields__ if field in {*LIMITS, "vocab", "length"}])
def test_the_form_says_the_bound_beside_the_field(field: str) -> None:
    for typed in ("1000000000000", "9" * 30, "1" + "0" * 320, "9" * 5000, "1e300", "-1"):
        plan = make_plan(Settings(**{field: typed}), TextSize("stories", bytes=10**6, tokens=300_000), MACHINE)
        if field.endswith("seed") and typed == "1000000000000":
            assert not plan.problems
            continue
        assert list(plan.problems) == [field], typed
        said = plan.problems[field]
        assert said.startswith(f"{(SETTINGS[field].label or field).capitalize()} must be "), typed
        assert len(said) < 200
        assert plan.request is None


def test_lengths_have_the_same_bounds_in_every_unit() -> None:
    for typed in ("1000000001", "1000000001 steps", "1000001 min", "20000 h", "70000000 s"):
        problems = make_plan(Settings(length=typed), TextSize("stories"), MACHINE).problems
        assert list(problems) == ["length"]
        assert "must be at most 1,000,000" in problems["length"]


def test_msgspec_holds_the_same_bounds() -> None:
    for name, limit in LIMITS.items():
        if name.endswith("seed"):  # no float is 2^63 − 1
            continue
        kind = Annotated[float, msgspec.Meta(**limit.meta())]  # type: ignore[valid-type]
        for value in (limit.least, limit.most, limit.least - 1, limit.most * 2 + 1, (limit.least + limit.most) / 2):
            try:
                msgspec.convert(float(value), kind)
            except msgspec.ValidationError:
                assert limit.problem(float(value)), (name, value)
            else:
                assert not limit.problem(float(value)), (name, value)
    assert LIMITS["seed"].meta() == {"ge": 0, "le": 2**63 - 1}
    assert Limit(1, 8.0, below=True).meta() == {"ge": 1, "lt": 8}


def test_a_model_that_memory_cannot_hold_is_refused_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.device.memory", lambda: 8_000_000_000)
    monkeypatch.setattr("lab.planning.device.gpu", lambda: None)
    model = ModelConfig(layers=12, heads=12, width=768, context=1024, vocab_size=50257)
    check_memory(model)
    wide = ModelConfig(layers=4, heads=4, width=1 << 16, context=128, vocab_size=512)
    weights = 4 * (12 * wide.width**2 + 13 * wide.width) + (512 + 128 + 2) * wide.width
    with pytest.raises(UserError, match=f"at least {12 * weights / 1e12:.1f} TB of memory .* this machine has 8.0 GB; choose"):
        check_memory(wide)


def test_long_text_is_cut_in_sentences() -> None:
    assert quoted("tale") == "'tale'"
    assert quoted("a\x1b[2J") == "'a\\x1b[2J'"
    assert len(quoted("n" * 9000)) < 120
    assert quoted("n" * 9000).endswith("(9,000 characters)")
