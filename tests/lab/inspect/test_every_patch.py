"""Every patch at once: a cell is what a pass with that one patch gives."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from lab.inspect import measured_effects as module
from lab.inspect.measured_effects import PARTS, every_patch
from lab.views.blocks import Matrix, MatrixPanels
from models.gpt import GPT
from models.trace import Trace
from models.trace_edits import Edit
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.models.conftest import make_model as shared_model
from tests.models.conftest import make_twin as shared_twin

make_model, make_twin = shared_model, shared_twin

SHAPE = {"layers": 3, "heads": 2, "width": 16, "context": 16, "vocab_size": 31}
FIRST, SECOND = [3, 14, 15, 9, 2, 6, 5], [27, 18, 2, 8, 18]
TOKENS = (4, 11)


def difference(trace: Trace, at: int) -> float:
    logits = trace["logits"][at].double()
    return float(logits[TOKENS[0]] - logits[TOKENS[1]])


@pytest.mark.parametrize(("at", "positions"), [((6, 4), range(2, 7)), ((4, 4), range(5)), ((2, 3), range(3))])
def test_each_cell_is_a_pass_with_that_one_patch(
    make_model: Any, monkeypatch: pytest.MonkeyPatch, at: tuple[int, int], positions: range
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 20)
    model: GPT = make_model(4, **SHAPE)
    first, second = Trace(model, FIRST), Trace(model, SECOND)
    found = every_patch(model, first, second, at, TOKENS)
    plain, offset = difference(first, at[0]), at[1] - at[0]
    assert found.first == pytest.approx(plain, abs=1e-5)
    assert found.second == pytest.approx(difference(second, at[1]), abs=1e-5)
    assert found.positions == positions
    for layer in range(3):
        block = f"blocks.{layer}."
        for row, position in enumerate(positions):
            for part in PARTS:
                value = tuple(second[block + part][position + offset].tolist())
                changed = Trace(model, FIRST, (Edit(block + part, "patch", position=position, value=value),))
                assert found.by_part[part][row, layer] == pytest.approx(difference(changed, at[0]) - plain, abs=1e-4)
        for head in range(2):
            values = second[f"{block}attn.z"]
            edits = tuple(
                Edit(f"{block}attn.z", "patch", head=head, position=each, value=tuple(values[each + offset, head].tolist()))
                for each in positions
            )
            assert found.by_head[head, layer] == pytest.approx(difference(Trace(model, FIRST, edits), at[0]) - plain, abs=1e-4)


def test_a_beginning_that_both_share_is_left_out(make_model: Any) -> None:
    model: GPT = make_model(4, **SHAPE)
    first, second = Trace(model, FIRST), Trace(model, [*FIRST[:4], 1, *FIRST[5:]])
    found = every_patch(model, first, second, (6, 6), TOKENS)
    assert found.positions == range(4, 7)
    assert found.by_part["resid_pre"].shape == (3, 3)
    assert found.by_part["resid_pre"][0, 0] == pytest.approx(found.second - found.first, abs=1e-4), "all that differs"


def test_patches_can_be_computed_in_pieces(make_model: Any) -> None:
    model: GPT = make_model(4, **SHAPE)
    given = (model, Trace(model, FIRST), Trace(model, SECOND), (6, 4), TOKENS)
    found, pieces = None, 0
    while found is None or len(found.done) < 3 * 4:
        found = every_patch(*given, found, 0.0)
        pieces += 1
        assert len(found.done) == pieces
    whole = every_patch(*given)
    assert all(np.array_equal(values, whole.parts[part]) for part, values in found.parts.items())


def test_a_slow_view_says_how_many_of_the_patches_are_computed(
    tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)
    views = [engine.patches(run="tiny", text="one", second_text="two", position=0) for _ in range(2 * 4)]
    said = ["1 of 10", "2 of 10", "3 of 10", "5 of 10", "6 of 10", "7 of 10", "8 of 10"]  # one position, two heads, two layers
    assert [view.sentence for view in views[:-1]] == [f"{words} patches are computed." for words in said]
    assert [view.is_partial for view in views] == [True] * 7 + [False]


def test_a_prompt_patched_with_itself_changes_nothing(make_model: Any) -> None:
    model: GPT = make_model(4, **SHAPE)
    first = Trace(model, FIRST)
    found = every_patch(model, first, first, (6, 6), TOKENS)
    assert found.first == found.second
    assert all(float(np.abs(each).max()) == 0.0 for each in (*found.by_part.values(), found.by_head))


HAS_HOOKS = find_spec("transformer_lens") is not None and version("transformer-lens") < "4"
"""Later versions have no HookedTransformer, on which their patching rests."""


def test_the_view_names_both_predictions_and_its_panels_have_a_cell_for_each_layer(tiny: Any, engine: InProcessEngine) -> None:
    view = engine.patches(run="tiny", text=PROMPT, stage="patches", second_text="Another one", position=5)
    panels, heads = view.blocks
    assert isinstance(panels, MatrixPanels)
    assert isinstance(heads, Matrix)
    shapes = {each.values.numpy().shape for each in panels.matrices}
    assert {shape[1] for shape in shapes} == {2}
    assert heads.values.numpy().shape == (2, 2)
    assert [each.title for each in panels.matrices] == list(PARTS.values())
    assert "in prompt 1 and" in view.sentence
    alike = engine.patches(run="tiny", text=PROMPT, second_text=PROMPT)  # both predict the same: the next best is compared
    logits = tiny.model(torch.tensor([tiny.tokenizer.encode(PROMPT)]))[0, -1]
    best, second = (tiny.tokenizer.label(token) for token in logits.topk(2).indices.tolist())
    assert f"The logit of “{best}” minus that of “{second}” is" in alike.sentence
    chosen = engine.patches(run="tiny", text=PROMPT, second_text="Another one", candidate=1, against=2)
    labels = [tiny.tokenizer.label(token) for token in (1, 2)]
    assert f"The logit of “{labels[0]}” minus that of “{labels[1]}” is" in chosen.sentence
