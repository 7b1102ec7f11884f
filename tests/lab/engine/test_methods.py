"""The engine's answers, method by method, in this process and at every snapshot: numbers against the oracle, passes counted."""

import os
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from msgspec.structs import replace

from lab.analysis.training_timeline import stops
from lab.core.errors import UserError
from lab.engine.method_registry import LensParams, PromptParams, ViewParams
from lab.engine.prompt_methods import EMPTY_PROMPT
from lab.inspect.stages.stage_registry import IN_LAYERS, STAGES
from lab.runs.run_schema import ValidationSegments
from lab.runs.weights_file import save_snapshot
from lab.views.blocks import Paragraph, Table
from models.config import SamplingSettings
from models.gpt import GPT
from models.sampling import generate
from models.trace import Trace
from models.trace_edits import Edit
from tests.lab.engine.conftest import PROMPT, InProcessEngine, random_model


@pytest.fixture
def snapshots(tiny: Any) -> dict[str, GPT]:
    """Three moments: other weights at each, as the trainer would leave them behind."""
    found = {step: random_model(tiny.model.config, seed) for seed, step in enumerate((0, 8, 64))}
    for step, model in found.items():
        save_snapshot(tiny.run, model, step)
    return {str(step): model for step, model in found.items()}


def test_every_snapshot_answers_with_its_own_weights(
    tiny: Any, engine: InProcessEngine, snapshots: dict[str, GPT], passes: Counter[str]
) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    assert [stop.checkpoint for stop in stops(tiny.run)] == ["0", "8", "64", "best"]
    for checkpoint, model in [*snapshots.items(), ("best", tiny.model)]:
        facts = engine.open(checkpoint=checkpoint)
        assert (facts.checkpoint, facts.step) == (checkpoint, 100 if checkpoint == "best" else int(checkpoint))
        state = {
            name: weight.bfloat16().float() if checkpoint in ("8", "64") else weight
            for name, weight in model.state_dict().items()
        }
        own = GPT(model.config)
        own.load_state_dict(state)
        expected = torch.softmax(own.eval()(torch.tensor([ids]))[0, -1].double(), -1).numpy()
        lens = engine.lens(checkpoint=checkpoint)
        assert [guess.id for guess in lens.top] == np.argsort(-expected)[:20].tolist()
        assert [guess.probability for guess in lens.top] == pytest.approx(np.sort(expected)[::-1][:20].tolist(), rel=1e-3)
        view = engine.view(checkpoint=checkpoint, stage="scores")
        assert view.parity is not None
        assert view.parity.max_delta < 2e-5
    with pytest.raises(UserError, match=r"no checkpoint called '7'; .* snapshots of steps: 0, 8, 64\.$"):
        engine.open(checkpoint="7")
    passes.clear()
    for checkpoint in [*snapshots, *snapshots]:
        engine.lens(checkpoint=checkpoint)
    assert passes["traced"] == 0, "a prompt is traced once for each"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of forward passes, on the fast path or traced."""
    counted: Counter[str] = Counter()
    hidden, begin = GPT.hidden, Trace.__init__

    def count_hidden(self: GPT, *args: Any, **kwargs: Any) -> torch.Tensor:
        counted["fast"] += 1
        return hidden(self, *args, **kwargs)

    def count_trace(self: Trace, *args: Any, **kwargs: Any) -> None:
        counted["traced"] += 1
        begin(self, *args, **kwargs)

    monkeypatch.setattr(GPT, "hidden", count_hidden)
    monkeypatch.setattr(Trace, "__init__", count_trace)
    return counted


def test_open_tells_the_facts(tiny: Any, engine: InProcessEngine) -> None:
    facts = engine.open()
    config = tiny.model.config
    assert (facts.layers, facts.heads, facts.width, facts.context) == (2, 2, 8, 16)
    assert (facts.run, facts.checkpoint, facts.step, facts.val_loss) == ("tiny", "best", 100, 1.25)
    assert facts.parameters == sum(each.numel() for each in tiny.model.parameters())
    assert (facts.vocab_size, facts.tokenizer, facts.val_on) == (config.vocab_size, "bpe", "")
    config = tiny.run.config
    data = replace(config.data, tokens=100, split=50, val_bytes=200, evaluated=ValidationSegments(((50, 65),), 60, ""))
    (tiny.run.path / "config.json").write_bytes(msgspec.json.encode(replace(config, data=data)))
    tiny.save("best", 200)
    assert engine.open().val_on == " (on 30%)"


def test_open_loads_again_only_when_the_file_is_newer(tiny: Any, engine: InProcessEngine) -> None:
    lens = LensParams(run="tiny", text=PROMPT)
    engine.open()
    held, top = engine.models.model("tiny", "best").model, engine.lens(lens).top
    engine.open()
    assert engine.models.model("tiny", "best").model is held
    tiny.save("best", 200, seed=9)
    assert engine.lens(lens).top == top  # only `open` looks at the file
    assert engine.open().step == 200
    assert engine.lens(lens).top != top
    path = tiny.run.path / "best.safetensors"
    before = path.stat()
    tiny.save("best", 300, seed=10)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert engine.open().step == 300, "newer, with the same size and time"


def test_the_last_checkpoint_stands_in_for_a_best_that_is_not_there_yet(tiny: Any, engine: InProcessEngine) -> None:
    (tiny.run.path / "best.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights yet"):
        engine.open()
    tiny.save("last", 3, seed=5)
    assert engine.open().checkpoint == "last"
    tiny.save("best", 4, seed=5)
    facts = engine.open()
    assert (facts.checkpoint, facts.step) == ("best", 4)


def test_small_models_are_all_held_of_larger_ones_two_and_the_oldest_goes_with_its_traces(
    make_run: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = InProcessEngine()
    for seed, name in enumerate(("a", "b", "c")):
        make_run(name, seed=seed)
        engine.lens(run=name)
    assert [path.name for path, _ in engine.models._models] == ["a", "b", "c"]
    monkeypatch.setattr("lab.inspect.model_cache.WEIGHTS_BUDGET", 1)
    for name in ("a", "b", "c"):
        larger.lens(run=name)
    assert [path.name for path, _ in larger.models._models] == ["b", "c"]
    assert len(larger.models.traces._traces) == 2


def test_way_gives_each_token_its_probability_from_its_left_context(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    lens = engine.lens()
    ids = tiny.tokenizer.encode(PROMPT)
    probability = oracle_of(tiny, ids).values["probability"]
    assert [token.id for token in lens.tokens] == ids
    assert [token.label for token in lens.tokens] == [tiny.tokenizer.label(id_) for id_ in ids]
    assert lens.tokens[0].probability is None
    expected = [probability[i, id_] for i, id_ in enumerate(ids[1:])]
    assert [token.probability for token in lens.tokens[1:]] == pytest.approx(expected, rel=1e-4)
    assert (lens.position, lens.dropped) == (len(ids) - 1, 0)


@pytest.mark.parametrize("position", [0, 5, None])
def test_way_shows_the_lens_of_every_stream_and_ends_at_the_logits(
    position: int | None, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    lens = engine.lens(position=position)
    oracle = oracle_of(tiny, tiny.tokenizer.encode(PROMPT))
    at = len(lens.tokens) - 1 if position is None else position
    final = int(oracle.values["logits"][at].argmax())
    seen = []
    for step in lens.steps:
        if step.stage == "sample":
            continue
        name = {"embed": "blocks.0.resid_pre", "ln_final": "blocks.1.resid_post", "logits": "blocks.1.resid_post"}.get(step.stage)
        if step.stage in ("resid_mid", "resid_post"):
            name = f"blocks.{step.layer}.{step.stage}"
        assert (step.lens is None) == (name is None)
        if name is None:
            continue
        seen.append(step.stage)
        expected = oracle.lens(name)[at]
        assert step.lens is not None
        assert step.lens.id == expected.argmax()
        assert step.lens.probability == pytest.approx(expected.max(), rel=1e-4)
        assert step.rank == 1 + int((expected > expected[final]).sum())
    assert seen == ["embed", "resid_mid", "resid_post", "resid_mid", "resid_post", "ln_final", "logits"]
    probability = oracle.values["probability"][at]
    assert [guess.id for guess in lens.top] == np.argsort(-probability)[:20].tolist()
    assert [guess.probability for guess in lens.top] == pytest.approx(np.sort(probability)[::-1][:20].tolist(), rel=1e-4)
    last = next(step for step in lens.steps if step.stage == "logits")
    assert last.lens is not None
    assert (last.lens.id, last.rank) == (lens.top[0].id, 1)


def test_steps_are_in_the_order_of_the_computation(tiny: Any, engine: InProcessEngine) -> None:
    steps = engine.lens().steps
    assert list(dict.fromkeys(step.stage for step in steps)) == list(STAGES)
    assert [[step.stage for step in steps if step.layer == layer] for layer in range(2)] == [list(IN_LAYERS)] * 2
    groups = list(dict.fromkeys(step.group for step in steps))
    assert groups == [
        "tokens", "embed + position", "1 attention", "1 mlp", "2 attention", "2 mlp",
        "final norm", "logits → softmax", "sample", "KV cache",
    ]  # fmt: skip


def test_moving_the_cursor_costs_no_forward_pass(tiny: Any, engine: InProcessEngine, passes: Counter[str]) -> None:
    engine.lens()
    assert passes == {"traced": 1, "fast": 1}
    for stage in STAGES:
        for layer in range(2):
            for position in (0, 3, None):
                engine.view(stage=stage, layer=layer, head=layer, position=position)
                engine.lens(position=position, sampling=SamplingSettings(temperature=0.5))
    engine.sample()
    engine.trace("logits", ids=tuple(tiny.tokenizer.encode(PROMPT)))
    assert passes == {"traced": 1, "fast": 1}
    engine.lens(text=PROMPT + " ran")
    engine.lens()
    assert passes == {"traced": 2, "fast": 2}


def test_a_window_that_has_slid_saves_nothing(tiny: Any, engine: InProcessEngine) -> None:
    def words_and_table(text: str) -> tuple[str, Table]:
        blocks = engine.view(text=text, stage="cache").blocks
        words = " ".join(block.text if isinstance(block, Paragraph) else getattr(block, "title", "") for block in blocks)
        return words, next(block for block in blocks if isinstance(block, Table) and block.title.startswith("multiplications"))

    for slid, text in ((False, "The big dog"), (True, "The big dog ran. " * 9)):
        words, saved = words_and_table(text)
        assert ("1 with it" not in words and "and as many with it" in words) == slid
        assert ("the new row" not in words) == slid
        assert (saved.rows[0][1].text == saved.rows[1][1].text) == slid
        assert (saved.rows[2][1].text == "0") == slid


def test_ids_override_the_text_and_a_position_past_the_end_is_the_last(tiny: Any, engine: InProcessEngine) -> None:
    lens = engine.lens(text="ignored", ids=(84, 104, 101), position=99)
    assert ([token.id for token in lens.tokens], lens.position) == ([84, 104, 101], 2)
    assert engine.lens(ids=(84, 104, 101), position=-5).position == 0


MISTAKES: list[tuple[str, PromptParams, str]] = [
    ("lens", LensParams(run="tiny", text=""), EMPTY_PROMPT),
    ("lens", LensParams(run="tinny", text="a"), "did you mean tiny"),
    ("lens", LensParams(run="tiny", text="a", checkpoint="12"), "no checkpoint called '12'"),
    ("lens", LensParams(run="tiny", ids=(9999,)), "9999 is no token of tiny: ids are 0 to 274."),
    ("view", ViewParams(run="tiny", text="a", stage="nonsense"), "no stage called nonsense; the stages are tokens, embed"),
    ("view", ViewParams(run="tiny", text="a", stage="scores", layer=2), "There is no layer 3: tiny has 2."),
    ("view", ViewParams(run="tiny", text="a", stage="scores", head=7), "There is no head 8: tiny has 2 in each layer."),
    ("lens", LensParams(run="tiny", text="a", edits=(Edit("blocks.7.attn.z", "scale"),)), "cannot be edited"),
]


@pytest.mark.parametrize(("method", "params", "words"), MISTAKES)
def test_a_mistake_is_one_sentence(method: str, params: PromptParams, words: str, tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError) as caught:
        getattr(engine, method)(params)
    assert words in str(caught.value)
    assert str(caught.value)[-1] in ".?"
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_said_to_be(tiny: Any, engine: InProcessEngine) -> None:
    engine.open()
    engine.models.model("tiny", "best").model.get_parameter("ln_f.weight")[0] = float("nan")
    with pytest.raises(UserError, match="NaN or inf"):
        engine.lens(text="a")


def test_sample_generate_and_the_view_draw_the_same_tokens(tiny: Any, engine: InProcessEngine) -> None:
    settings = SamplingSettings(temperature=0.8, top_k=50, min_p=0.05, repetition_penalty=1.5, seed=3)
    ids = tuple(tiny.tokenizer.encode(PROMPT))
    written = list(generate(tiny.model, ids, 12, settings))
    for token in written:
        sampled = engine.sample(ids=ids, sampling=settings)
        assert (sampled.id, sampled.label) == (token.id, tiny.tokenizer.label(token.id))
        assert sampled.probability == pytest.approx(token.probability, rel=1e-4)
        table = engine.view(stage="sample", ids=ids, sampling=settings).blocks[1]
        assert isinstance(table, Table)
        assert table.selected is not None
        assert sampled.drawn_with == table.rows[table.selected][2].value, "its probability after penalty and filters"
        lens = engine.lens(ids=ids, sampling=settings)
        drawn = next(step.lens for step in lens.steps if step.stage == "sample")
        assert drawn is not None
        assert (drawn.id, lens.dropped) == (token.id, max(0, len(ids) - 16))
        ids = (*ids, token.id)
        window = engine.sample(ids=ids[-16:], earlier=len(ids[:-16]), sampling=settings)
        assert window.id == engine.sample(ids=ids, sampling=settings).id
    assert len(ids) > 16  # the window slid on the way


def test_edits_are_traced_apart_from_the_model_as_it_is(tiny: Any, engine: InProcessEngine, passes: Counter[str]) -> None:
    off = (Edit("blocks.0.mlp_out", "scale"), Edit("blocks.1.attn.z", "scale", head=1))
    plain, edited = (engine.lens(edits=edits) for edits in ((), off))
    assert plain.top != edited.top
    assert passes["traced"] == 2
    for stage in STAGES:
        view = engine.view(edits=off, stage=stage, layer=1)
        assert view.parity is not None


def test_old_traces_make_room_for_new_ones(tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.lens()
    (traced,) = engine.models.traces._traces.values()
    monkeypatch.setattr("lab.inspect.model_cache.TRACE_BUDGET", 3 * traced.size)
    for word in "abcdefg":
        engine.lens(text=word + PROMPT[1:])
    assert 2 <= len(engine.models.traces._traces) <= 3


def test_long_prompts_are_compared_with_themselves_where_the_fast_path_would_be_too_large(
    tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.inspect.model_cache.FAST_PATH_BUDGET", 10)
    for stage in ("qkv", "mlp", "logits"):
        view = engine.view(stage=stage)
        assert view.parity is not None
        assert view.parity.max_delta < 1e-5
        assert view.parity.name.endswith("fast path" if stage == "logits" else "trace")


def test_no_lens_of_a_sure_model_reads_100_percent(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    """In fp32 one minus a millionth of a percent is 1."""
    for strength in (6.0, 60.0):
        tiny.model.get_parameter("ln_f.weight").mul_(strength)
        tiny.save("best", int(strength))
        engine.open(checkpoint="best")
        oracle = oracle_of(tiny, tiny.tokenizer.encode(PROMPT))
        for position in range(12):
            for step in engine.lens(position=position).steps:
                if step.lens is None or step.stage == "sample":
                    continue
                assert step.lens.probability < 1
                if step.stage == "logits":
                    rest = 1 - oracle.values["probability"][position].max()
                    assert 1 - step.lens.probability == pytest.approx(rest, rel=1e-2, abs=1e-15)
