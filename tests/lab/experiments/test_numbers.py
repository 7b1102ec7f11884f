"""The numbers of experiments, against torch, a second GPT-2, the tokenizers' own encoding and closed forms."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from torch.utils.flop_counter import FlopCounterMode

from lab.core.errors import UserError
from lab.data.cleaning.measure_funnel import measure_funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.prompt_to_token import GAP, WIDTH, nearest_cosine
from lab.experiments.sizes import config_of
from lab.experiments.tokens import MEASURED
from lab.lessons.conditions import parse_experiment_guess
from lab.lessons.lesson import lessons
from lab.views.blocks import Table
from models.config import ModelConfig
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.engine.conftest import PROMPT
from tests.lab.experiments.conftest import MakeTextRun, Measure, TinyRun, rows, windows, with_text
from tests.models.oracle import Oracle


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


def test_the_rows_add_up_for_the_model_at_hand_and_an_unknown_size_is_refused(tiny: TinyRun, measure: Measure) -> None:
    result = measure("parameter_parts", tiny)
    values = {row[0].text: row[2].value for row in rows(result)}
    inside = sum(value for name, value in values.items() if name.startswith("  ") and value)
    assert inside == values["2 layers"]
    assert sum(value for name, value in values.items() if not name.startswith("  ") and value) == result.measures["parameters"]
    assert result.measures["parameters"] == sum(weight.numel() for weight in tiny.model.parameters())
    with pytest.raises(UserError, match="There is no size called huge; the sizes are GPT-2, medium"):
        measure("parameter_parts", tiny, inputs={"size": "huge"})


def test_the_parts_add_up_to_the_tokenizer_s_size(tiny: TinyRun, measure: Measure) -> None:
    result = measure("vocabulary", tiny)
    found, (table,) = result.measures, result.view.blocks
    assert isinstance(table, Table)
    assert all(cell.bar == (cell.value or 0) / 50_000 for row in table.rows for cell in row[1:]), "one scale for both"
    assert found["own_vocabulary"] == tiny.tokenizer.vocab_size
    assert (found["own_single_bytes"], found["own_merges"]) == (256, tiny.tokenizer.vocab_size - 256)
    assert (found["vocabulary"], found["single_bytes"], found["merges"], found["special"]) == (50_257, 256, 50_000, 1)


def test_the_pieces_are_the_tokens_of_the_whole_phrase_and_shared_ones_are_told(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    phrase = "running runs ran, 3 times"
    found = measure("pieces", tiny, inputs={"phrase": phrase})
    assert found.measures["own"] == len(tiny.tokenizer.encode(phrase))
    gpt2 = Tokenizer.gpt2()
    assert found.measures["gpt2"] == len(gpt2.encode(phrase))
    shown = [cell.text for row in rows(found) for cell in row[2:]]
    assert "│".join(shown) == "│".join(gpt2.label(id_).replace(" ", "␣") for id_ in gpt2.encode(phrase))
    assert shown[1].startswith("␣"), "a space that belongs to a word is to be seen"
    shared = measure("pieces", tiny, inputs={"phrase": "unfriendly unfriendliness"}).measures["gpt2_shared"]
    assert "unfriendly" not in str(shared)
    assert measure("pieces", tiny, inputs={"phrase": "running runs ran"}).measures["gpt2_shared"] == ""
    assert measure("pieces", tiny, inputs={"phrase": "zzqx zzqx"}).measures["gpt2_shared"] != "zzqx"


def test_each_rule_takes_what_its_own_funnel_says(text_run: MakeTextRun, measure: Measure) -> None:
    found = measure("rules_alone", text_run()).measures
    funnel = measure_funnel("python", rules=("duplicate-paragraphs",))
    assert found["duplicate_paragraphs"] == funnel.raw_bytes - funnel.kept_bytes
    assert found["bytes"] == funnel.raw_bytes
    rules = {name: value for name, value in found.items() if name not in ("most", "bytes", "share")}
    assert set(rules) == {each.replace("-", "_") for each in MEASURED}
    lesson = next(each for each in lessons() if each.name == "cleaning")
    guess = next(step.live.options for step in lesson.steps if step.live and step.live.options.get("experiment") == "rules_alone")
    chosen = {guess[f"choice-{letter}"] for letter in "abcd"}
    assert chosen == {BY_NAME[rule].title for rule in MEASURED}, "the right one is among them, whichever it is"
    assert all(guess[f"right-{letter}"] == f'most == "{guess[f"choice-{letter}"]}"' for letter in "abcd")
    assert max(rules, key=lambda name: int(rules[name])).replace("_", " ") == found["most"]


def test_adding_1_changes_no_weight_and_doubling_is_the_softmax_of_doubled_scores(
    text_run: MakeTextRun, measure: Measure
) -> None:
    tiny = text_run()
    found = measure("softmax_changes", tiny, layer=1, head=1).measures
    ids = torch.tensor([tiny.tokenizer.encode(PROMPT)])
    with torch.no_grad():
        model = tiny.model.double()
        x = model.wte(ids) + model.wpe.weight[: ids.shape[1]]
        x = model.blocks[0](x, None, 0)
        block = model.blocks[1]
        q, k, _ = block.attn.c_attn(block.ln_1(x)).chunk(3, -1)
        size = q.shape[-1] // block.attn.heads
        scores = q[0, -1, size:] @ k[0, :, size:].T / size**0.5
    assert abs(float(found["top"]) - float(scores.softmax(-1).max())) < 1e-5
    assert abs(float(found["top_doubled"]) - float((2 * scores).softmax(-1).max())) < 1e-5
    assert float(found["largest_change"]) < 1e-12
    assert (found["risen"], found["keys"]) == (0, ids.shape[1])


@pytest.mark.parametrize(("layers", "says_all"), [(1, False), (2, False), (3, True)])
def test_all_layers_are_told_apart_from_layer_2_only_where_they_differ(
    layers: int, says_all: bool, text_run: MakeTextRun, measure: Measure
) -> None:
    """Layer 1 reads the embeddings in any case, so that with two layers it is the same experiment."""
    found = measure("keys_from_embeddings", text_run(layers=layers)).measures
    assert ("loss_all_replaced" in found) is says_all
    if says_all:
        assert found["loss_all_replaced"] != found["loss_replaced"]


def test_the_mean_is_that_of_the_model_s_probabilities_and_of_equal_logits_ln_v(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    result = measure("window_losses", tiny, inputs={"window": "3"})
    reads = [row[0].text.lstrip().split(" ", 1)[1] for row in rows(result)]
    assert [row[1].text for row in rows(result)][:-1] == reads[1:], "each target is what the next row reads"
    values = [row[3].value or 0.0 for row in rows(result)]
    assert math.isclose(sum(values) / len(values), float(result.measures["mean"]), rel_tol=1e-9)
    assert result.measures["uniform"] == math.log(tiny.model.config.vocab_size)
    assert len(values) == result.measures["targets"] == 16
    with torch.no_grad():
        tiny.model.ln_f.weight.zero_()
        tiny.model.ln_f.bias.zero_()
    found = measure("window_losses", tiny).measures
    assert math.isclose(float(found["mean"]), float(found["uniform"]), rel_tol=1e-6)


def test_the_losses_are_those_of_torch_s_gradient_descent(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=6)
    result = measure("gradient_descent", tiny, inputs={"rate": "0.5"})
    assert result.measures["part"] == "training text"
    read = torch.from_numpy(windows(tiny, "training text", int(result.measures["tokens"]) // 6, 7))
    model = GPT(tiny.run.config.model, seed=tiny.run.config.train.seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    expected = []
    with torch.enable_grad():
        for _ in range(int(result.measures["steps"]) + 1):
            loss = model.loss(read[:, :-1], read[:, 1:])
            expected.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert (result.measures["loss_before"], result.measures["loss_after"], result.measures["last_loss"]) == pytest.approx(
        (expected[0], expected[1], expected[-1]), abs=1e-4
    )
    assert "One step, rate 0.5" in result.view.sentence
    assert [row[1].value for row in rows(result)] == pytest.approx([expected[int(row[0].text)] for row in rows(result)], abs=1e-4)


def test_the_last_row_is_the_step_at_which_it_diverges_and_the_longest_bar_is_full(
    text_run: MakeTextRun, measure: Measure
) -> None:
    *finite, last = rows(measure("gradient_descent", text_run(context=6), inputs={"rate": "100000"}))
    assert last[1].text == "NaN or infinite"
    bars = [row[1].bar for row in finite]
    assert None not in bars
    assert max(bar or 0.0 for bar in bars) == 1.0


def test_the_reason_that_the_lesson_gives_fits_a_long_step_that_ends_lower(text_run: MakeTextRun, measure: Measure) -> None:
    steps = next(lesson.steps for lesson in lessons() if lesson.name == "training")
    options = next(step.live.options for step in steps if step.live and step.live.options.get("experiment") == "gradient_descent")
    result = measure("gradient_descent", with_text(text_run(width=64), "a" * 400), inputs={"rate": options["rate"]})
    guess = parse_experiment_guess(options)
    assert [guess.choices[at] for at in guess.right(result)] == ["lower"]
    assert "may end lower" in guess.whys[0]


OracleOf = Callable[..., Oracle]


def test_the_loss_at_each_position_is_that_of_a_second_gpt2(text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf) -> None:
    tiny = text_run(context=6)
    result = measure("loss_by_position", tiny)
    found = []
    for row in windows(tiny, "validation text", 128, 7):
        p = oracle_of(tiny, row[:-1].tolist()).values["probability"]
        found.append([-math.log(p[at, row[1 + at]]) for at in range(6)])
    losses = np.array(found)
    assert (result.measures["windows"], result.measures["part"]) == (len(losses), "validation text")
    assert result.measures["first"] == pytest.approx(losses[:, 0].mean(), abs=1e-4)
    assert result.measures["last"] == pytest.approx(losses[:, 3:].mean(), abs=1e-4)
    falls = losses[:, 0] - losses[:, 3:].mean(1)
    assert result.measures["fall_error"] == pytest.approx(falls.std(ddof=1) / math.sqrt(len(falls)), rel=1e-3)
    assert [row[0].text for row in rows(result)] == ["1", "2", "3 to 4", "5 to 6"]


def test_a_token_before_the_window_changes_nothing_and_one_inside_does(
    text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf
) -> None:
    tiny = with_text(text_run(context=4), "abbaabab" * 60)  # so few letters that some would be replaced by themselves
    found = measure("reach_of_window", tiny)
    assert found.measures["beyond"] == 0
    assert [row[0].text for row in rows(found)] == ["1", "2", "4", "5", "8"]
    pieces = windows(tiny, "validation text", 16, 8)
    ids = sorted(set(pieces.flatten().tolist()))
    for name, distance in (("nearest", 1), ("farthest", 4)):
        changes = []
        for piece, other in zip(pieces[:, -4:], np.roll(pieces[:, 4], 1), strict=True):
            changed = piece.copy()
            next_id = ids[(ids.index(other) + 1) % len(ids)]
            changed[-distance] = other if other != piece[-distance] else next_id
            before, after = (oracle_of(tiny, each.tolist()).values["probability"][-1] for each in (piece, changed))
            changes.append(np.abs(before - after).sum() / 2)
        assert found.measures[name] == pytest.approx(np.mean(changes), abs=1e-5)


def test_a_text_of_one_letter_has_no_other_token_to_put_in(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = with_text(text_run(context=4), "a" * 400)
    with pytest.raises(UserError, match="one token over and over"):
        measure("reach_of_window", tiny)
    found = measure("loss_by_position", tiny)
    falls = abs(float(found.measures["fall_in_errors"])) > 2
    assert falls == ("no clear difference" not in found.view.sentence)  # the guess of the lesson and the sentence agree


def counted(config: ModelConfig) -> int:
    """Multiplications of a forward pass of a whole context and one unembedding, as torch counts them on shapes alone."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = GPT(config, seed=None)
        model.unembed(model.hidden(torch.zeros((1, config.context), dtype=torch.long, device="meta"))[:, -1])
    return counter.get_total_flops() // 2


