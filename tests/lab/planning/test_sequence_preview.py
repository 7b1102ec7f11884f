"""A text on its way to training windows: the preview is what a run makes of the same text."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from lab.core.errors import UserError
from lab.data.data_order import TrainingBatches
from lab.data.text_source import joined_source, open_corpus
from lab.data.token_file import TokenFile, token_dtype, tokenize_corpus
from lab.data.train_val_split import split_text
from lab.planning.default_hyperparameters import default_vocabulary
from lab.planning.prepare_text import train_tokenizer
from lab.planning.sequence_preview import (
    SplitRequest,
    compute_optimal_sentence,
    read_split,
    run_split_process,
    tokenize_start,
    windows_per_epoch,
)
from models.config import PRESETS, TokenizerKind


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Two documents of different words."""
    paths = [tmp_path / "one.txt", tmp_path / "two.txt"]
    paths[0].write_text("".join(f"The dog {number} ran home.\n" for number in range(300)))
    paths[1].write_text("".join(f"A cat sat on mat {number}, née 🙂.\n\n" for number in range(200)))
    return joined_source(str(path) for path in paths)


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_tokens_and_border_are_those_of_a_run(source: str, tmp_path: Path, kind: TokenizerKind) -> None:
    corpus = open_corpus(source)
    split = split_text(corpus)
    tokenizer = train_tokenizer(kind, default_vocabulary("nano", corpus.bytes), corpus, split, lambda _: None)
    facts = tokenize_corpus(corpus, split, tokenizer, tmp_path / "tokens.bin")
    ids = TokenFile(tmp_path / "tokens.bin", token_dtype(tokenizer.vocab_size)).ids

    shown = read_split(source, None)
    tokens = tokenize_start(shown, kind, "nano")

    assert (shown.bytes, shown.split) == (corpus.bytes, split.split)
    assert shown.starts == (0, (tmp_path / "one.txt").stat().st_size)
    assert tokens.text.is_whole
    assert list(tokens.ids) == ids[: facts.split].tolist()
    assert tokens.tokenizer.end_of_text in tokens.ids
    text = b"".join(chunk.encode() for chunk in corpus.chunks())
    assert text[: split.split].decode().endswith(shown.before)
    assert text[split.split :].decode().startswith(shown.after)


def test_windows_share_a_token_and_a_longer_text_is_estimated(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tokenize_start(read_split(source, None), "bytes", "nano")
    first, second = tokens.window(0, 64), tokens.window(1, 64)
    assert len(first) == len(second) == 65
    assert first[-1] == second[0]
    assert len(tokens.window(tokens.windows_to_show(64) - 1, 64)) == 65
    assert tokens.text.is_whole
    assert tokens.windows_to_show(64) == windows_per_epoch(tokens.train_tokens, 64), "one number on one page"
    exact = tokenize_start(read_split(source, None), "bytes", "nano")
    monkeypatch.setattr("lab.planning.sequence_preview.SAMPLE_BYTES", 100)
    tokens = tokenize_start(read_split(source, None), "bytes", "nano")
    assert not tokens.text.is_whole
    assert len(tokens.ids) < len(exact.ids)
    assert tokens.train_tokens == pytest.approx(exact.train_tokens, rel=0.01)


@pytest.mark.parametrize("count", [65, 128, 129, 193, 1000, 4096])
def test_windows_of_an_epoch_are_those_of_the_data_order(count: int, tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    path.write_bytes(np.zeros(count, "<u2").tobytes())
    order = TrainingBatches(TokenFile(path, np.dtype("<u2")), 0, count, 64, 4, 1)
    assert windows_per_epoch(count, 64) == order.windows


def test_chinchilla_is_told_with_the_texts_own_number() -> None:
    config = PRESETS["nano"].config(512)  # 137k parameters: 2.75M tokens at 20 each
    assert "times those of this text; a small run sees its text again" in compute_optimal_sentence(20_000, config)
    large = PRESETS["small"].config(4096)  # 2,000 steps of 16 windows of 256 tokens: 8,192,000
    assert compute_optimal_sentence(16_384_000, large).endswith("; 2,000 steps see 50.0% of this text.")
    assert compute_optimal_sentence(137_024 * 40, config).endswith("this text has 2.00 times that.")


def test_a_process_reads_the_same_split_and_says_what_is_wrong_with_a_text(source: str, tmp_path: Path) -> None:
    rules = ("line-endings", "blank-lines")
    request = SplitRequest(source, None, rules)
    assert asyncio.run(run_split_process(request, lambda done, total: None)) == read_split(source, None, cleaning=rules)
    with pytest.raises(UserError, match="missing"):
        asyncio.run(run_split_process(SplitRequest(str(tmp_path / "missing.txt"), None, rules), lambda done, total: None))
