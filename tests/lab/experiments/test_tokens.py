"""Vocabularies, pieces and rules, against the tokenizers' own encoding and the funnel of one rule."""

from lab.data.cleaning.measure_funnel import measure_funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.tokens import MEASURED
from lab.lessons.lesson import lessons
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.experiments.conftest import MakeTextRun, Measure, TinyRun, rows


def test_the_parts_add_up_to_the_tokenizer_s_size(tiny: TinyRun, measure: Measure) -> None:
    found = measure("vocabulary", tiny).measures
    assert found["own_vocabulary"] == tiny.tokenizer.vocab_size
    assert (found["own_single_bytes"], found["own_merges"]) == (256, tiny.tokenizer.vocab_size - 256)
    assert (found["vocabulary"], found["single_bytes"], found["merges"], found["special"]) == (50_257, 256, 50_000, 1)


def test_the_pieces_are_the_tokens_of_the_whole_phrase(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    phrase = "running runs ran, 3 times"
    found = measure("pieces", tiny, inputs={"phrase": phrase})
    assert found.measures["own"] == len(tiny.tokenizer.encode(phrase))
    gpt2 = Tokenizer.gpt2()
    assert found.measures["gpt2"] == len(gpt2.encode(phrase))
    shown = [cell.text for row in rows(found) for cell in row[2:]]
    assert "│".join(shown) == "│".join(gpt2.label(id_).replace(" ", "␣") for id_ in gpt2.encode(phrase))
    assert shown[1].startswith("␣"), "a space that belongs to a word is to be seen"


def test_words_that_share_a_token_are_told_from_those_that_do_not(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
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
