"""Every stage and every method with prompts that are unusual: they are answered, or refused in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.core.errors import UserError
from lab.inspect.stages.stage_registry import STAGES
from models.config import SamplingSettings
from models.sampling import generate
from screens.blocks.view_layout import lay_view
from tests.lab.engine.conftest import InProcessEngine, shared_engine, shared_tiny

tiny, engine = shared_tiny, shared_engine

CONTEXT = 16

ODD = {
    "one letter": "T",
    "one space": " ",
    "line breaks": "\n\n\r\n\t",
    "emoji": "👩‍👩‍👧",
    "a character of many marks": "e" + "\u0301" * 12,
    "right to left": "שלום \u202e x",
    "a wide ligature": "﷽",
    "control characters": "\x00\x07\x1b[31m\x7f\x9b",
    "end of text": "<|endoftext|>",
    "half a character": "a\ud83d",
    "markup": "[b]The[/b] {x} $foreground",
    "ten thousand characters": "The big dog ran fast. " * 455,
}


@pytest.mark.parametrize("name", list(ODD))
def test_every_stage_is_drawn_on_single_lines_and_every_method_answers(
    name: str, tiny: Any, engine: InProcessEngine, tmp_path: Path
) -> None:
    text = ODD[name]
    lens = engine.lens(text=text)
    assert 1 <= len(lens.tokens) <= CONTEXT
    assert all(token.label.isprintable() or "\u202e" in token.label for token in lens.tokens)
    for stage in STAGES:
        view = engine.view(stage=stage, text=text, layer=1, head=1)
        for width in (20, 53, 120):
            page = lay_view(view, width)
            for y in range(page.height):
                drawn, *_ = page.line(y)
                line = "".join(text for text, _ in (*drawn.pinned, *drawn.pieces))
                assert not set(line) & {"\n", "\r", "\x1b", "\x00", "\x07", "\x7f", "\x9b"}, (stage, line)
    token = engine.sample(text=text)
    assert next(generate(tiny.model, tiny.tokenizer.encode(text), 1, SamplingSettings())).id == token.id
    for kind in ("npz", "json"):
        assert engine.save_trace(text=text, path=str(tmp_path / kind), kind=kind).bytes > 0


def test_an_empty_prompt_is_refused_in_one_sentence_by_every_method(tiny: Any, engine: InProcessEngine) -> None:
    for ask in (
        lambda: engine.lens(text=""),
        lambda: engine.view(text="", stage="cache"),
        lambda: engine.sample(text=""),
        lambda: engine.sample(ids=()),
        lambda: engine.trace(text=""),
    ):
        with pytest.raises(UserError, match=r"^The prompt is empty: .*\.$"):
            ask()


@pytest.mark.parametrize(
    ("tokens", "dropped"), [(1, 0), (CONTEXT - 1, 0), (CONTEXT, 0), (CONTEXT + 1, 1), (5 * CONTEXT, 4 * CONTEXT)]
)
def test_a_prompt_about_as_long_as_the_context(tokens: int, dropped: int, tiny: Any, engine: InProcessEngine) -> None:
    ids = tuple((tiny.tokenizer.encode("The big dog ran fast. ") * 20)[:tokens])
    lens = engine.lens(ids=ids)
    assert (len(lens.tokens), lens.dropped, lens.position) == (min(tokens, CONTEXT), dropped, min(tokens, CONTEXT) - 1)
    assert [token.id for token in lens.tokens] == list(ids[-CONTEXT:])
    for stage in STAGES:
        assert engine.view(stage=stage, ids=ids).sentence
    window = engine.view(stage="logits", ids=ids[-CONTEXT:])
    assert window.blocks == engine.view(stage="logits", ids=ids).blocks
    assert engine.lens(ids=ids[-CONTEXT:]).top == lens.top


def test_end_of_text_typed_is_text_and_half_a_character_shows_its_bytes(tiny: Any, engine: InProcessEngine) -> None:
    lens = engine.lens(text="<|endoftext|>")
    assert b"".join(tiny.tokenizer.token_bytes(token.id) for token in lens.tokens) == b"<|endoftext|>"
    assert len(lens.tokens) > 1
    (first, *_) = tiny.tokenizer.encode("😀")
    assert tiny.tokenizer.token_bytes(first) == "😀".encode()[:1]
    assert engine.lens(ids=(first,)).tokens[0].label == "\\xf0"


def test_a_fork_draws_what_the_shorter_prompt_alone_would(tiny: Any, engine: InProcessEngine) -> None:
    ids = tuple(tiny.tokenizer.encode("The big dog ran fast."))
    for cut in range(1, len(ids)):
        shorter = engine.sample(ids=ids[:cut])
        at_position = engine.view(stage="sample", ids=ids, position=cut - 1)
        drawn = at_position.blocks[1].rows[at_position.blocks[1].selected][0].text  # type: ignore[union-attr, index]
        assert drawn.strip() == shorter.label.strip()
    assert np.unique([engine.sample(ids=ids[:cut]).id for cut in range(1, len(ids))]).size > 1
