"""The copied share, against a count of all windows, from a text and from its tokens; its error against the whole part's share."""

import random
from pathlib import Path

import pytest

from lab.analysis.baselines import run_copied
from lab.data.statistics import copied_share as module
from lab.data.statistics.copied_share import copied_in_corpus, copied_share, describe_copied
from lab.data.statistics.repeated_passages import WINDOW
from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.run_folder import Run
from lab.runs.schema_parts import CopiedShare


def words(length: int, seed: int, letters: str = "abcdefghé犬 ") -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


def counted(validation: str, training: str) -> float:
    """The share by its definition: characters in windows that occur in the training text."""
    covered = set()
    for at in range(len(validation) - WINDOW + 1):
        if validation[at : at + WINDOW] in training:
            covered |= set(range(at, at + WINDOW))
    return len(covered) / len(validation)


TRAINING = words(3000, 1)


@pytest.mark.parametrize(
    "validation",
    [
        TRAINING[100:400],
        words(300, 2),
        words(100, 2) + TRAINING[:WINDOW] + words(70, 3) + TRAINING[500 : 500 + WINDOW - 1] + words(20, 4),
        TRAINING[-80:] + words(9, 2) + TRAINING[:60],
        TRAINING[:WINDOW],
    ],
    ids=["all", "none", "a passage, and one a character too short", "both ends", "one window"],
)
@pytest.mark.parametrize("block", [60, 1000, 1 << 17])
def test_the_share_is_that_of_the_characters_in_windows_that_occur(
    validation: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    parts = [TRAINING[at : at + 37] for at in range(0, len(TRAINING), 37)]
    assert copied_share([validation], parts) == CopiedShare(pytest.approx(counted(validation, TRAINING)))


def test_a_part_shorter_than_a_window_has_no_share() -> None:
    assert copied_share([TRAINING[: WINDOW - 1]], [TRAINING]) is None
    assert copied_share([], [TRAINING]) is None
    assert describe_copied(None) == ""


def test_the_share_of_a_sample_is_within_its_error() -> None:
    parts = [TRAINING[:100] if number % 3 else words(100, number) for number in range(1, 3001)]
    exact = copied_share(parts, [TRAINING])
    assert exact == CopiedShare(pytest.approx(2 / 3))
    inside = 0
    for seed in range(40):
        found = copied_share(random.Random(seed).sample(parts, 100), [TRAINING], 100 / 3000)
        assert found is not None
        assert 0.05 < found.error < 0.12
        inside += abs(found.share - 2 / 3) <= found.error
    assert inside >= 35
    assert describe_copied(CopiedShare(0.5, 0.0123)).startswith("50.0% (± 1.2%) of the validation text")


def test_a_text_its_run_and_its_tokens_have_the_same_share(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "tale.txt"
    path.write_text(TRAINING * 3)
    corpus = open_corpus(str(path))
    found = copied_in_corpus(corpus, split_text(corpus))
    assert found == CopiedShare(1.0)
    for tokenizer in ("bytes", "bpe"):
        run = prepare_run(RunRequest(text=str(path), tokenizer=tokenizer, preset="nano", context=16, steps=1))  # type: ignore[arg-type]
        assert run.config.data.copied == found
        path_of_config = run.path / "config.json"
        path_of_config.write_text(path_of_config.read_text().replace('"copied"', '"unknown"'))
        assert Run(run.path).config.data.copied is None
        assert run_copied(Run(run.path)) == found, "of a run from before it is measured on its tokens"
