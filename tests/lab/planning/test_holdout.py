import json
from pathlib import Path
from typing import Any

import pytest

from lab.cli.commands.train_command import description
from lab.core.errors import UserError
from lab.core.machine import machine
from lab.data.source_files import change_of_text
from lab.data.text_source import open_corpus
from lab.data.train_val_split import HELD_BLOCKS, split_text
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.settings_form import cloned_settings, make_plan, text_problem
from lab.planning.settings_table import RunRequest, Settings
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.schema_parts import Holdout
from lab.tokenization.learnable_text import read_run_text
from tests.fixture_types import Call

LINES = [f"Line {number} tells of {number * number} dogs and {number % 7} cats.\n" for number in range(2000)]
TEXT = "".join(LINES)
OTHER = "".join(f"Another line, the {number}th of all.\n" for number in range(300))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "other.txt").write_text(OTHER)
    path = tmp_path / "tale.txt"
    path.write_text(TEXT)
    return path


def request(text: Path, **asked: Any) -> RunRequest:
    return RunRequest(text=str(text), preset="nano", device="cpu", steps=2, **({"tokenizer": "bytes"} | asked))


def parts_of(run: Run) -> tuple[str, str]:
    """The two parts as its tokens hold them."""
    import numpy as np

    ids = np.fromfile(run.tokens_path, "<u2").tolist()
    tokenizer, split = tokenizer_of(run), run.config.data.split
    return tokenizer.decode(ids[:split]), tokenizer.decode(ids[split:])


@pytest.mark.parametrize(("share", "tokenizer"), [(0.02, "bpe"), (0.5, "bytes")])
def test_the_share_and_the_seed_choose_lines_and_lose_none(home: Path, text: Path, share: float, tokenizer: str) -> None:
    ends = parts_of(prepare_run(request(text, val_share=share, tokenizer=tokenizer)))
    assert "".join(ends) == TEXT
    assert len(ends[1]) == pytest.approx(share * len(TEXT), rel=0.05)
    drawn = []
    for seed in (1, 2):
        train, held = parts_of(prepare_run(request(text, val_share=share, split_seed=seed, tokenizer=tokenizer)))
        assert sorted(train.splitlines() + held.splitlines()) == sorted(TEXT.splitlines()), "cut between lines"
        assert len(held) == pytest.approx(share * len(TEXT), rel=0.1)
        lines = set(held.splitlines())
        assert train.splitlines() == [line for line in TEXT.splitlines() if line not in lines], "in their order"
        drawn.append(held)
    assert drawn[0] != drawn[1]


def test_blocks_are_from_all_over_the_text_and_the_same_for_every_tokenizer(text: Path) -> None:
    corpus = open_corpus(str(text), holdout=Holdout(seed=5))
    split = split_text(corpus)
    assert split == split_text(open_corpus(str(text), holdout=Holdout(seed=5)))
    assert HELD_BLOCKS / 2 < len(split.held) <= HELD_BLOCKS
    assert split.held[0][0] < len(TEXT) / 3 < 2 * len(TEXT) / 3 < split.held[-1][1]


def test_a_text_of_its_own_is_the_validation_part_and_its_copy_is_said(home: Path, text: Path) -> None:
    other = text.parent / "other.txt"
    run = prepare_run(request(text, validation=str(other)))
    assert parts_of(run) == (TEXT, OTHER)
    data = run.config.data
    assert (data.train_bytes, data.val_bytes, data.bytes) == (len(TEXT), len(OTHER), len(TEXT))
    assert run.config.tokenizer.vocab_size == 256, "one text and one for validation need no end-of-text token"
    assert data.copied is not None
    assert data.copied.share == 0.0
    same = prepare_run(request(text, validation=str(text)))
    assert same.config.data.copied is not None
    assert same.config.data.copied.share == 1.0
    assert "(a text of its own)" in description(same)
    assert "\n100% of the validation text also stands in the training text" in description(same)
    other.write_text(OTHER + "More.\n")
    assert "other.txt, its text for validation, has changed" in text_problem(run.config)
    assert "other.txt has changed" in change_of_text(data, 0.0)


