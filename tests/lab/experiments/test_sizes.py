"""Parameters part by part, against the formulas of the shapes."""

import pytest

from lab.core.errors import UserError
from tests.lab.experiments.conftest import Measure, TinyRun, rows


@pytest.mark.parametrize(
    ("size", "name", "layers", "width", "total"),
    [
        ("GPT-2", "GPT-2", 12, 768, 124_439_808),
        ("medium", "GPT-2 medium", 24, 1024, 354_823_168),
        ("large", "GPT-2 large", 36, 1280, 774_030_080),
        ("XL", "GPT-2 XL", 48, 1600, 1_557_611_200),
    ],
)
def test_the_sizes_of_gpt2(size: str, name: str, layers: int, width: int, total: int, tiny: TinyRun, measure: Measure) -> None:
    found = measure("parameter_parts", tiny, inputs={"size": size}).measures
    layer = 12 * width**2 + 13 * width  # 4 + 8 squares; biases 3 + 1 + 4 + 1; two norms of a gain and a bias
    assert found["model"] == name
    assert found["parameters"] == total == 50_257 * width + 1024 * width + layers * layer + 2 * width
    assert (found["token_embedding"], found["position_embedding"]) == (50_257 * width, 1024 * width)
    assert (found["layer"], found["layers"], found["final_norm"], found["head"]) == (layer, layers * layer, 2 * width, 0)


def test_the_rows_add_up_for_the_model_at_hand(tiny: TinyRun, measure: Measure) -> None:
    result = measure("parameter_parts", tiny)
    values = {row[0].text: row[2].value for row in rows(result)}
    inside = sum(value for name, value in values.items() if name.startswith("  ") and value)
    assert inside == values["2 layers"]
    assert sum(value for name, value in values.items() if not name.startswith("  ") and value) == result.measures["parameters"]
    assert result.measures["parameters"] == sum(weight.numel() for weight in tiny.model.parameters())


def test_a_size_that_gpt2_does_not_have_is_refused(tiny: TinyRun, measure: Measure) -> None:
    with pytest.raises(UserError, match="There is no size called huge; the sizes are GPT-2, medium"):
        measure("parameter_parts", tiny, inputs={"size": "huge"})
