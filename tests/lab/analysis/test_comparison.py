"""What is said of runs beside each other, checked against numbers worked out by hand."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from lab.analysis.comparable_runs import in_bits, same_tokens
from lab.analysis.compared_run import ComparedRun, furthest_common, stops, vocabulary_of, written_at
from lab.analysis.comparison import ComparisonRow, differences, results, unit_note, verdict
from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory, RunFollower
from lab.runs.run_schema import FinalEvaluation, Metric, Sample, Status, TokenizerConfig, ValidationSegments
from lab.runs.schema_parts import CopiedShare, Holdout
from models.config import ModelConfig
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.runs.made_up_runs import config as made_up_config

PART, ALL = "on 50 of 100 bytes of validation text", "on all 100 bytes of validation text"
NATS = "Losses are in nats per token."


def contender(letter: str = "A", name: str = "", losses: dict[int, float] | None = None, **facts: Any) -> ComparedRun:
    """A run of 400 steps of 64 tokens each; `losses` are those of its evaluations, in nats per token of two bytes each."""
    kind = facts.get("kind", "bytes")
    before, made = facts.get("before"), made_up_config(**{"batch": 4, "steps": 400, **facts.get("train", {})})
    data = msgspec.structs.replace(
        made.data,
        name=facts.get("text", "tale"),
        sha256=facts.get("sha256", "abcdef012345"),
        tokens=500,
        split=450,
        evaluated=None if before else ValidationSegments(((450, 475),), 50, "of the 50 bytes"),
        final=None if before else ValidationSegments(((450, 500),), 100, "of all 100 bytes"),
        cleaning=facts.get("cleaning", ("line-endings",)),
    )
    model = ModelConfig(layers=2, heads=2, width=facts.get("width", 16), context=16, vocab_size=256)
    tokenizer = TokenizerConfig(kind=kind, vocab_size=256)
    config = msgspec.structs.replace(made, model=model, tokenizer=tokenizer, data=data)
    history = LossHistory()
    history.add(
        Metric(
            step=step,
            tokens=step * 64,
            epoch=0.0,
            seconds=step * 0.5,
            loss=loss,
            val_loss=loss,
            bits_per_byte=loss / math.log(2) / facts.get("bytes_per_token", 2.0),
        )
        for step, loss in (losses or {}).items()
    )
    status = Status(phase="finished", step=max(losses or {0: 0}), steps=config.train.steps, seconds=200.0)
    if whole_loss := facts.get("whole"):
        bits = whole_loss / math.log(2) / facts.get("bytes_per_token", 2.0)
        status.final_best = FinalEvaluation(step=400, tokens=50, bytes=100, val_loss=whole_loss, bits_per_byte=bits)
    status.eval_tokens = 25 if before else 0
    phase = facts.get("phase", "finished")
    run = ComparedRun(letter, name or letter.lower(), facts.get("vocabulary", kind), config, status, phase, history)
    run.samples = [Sample(step=step, prompt="The", text=f" {letter}{step}") for step in (losses or {})]
    return run


def rows_of(*runs: ComparedRun) -> dict[str, ComparisonRow]:
    """The table of results by label."""
    return {row.label: row for row in results(runs)}


def is_best(row: ComparisonRow, winner: int | None, *values: str) -> bool:
    return (row.values, row.winner) == (values, winner)


def test_the_better_run_and_by_how_much() -> None:
    runs = [contender("A", "slow", {0: 5.0, 200: 3.0, 400: 2.5}), contender("B", "quick", {0: 5.0, 200: 2.0, 400: 2.2})]
    best = f"B quick is better {PART}: a loss of 2.000 at its best"
    assert verdict(runs) == f"{best} against 2.500 of A slow, 0.500 less (20%). {NATS}"
    assert unit_note(runs) == ""
    assert not in_bits(runs)
    runs = [contender("A", "slow", {0: 5.0, 200: 2.6129}), contender("B", "quick", {0: 5.0, 200: 2.5974})]
    assert "a loss of 2.597 at its best against 2.613 of A slow, 0.016 less" in verdict(runs), "of the numbers in sight"


def test_runs_that_have_ended_are_ranked_on_the_whole_validation_part() -> None:
    """In the evaluations during training, on a part of it, they stand the other way round."""
    slow, quick = contender("A", "slow", {0: 5.0, 400: 2.0}, whole=2.5), contender("B", "quick", {0: 5.0, 400: 2.2}, whole=2.4)
    best = f"B quick is better {ALL}: a loss of 2.400 at its best"
    assert verdict([slow, quick]) == f"{best} against 2.500 of A slow, 0.100 less (4.0%). {NATS}"
    rows = rows_of(slow, quick)
    assert is_best(rows["best val loss"], 1, "2.500", "2.400")
    assert rows["… evaluated on"].values == ("all 100 bytes", "all 100 bytes")
    going = contender("B", "quick", {0: 5.0, 400: 2.2}, phase="training")
    assert verdict([slow, going]).startswith(f"A slow is better {PART}: a loss of 2.000 at its best")
    rows = rows_of(slow, going)
    assert is_best(rows["best val loss"], 0, "2.000", "2.200")
    assert rows["… evaluated on"].values == ("50%, 50 bytes", "50%, 50 bytes")


def test_runs_evaluated_on_other_parts_of_a_text_are_not_ranked() -> None:
    """Runs from before were evaluated on the first tokens of a validation part that began elsewhere for every tokenizer."""
    old, new = contender("A", "old", {0: 5.0, 400: 2.0}, before=True), contender("B", "new", {0: 5.0, 400: 2.2}, whole=2.4)
    apart = "they were evaluated on different parts of the text (A 25 of 50 tokens; B 50 of 100 bytes)."
    said = verdict([old, new])
    assert said.startswith(f"They do not compare: {apart}")
    assert "better" not in said
    rows = rows_of(old, new)
    assert is_best(rows["best val loss"], None, "2.000", "2.400")
    assert rows["… in bits/byte"].winner is None
    assert rows["… evaluated on"].values == ("50%, 25 tokens", "all 100 bytes")
    third = contender("C", "other", {0: 5.0, 400: 1.9})
    said = verdict([old, new, third])
    assert said.startswith(f"C other is better {PART}: a loss of 1.900 at its best against 2.200 of B new, 0.300 less (14%). ")
    assert "A does not compare with them, evaluated on another part of the text." in said
    assert rows_of(old, new, third)["best val loss"].winner is None
    same = contender("B", "old too", {0: 5.0, 400: 2.2}, before=True)
    assert verdict([old, same]).startswith("A old is better on 25 of 50 tokens of validation text")
    other = contender("B", "gpt2", {0: 5.0, 400: 2.2}, before=True, kind="gpt2")
    assert verdict([old, other]).startswith("They do not compare")


def test_an_older_run_that_was_evaluated_on_the_whole_part_is_ranked_with_the_results_at_the_end() -> None:
    """As the demo was: its validation part begins at a token, those of today where the text alone says."""
    old, new = contender("A", "old", {0: 5.0, 400: 2.0}, before=True), contender("B", "new", {0: 5.0, 400: 2.2}, whole=2.4)
    old.status.eval_tokens = 50
    best = f"A old is better {ALL}: a loss of 2.000 at its best"
    assert verdict([old, new]) == f"{best} against 2.400 of B new, 0.400 less (17%). {NATS}"
    rows = rows_of(old, new)
    assert is_best(rows["best val loss"], 0, "2.000", "2.400")
    assert rows["… evaluated on"].values == ("all 100 bytes", "all 100 bytes")
    longer = msgspec.structs.replace(old.config.data, val_bytes=101, train_bytes=899)
    old.config = msgspec.structs.replace(old.config, data=longer)
    assert verdict([old, new]).endswith(f"Their validation parts, the end of the text, begin 1 byte apart. {NATS}")
    elsewhere = msgspec.structs.replace(old.config.data, val_bytes=200, train_bytes=800)
    old.config = msgspec.structs.replace(old.config, data=elsewhere)
    assert verdict([old, new]).startswith("They do not compare"), "another tenth of the text"
    old.phase = "training"
    assert old.final is None


def test_three_runs_are_ranked_and_runs_that_are_alike_are_called_so() -> None:
    runs = [contender(letter, losses={400: loss}) for letter, loss in (("A", 2.5), ("B", 2.0), ("C", 2.25))]
    best = f"B b is best {PART}: a loss of 2.000 at its best"
    assert verdict(runs) == f"{best}; then C c 2.250, +0.250; A a 2.500, +0.500. {NATS}"
    runs = [contender("A", losses={400: 2.0}), contender("B", losses={400: 2.005})]
    assert verdict(runs) == f"A a and B b are alike {PART}: a loss of 2.000 and 2.005 at their best. {NATS}"
    runs.append(contender("C", losses={400: 3.0}))
    assert verdict(runs).endswith(f"at their best; then C c 3.000, +1.000. {NATS}")
    runs[1] = contender("B", losses={400: 2.02})
    assert "alike" not in verdict(runs)


def test_other_tokens_or_texts_are_compared_in_bits_per_byte() -> None:
    """3 nats a token of 4 bytes are less a byte than 2 nats a token of 1 byte."""
    gpt2 = contender("B", losses={400: 3.0}, kind="gpt2", bytes_per_token=4.0)
    runs = [contender("A", losses={400: 2.0}, bytes_per_token=1.0), gpt2]
    assert not same_tokens(runs)
    a, b = 2 / math.log(2), 3 / math.log(2) / 4
    assert verdict(runs).startswith(f"B b is better {PART}: a loss of {b:.3f} at its best against {a:.3f}")
    kinds = "A bytes 256, B gpt2 256"
    assert unit_note(runs) == f"Their tokenizers differ ({kinds}): losses per token do not compare, bits per byte do."
    by_label = rows_of(*runs)
    assert by_label["… in bits/byte"].winner == 1
    assert by_label["best val loss"].winner is None, "2 nats a byte are not better than 3 nats in 4 bytes"
    both = [runs[0], contender("B", losses={400: 3.0}, kind="gpt2", text="saga", sha256="999999")]
    differ = f"Their tokenizers ({kinds}) and texts (A tale, B saga) differ"
    assert unit_note(both) == f"{differ}: only bits per byte compare, and one text may be easier."
    alike = [contender("A", losses={400: 2.0}), contender("B", losses={400: 2.0}), contender("C", losses={400: 3.0}, sha256="99")]
    assert "Their texts differ (A B tale, C another tale):" in unit_note(alike)
    texts = [contender("A", losses={400: 2.0}), contender("B", losses={400: 3.0}, text="saga", sha256="999999")]
    assert same_tokens(texts)
    assert in_bits(texts)
    assert unit_note(texts) == "Their texts differ (A tale, B saga): one may be easier to predict than another, in any unit."
    cleaned = [texts[0], contender("B", losses={400: 3.0}, sha256="999999", cleaning=("broken-text", "blank-lines"))]
    assert "(A tale after line-endings, B tale after broken-text, blank-lines): " in unit_note(cleaned)
    lower = "A a has the lower loss, each on its own validation text: "
    assert verdict(texts).startswith(lower), "also where the note has no room"


def test_a_run_that_has_seen_less_is_compared_at_its_end_too() -> None:
    runs = [
        contender("A", losses={0: 5.0, 200: 3.0, 400: 2.0}),
        contender("B", losses={0: 5.0, 100: 4.0, 200: 2.5}, phase="training"),
    ]
    runs[1].status = Status(phase="training", step=200, steps=400)
    said = verdict(runs)
    assert "A a is better" in said
    assert "In evaluations during training, after about the same 12.8k tokens: A 3.000, B 2.500 nats per token." in said
    seldom = contender("A", losses={0: 5.0, 400: 2.0})
    assert "After about" not in verdict([seldom, runs[1]]), "it was evaluated at no such time"
    assert said.endswith("B is still training, 50% done.")


def test_nothing_is_said_of_runs_that_have_not_learned_anything() -> None:
    nothing = "has been evaluated since its first step, so there is nothing to compare yet."
    assert verdict([contender("A"), contender("B", losses={0: 5.0})]) == f"None of them {nothing}"
    begun = contender("A", losses={0: 1.0}, phase="training")
    begun.status = Status(phase="training", step=0, steps=400)
    assert verdict([begun, contender("B", losses={0: 5.0, 400: 2.0})]) == f"Only B b {nothing} A is still training, 0% done."


def test_the_table_has_what_each_came_to() -> None:
    runs = [contender("A", losses={0: 5.0, 200: 2.0, 400: 2.5}), contender("B", losses={})]
    by_label = {label: row.values for label, row in rows_of(*runs).items()}
    assert by_label["best val loss"] == ("2.000", "·")
    assert by_label["… at step"] == ("200", "·")
    assert by_label["… in bits/byte"] == (f"{1 / math.log(2):.3f}", "·")
    assert by_label["tokens seen"] == ("25.6k", "·")
    assert by_label["time training"] == ("3 min 20 s", "3 min 20 s")
    width = 16
    assert by_label["parameters"][0] == f"{(2 * (12 * width**2 + 13 * width) + 256 * width + 16 * width + 2 * width) / 1000:.1f}k"


def test_only_settings_that_differ_are_listed() -> None:
    same = [contender("A"), contender("B")]
    assert differences(same) == []
    runs = [contender("A", train={"lr": 0.002}), contender("B", width=32, train={"lr": 0.006, "steps": None, "minutes": 5.0})]
    listed = {row.label: row.values for row in differences(runs)}
    length = {"steps": ("400", "·"), "minutes": ("·", "5")}
    assert listed == {"width": ("16", "32"), **length, "learning rate": ("0.002", "0.006")}
    texts = [contender("A", sha256="111111aa"), contender("B", sha256="222222bb")]
    assert [row.values for row in differences(texts)] == [("tale, 1,000 bytes, 111111", "tale, 1,000 bytes, 222222")]
    vocabularies = [contender("A", "one", kind="bpe", vocabulary="x"), contender("B", "two", kind="bpe", vocabulary="y")]
    assert [row.values for row in differences(vocabularies)] == [("bpe of one", "bpe of two")]


def test_samples_are_taken_at_the_same_share_of_training_by_steps_or_by_minutes() -> None:
    long = contender("A", losses={0: 5.0, 200: 3.0, 400: 2.0})
    short = contender("B", losses={0: 5.0, 50: 3.0, 100: 2.0}, train={"steps": 100})
    assert stops([long, short]) == [0.0, 0.5, 1.0]
    written = [[sample.text for run in (long, short) for sample in written_at(run, stop)] for stop in (0.0, 0.5, 1.0)]
    assert written == [[" A0", " B0"], [" A200", " B50"], [" A400", " B100"]]
    going = contender("B", losses={0: 5.0, 50: 3.0}, train={"steps": 100}, phase="training")
    assert furthest_common([long, going]) == 1
    assert written_at(going, 1.0) == []
    assert furthest_common([long, contender("B")]) == 2
    run = contender("A", losses={0: 5.0, 60: 3.0}, train={"steps": None, "minutes": 1.0}, phase="stopped")
    assert run.share(60) == 0.5, "60 steps of half a second are half of a minute"
    timed = contender("A", losses={0: 5.0, 60: 3.0, 120: 2.0}, train={"steps": None, "minutes": 1.0}, phase="finished")
    timed.status = Status(phase="finished", step=120, seconds=60.9)
    counted = contender("B", losses={0: 5.0, 50: 3.0, 100: 2.0}, train={"steps": 100}, phase="finished")
    assert stops([timed, counted])[-2:] == [0.5, 1.0]
    assert furthest_common([timed, counted]) == len(stops([timed, counted])) - 1
    assert [sample.text for run in (timed, counted) for sample in written_at(run, 1.0)] == [" A120", " B100"]


def test_news_are_taken_in_as_they_come(empty_run: Any) -> None:
    run: Run = empty_run("tale")
    first = Metric(step=0, tokens=0, epoch=0.0, seconds=0.0, val_loss=5.0, bits_per_byte=5.0)
    run.metrics_path.write_bytes(msgspec.json.encode(first) + b"\n")
    feed = RunFollower(run)
    news = feed.read()
    taken = ComparedRun("A", "tale", "bytes", news.config, news.status, news.phase, LossHistory())
    taken.apply(news)
    assert taken.best == first
    second = Metric(step=9, tokens=9, epoch=0.0, seconds=1.0, loss=3.0, val_loss=4.0, bits_per_byte=4.0)
    with run.metrics_path.open("ab") as file:
        file.write(msgspec.json.encode(second) + b"\n")
    run.status_path.write_bytes(msgspec.json.encode(Status(phase="finished", step=9)))
    taken.apply(feed.read())
    assert (taken.best, taken.phase, list(taken.history.val_losses)) == (second, "finished", [5.0, 4.0])
    run.path.rename(run.path.with_name("saga"))
    with pytest.raises(UserError, match="tale is gone"):
        feed.read()


def test_vocabularies_learned_from_other_texts_are_not_the_same(empty_run: Any) -> None:
    runs = [empty_run("a"), empty_run("b"), empty_run("c")]
    for run, text in zip(runs, ("the cat sat " * 50, "the cat sat " * 50, "a big dog ran " * 50), strict=True):
        config = msgspec.structs.replace(
            run.config, tokenizer=TokenizerConfig(kind="bpe", vocab_size=262), model=replace(run.config.model, vocab_size=262)
        )
        (run.path / "config.json").write_bytes(msgspec.json.encode(config))
        del run.config
        Tokenizer.train([text], 262).save(run.tokenizer_path)
    a, b, c = (vocabulary_of(run) for run in runs)
    assert a == b != c
    runs[0].tokenizer_path.unlink()
    with pytest.raises(UserError, match="Cannot read the tokenizer of a"):
        vocabulary_of(runs[0])


@pytest.mark.parametrize(
    ("shares", "said", "row"),
    [
        ((0.0, 0.05), "", ("0%", "5.0%")),
        ((0.5, 0.5), "this much also stands in the training text: A 50.0%, B 50.0%.", ("50.0%",) * 2),
        ((0.5, None), "this much also stands in the training text: A 50.0%.", ("50.0%", "·")),
        ((None, None), "", None),
    ],
)
def test_validation_text_that_was_trained_on_is_said(
    shares: tuple[float | None, ...], said: str, row: tuple[str, ...] | None
) -> None:
    runs = [contender(letter, letter.lower(), {0: 5.0, 400: 3.0}) for letter in "AB"]
    for run, share in zip(runs, shares, strict=True):
        run.copied = None if share is None else CopiedShare(share)
    words = verdict(runs)
    assert said in words
    assert ("training text" in words) == bool(said)
    found = rows_of(*runs).get("… in training")
    assert (found.values if found else None) == row


def test_runs_on_other_texts_with_one_text_for_validation_are_compared_on_it() -> None:
    runs = [contender("A", "a", {0: 5.0, 400: 3.0}, sha256="one"), contender("B", "b", {0: 5.0, 400: 2.0}, sha256="two")]
    assert "each on its own validation text" in verdict(runs)
    for run in runs:
        data = msgspec.structs.replace(run.config.data, holdout=Holdout(source="other.txt", sha256="other"))
        run.config = msgspec.structs.replace(run.config, data=data)
    assert verdict(runs).startswith(f"B b is better {PART}")
    assert "texts differ" not in verdict(runs)