def test_of_several_documents_each_begins_after_an_end_of_text_token(home: Path, text: Path) -> None:
    run = prepare_run(request(text, validation=str(text.parent)))
    train, held = parts_of(run)
    assert train == TEXT + "<|endoftext|>"
    assert held == f"{OTHER}<|endoftext|>{TEXT}"


@pytest.mark.parametrize(
    ("asked", "learned_from"),
    [({"val_share": 0.3}, None), ({"split_seed": 3}, None), ({"validation": "other.txt"}, TEXT)],
    ids=["share", "seed", "text"],
)
def test_a_clone_is_the_same_run_again_and_its_vocabulary_is_that_of_its_part(
    home: Path, text: Path, asked: dict[str, Any], learned_from: str | None
) -> None:
    if "validation" in asked:
        asked = {"validation": str(text.parent / asked["validation"])}
    run = prepare_run(request(text, tokenizer="bpe", vocab=300, **asked))
    plan = make_plan(cloned_settings(run.config), TextSize(str(text)), machine())
    assert plan.request is not None
    assert prepare_run(plan.request).config.data == run.config.data
    assert text_problem(run.config) == ""
    learnable, _ = read_run_text(run.name)
    train = learned_from or parts_of(run)[0]
    assert learnable.excerpt == train[: len(learnable.excerpt)]
    assert sum(len(word) * times for word, times in learnable.words.items()) == len(train)


def test_what_is_kept_of_a_text_is_not_taken_for_another_choice(home: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.prepare_run.LEAST_TEXT", 1)
    monkeypatch.setattr("lab.planning.text_stamp.SETTLED_SECONDS", -3600.0)
    asks = [{}, {"val_share": 0.3}, {"split_seed": 1}, {"split_seed": 2}, {"validation": str(text.parent / "other.txt")}]
    first = [prepare_run(request(text, tokenizer="bpe", vocab=300, **asked)).config for asked in asks]
    assert len({config.data.tokens_sha256 for config in first}) == len(asks)
    again = [prepare_run(request(text, tokenizer="bpe", vocab=300, **asked)).config for asked in asks]
    assert [config.data for config in again] == [config.data for config in first]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--validation", "FILE", "--val-share", "0.2"), "is used whole"),
        (("--validation", "FILE", "--split-seed", "2"), "is used whole"),
        (("--validation", "nope.txt"), "nope.txt does not exist"),
        (("--val-share", "0.9"), "at most 0.5"),
        (("--validation", ""), "The name of the text for validation is empty"),
    ],
)
def test_mistakes(llmlab: Call, text: Path, options: tuple[str, ...], words: str) -> None:
    named = [str(text.parent / "other.txt") if each == "FILE" else each for each in options]
    llmlab("train", text, "--no-start", *named).assert_mistake(words)


def test_the_commands_say_the_same_share(llmlab: Call, home: Path, text: Path) -> None:
    text.write_text(TEXT + TEXT[: len(TEXT) // 15] + OTHER[:3000])
    words = "% of the validation text also stands in the training text, in passages of 50 characters or more"
    said = llmlab("train", text, "--name", "mine", "--tokenizer", "bytes", "--no-start", "--steps", 2).out
    share = said[: said.index(words)].split()[-1]
    assert 20 < float(share) < 90
    assert f"last 10% of the text; {share}{words}" in " ".join(llmlab("data", text).out.split())
    exact = json.loads(llmlab("data", text, "--json").out)["validation"]["share"]
    assert f"{100 * exact:.1f}" == share
    assert json.loads(llmlab("runs", "--json").out)[0]["copied"] == {"share": exact, "error": 0.0}


def test_a_plan_is_of_the_part_that_is_trained_on(text: Path) -> None:
    def planned(**typed: str) -> int | None:
        plan = make_plan(Settings(**typed), TextSize(str(text), bytes=len(TEXT), tokens=30_000), machine())
        assert plan.run is not None
        return plan.run.text.train_tokens

    assert [planned(), planned(val_share="0.5"), planned(validation="other.txt")] == [27_000, 15_000, 30_000]


def test_a_part_too_short_for_a_window_is_not_called_the_last(home: Path, text: Path) -> None:
    text.write_text(TEXT[:2000])
    with pytest.raises(UserError, match=r"of which [\d,]+ are for validation"):
        prepare_run(request(text, split_seed=1, context=300))