def test_the_multiplications_are_those_that_torch_counts(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("forward_cost", tiny).measures
    assert found["total"] == counted(tiny.model.config)
    assert found["doubled"] == 4
    assert measure("forward_cost", tiny, inputs={"model": "GPT-2"}).measures["total"] == counted(config_of("GPT-2"))


def test_the_path_ends_in_the_model_s_own_next_token(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("whole_path", tiny).measures
    ids = tiny.tokenizer.encode(PROMPT)
    with torch.no_grad():
        probabilities = tiny.model(torch.tensor([ids]))[0, -1].softmax(-1)
    assert found["next"] == tiny.tokenizer.label(int(probabilities.argmax()))
    assert abs(float(found["probability"]) - float(probabilities.max())) < 1e-6
    assert (found["tokens"], found["layers"], found["vocabulary"]) == (len(ids), 2, len(probabilities))


def test_the_lines_fit_beside_their_labels_whatever_the_prompt(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=128)
    prompt = "一 long prompt of very many words\n" * 3
    ids = tiny.tokenizer.encode(prompt)
    for width, room, is_whole in ((0, WIDTH, False), (1, WIDTH, False), (100, 100, False), (600, 600, True)):
        found = rows(measure("whole_path", tiny, prompt, width=width))
        lines = {row[0].text: row[1].text for row in found}
        widest = max(map(cell_len, lines)) + GAP + max(map(cell_len, lines.values()))
        assert room - 8 < widest <= room or is_whole
        assert re.fullmatch(rf"{'' if is_whole else '… '}.*\b{ids[-1]}", lines["→ ids"]), "its end is what predicts"
        assert (len(lines["→ ids"].split()) == len(ids)) is is_whole
        assert lines[f"→ {len(ids)} tokens"].startswith("… ") is not is_whole


def test_the_lens_settles_where_the_final_norm_and_head_first_give_the_answer(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("lens_by_layer", tiny).measures
    ids = torch.tensor([tiny.tokenizer.encode(PROMPT)])
    with torch.no_grad():
        x = tiny.model.wte(ids) + tiny.model.wpe.weight[: ids.shape[1]]
        streams, layers = [x], [0]
        for number, block in enumerate(tiny.model.blocks, 1):
            x = x + block.attn(block.ln_1(x), None, 0)
            streams.append(x)
            x = x + block.mlp(block.ln_2(x))
            streams.append(x)
            layers += [number, number]
        tops = [int((tiny.model.ln_f(x) @ tiny.model.wte.weight.T)[0, -1].argmax()) for x in streams]
    first = next(i for i in range(len(tops)) if set(tops[i:]) == {tops[-1]})
    assert found["settled"] == layers[first]
    assert found["answer"] == tiny.tokenizer.label(tops[-1])


def test_the_nearest_of_a_few_rows() -> None:
    table = np.array([[1, 0], [2, 0], [0, 3], [0, 0], [1, 1]], dtype=np.float32)
    half = float(np.sqrt(0.5))
    assert abs(nearest_cosine(table, np.array([0])) - 1) < 1e-6, "its own multiple"
    assert abs(nearest_cosine(table, np.array([2, 4])) - half) < 1e-6
    assert nearest_cosine(table, np.array([3])) == 0, "a row of zeros"


def test_a_model_whose_rows_are_pairs_is_nearer_than_random_rows(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    with torch.no_grad():
        tiny.model.wte.weight[1::2] = tiny.model.wte.weight[: len(tiny.model.wte.weight) // 2 * 2 : 2]
    found = measure("nearest_rows", tiny).measures
    assert float(found["now"]) > float(found["at_init"])


def test_only_tokens_of_the_training_text_are_compared(text_run: MakeTextRun, measure: Measure) -> None:
    """Two tokens occur, with rows at a right angle; all others have one and the same row."""
    tiny = text_run()
    first, second = tiny.tokenizer.encode(" b")[-1], tiny.tokenizer.encode("a")[0]
    data = tiny.run.config.data
    ids = np.full(data.tokens, first, "<u2")
    ids[1 : data.split : 2] = second
    other = next(id_ for id_ in range(len(tiny.model.wte.weight)) if id_ not in (first, second))
    ids[data.split :] = other  # in the validation part alone
    (tiny.run.path / "tokens.bin").write_bytes(ids.tobytes())
    with torch.no_grad():
        tiny.model.wte.weight[:] = 1
        tiny.model.wte.weight[[first, second]] = torch.eye(2, tiny.model.config.width)
    found = measure("nearest_rows", tiny).measures
    assert abs(float(found["now"])) < 1e-6
    assert abs(float(found["unused_now"]) - 1) < 1e-6
    assert found["tokens"] == 2
    assert found["unused"] == len(tiny.model.wte.weight) - 2
    assert "moved together" in str(found["never"])
    assert "occur in the text" in str(found["sample"])


def test_without_its_text_a_run_is_compared_on_the_whole_vocabulary(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    (tiny.run.path / "tokens.bin").unlink()
    result = measure("nearest_rows", tiny)
    assert str(result.measures["sample"]).endswith("tokens of the vocabulary; the training text is not at hand")
    assert result.measures["unused"] == 0
    assert "tokens.bin" in result.missing


def test_the_dot_product_with_a_row_of_the_table_is_the_logit(
    tiny: TinyRun, measure: Measure, oracle_of: Callable[..., Oracle]
) -> None:
    found = measure("tied_table", tiny).measures
    oracle = oracle_of(tiny, tiny.tokenizer.encode("The big dog ran fast. The cat")[-16:])
    logits = oracle.values["logits"][-1]
    assert found["top"] == tiny.tokenizer.label(int(logits.argmax()))
    assert found["dot"] == pytest.approx(logits.max(), abs=1e-4)
    assert found["logit"] == pytest.approx(logits.max(), abs=1e-4)
    assert (found["tied"], found["vocabulary"], found["width"]) == (True, 275, 8)
