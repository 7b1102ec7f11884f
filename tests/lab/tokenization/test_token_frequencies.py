"""Token frequencies against counts by other means."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tiktoken

from lab.core.errors import UserError
from lab.data.text_source import open_corpus
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run
from lab.tokenization import token_frequencies
from lab.tokenization.token_facts import frequency_fact
from lab.tokenization.token_frequencies import TokenFrequencies, frequencies_in_run, frequencies_in_text
from models.tokenizers.gpt2_vocabulary_files import vocabulary
from models.tokenizers.tokenizer import PATTERN, Tokenizer

TEXT = "The big dog ran. The big dog naps 🙂\n\nThe café's 12345 dogs.\n" * 40


def test_a_text_has_the_counts_of_tiktokens_ids(tmp_path: Path) -> None:
    path = tmp_path / "dogs.txt"
    path.write_text(TEXT)
    encoding = tiktoken.Encoding(
        "gpt2", pat_str=PATTERN, mergeable_ranks={token: id for id, token in enumerate(vocabulary())}, special_tokens={}
    )
    expected = Counter(encoding.encode_ordinary(TEXT))
    done = []
    found = frequencies_in_text(open_corpus(str(path)), Tokenizer.gpt2(), lambda bytes_, total: done.append(bytes_))
    assert {id: count for id, count in enumerate(found.counts.tolist()) if count} == expected
    assert found.total == sum(expected.values())
    assert found.never_used == 50_257 - len(expected)
    assert done[-1] == len(TEXT.encode())
    falling = sorted(expected, key=lambda id: (-expected[id], id))
    assert [found.rank(id) for id in falling] == list(range(1, len(falling) + 1))
    assert found.corpus == "dogs"


def test_a_folder_is_counted_anew_when_one_of_its_files_changes(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("The dog ran.")
    tokenizer = Tokenizer.bytes_(end_of_text=True)
    found = frequencies_in_text(open_corpus(str(tmp_path)), tokenizer)
    assert frequencies_in_text(open_corpus(str(tmp_path)), tokenizer) is found
    (tmp_path / "b.txt").write_text("The cat sat, too.")
    assert frequencies_in_text(open_corpus(str(tmp_path)), tokenizer).total == found.total + 5


def test_a_run_has_the_counts_of_its_training_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run("demo")
    ids = np.fromfile(run.tokens_path, "<u2").tolist()
    monkeypatch.setattr(token_frequencies, "COUNTED_TOKENS", 100_000)
    token_frequencies._kept.clear()
    progress: list[tuple[int, int]] = []
    found = frequencies_in_run(run, lambda done, total: progress.append((done, total)))
    expected = Counter(ids[: run.config.data.split])
    assert found.counts.tolist() == [expected[id] for id in range(run.config.model.vocab_size)]
    assert (found.total, found.corpus) == (run.config.data.split, "the training part of demo")
    assert progress[-1] == (run.config.data.split, run.config.data.split)
    assert len(progress) == 7
    assert frequencies_in_run(run) is found, "the second time it is known"


def test_a_damaged_token_file_is_one_sentence(empty_run: Callable[..., Run]) -> None:
    run = empty_run("tale")
    with pytest.raises(UserError, match=r"tokens\.bin cannot be read"):
        frequencies_in_run(run)
    np.zeros(10, "<u2").tofile(run.tokens_path)
    with pytest.raises(UserError, match=r"damaged: it has 10 tokens, and 900 of them"):
        frequencies_in_run(run)
    np.full(1000, 256, "<u2").tofile(run.tokens_path)
    with pytest.raises(UserError, match=r"it holds the token 256, and the vocabulary has 256"):
        frequencies_in_run(run)
    np.arange(1000, dtype="<u2").__mod__(256).astype("<u2").tofile(run.tokens_path)
    assert frequencies_in_run(run).counts.tolist() == [4] * 132 + [3] * 124
    config = msgspec.structs.replace(run.config, data=msgspec.structs.replace(run.config.data, split=500))
    (run.path / "config.json").write_bytes(msgspec.json.encode(config))
    assert frequencies_in_run(Run(run.path)).total == 500, "another split is counted anew"


def test_a_rare_token_is_one_in_a_readable_number() -> None:
    frequencies = TokenFrequencies(np.array([112_674, 1, 0, 300]), "a tale")
    assert frequency_fact(frequencies, 1) == "once in a tale: 1 token in 112,975, rank 3"
    assert frequency_fact(frequencies, 3) == "300 times in a tale: 1 token in 377, rank 2"
    assert frequency_fact(frequencies, 2) == "never in a tale"
