import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest

import lab.data.corpus as corpus_module
from lab.core.errors import UserError
from lab.data import builtin_stories
from lab.data.text_chunks import DocumentPart
from lab.data.text_source import open_corpus
from lab.planning.learn_vocabulary import learn_in_process
from lab.planning.preparation_cache import FOLDER
from lab.planning.prepare_run import prepare_run
from lab.planning.prepare_text import PrepareProgress
from lab.planning.settings_table import RunRequest
from lab.planning.text_stamp import SETTLED_SECONDS, text_stamp
from lab.runs.run_folder import Run
from models.tokenizers.tokenizer import Tokenizer

LINES = "".join(f"The {size} dog met the {colour} cat.\n" for size in ("big", "old", "wet") for colour in "abcdefgh")


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text of two files. Results are kept of a text of any size."""
    monkeypatch.setattr("lab.planning.prepare_run.LEAST_TEXT", 1)
    folder = tmp_path / "story"
    folder.mkdir()
    for name in ("one.txt", "two.txt"):
        (folder / name).write_text(LINES * 20)
    return folder


@pytest.fixture(autouse=True)
def _young_files_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.text_stamp.SETTLED_SECONDS", -3600.0)


def ask(text: Path | str, **settings: object) -> RunRequest:
    small = {"preset": "nano", "tokenizer": "bpe", "vocab": 280, "context": 16, "steps": 5}
    return RunRequest(text=str(text), **(small | settings))  # type: ignore[arg-type]


def files(run: Run) -> dict[str, object]:
    """The contents of a run's files, but for its name and the time at which it was made."""
    found = {path.name: path.read_bytes() for path in run.path.iterdir()}
    return found | {"config.json": msgspec.structs.replace(run.config, name="", created=0.0)}


class Cancel:
    """Cancels a preparation when it has shown its progress in a stage so many times."""

    def __init__(self, stage: str, after: int) -> None:
        self._stage = stage
        self._left = after

    def __call__(self, progress: PrepareProgress) -> None:
        if progress.stage == self._stage:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        module, _, function = name.rpartition(".")
        monkeypatch.setattr(f"{module}.{function}", lambda *args, name=name, **more: pytest.fail(f"{name} is called again"))


READING = ("lab.data.corpus.Corpus._decoded", "lab.planning.prepare_text.split_text")
LEARNING = ("lab.planning.prepare_text.train_tokenizer",)
ENCODING = ("lab.planning.prepare_text.tokenize_corpus",)


CHANGES: dict[str, Callable[[Path], object]] = {
    "touched": Path.touch,
    "other content of the same size": lambda path: path.write_text("Another" + path.read_text()[7:]),
    "more": lambda path: path.write_text(LINES * 21),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe", "gpt2"])
def test_the_second_time_nothing_is_done_again(story: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str) -> None:
    vocab = 280 if tokenizer == "bpe" else None
    first = prepare_run(ask(story, tokenizer=tokenizer, vocab=vocab))
    told: list[PrepareProgress] = []
    forbid(monkeypatch, *READING, *ENCODING, *(LEARNING if tokenizer == "bpe" else ()))
    second = prepare_run(ask(story, tokenizer=tokenizer, vocab=vocab, name="again"), told.append)
    assert files(second) == files(first)
    assert [each.fraction for each in told if each.stage == "reading"] == [1.0]
    assert not os.path.samefile(first.tokens_path, second.tokens_path)
    assert os.stat(first.tokens_path).st_nlink == 1
    longer = prepare_run(ask(story, tokenizer=tokenizer, vocab=vocab, context=8, batch=2))
    assert longer.config.model.context == 8, "of which the tokens do not depend"


def test_a_text_that_is_costly_to_make_is_made_once(story: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    generate = builtin_stories.generate

    def counting(size: int) -> Iterator[str]:
        made.append(size)
        return generate(size)

    monkeypatch.setattr(builtin_stories, "generate", counting)
    prepare_run(ask("stories:50kB"))
    prepare_run(ask("stories:50kB", vocab=270))
    assert made == [50_000, 50_000]


def test_a_text_is_cleaned_once_and_other_rules_make_another_text(
    story: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned = []
    clean = corpus_module.clean_documents

    def counting(*given: Any) -> Iterator[DocumentPart]:
        cleaned.append(given[1])
        return clean(*given)

    monkeypatch.setattr(corpus_module, "clean_documents", counting)
    rules = ("line-endings", "emails")
    plain, strict = prepare_run(ask(story)), prepare_run(ask(story, clean=rules))
    assert cleaned.count(rules) == 1
    assert cleaned.count(("line-endings",)) == 4  # measured, split, learned from, encoded: all quick
    again = prepare_run(ask(story, clean=rules, name="again"))
    assert files(again) == files(strict)
    assert (plain.config.data.cleaning, strict.config.data.cleaning) == (("line-endings",), rules)


def test_another_vocabulary_is_of_the_text_as_it_was_read_and_a_changed_text_is_read_again(
    story: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_run(ask(story))
    with monkeypatch.context() as patch:
        forbid(patch, READING[1])
        assert prepare_run(ask(story, vocab=270)).config.model.vocab_size == 270
        prepare_run(ask(story, tokenizer="gpt2", vocab=None))
    path = story / "two.txt"
    for number, (name, change) in enumerate(CHANGES.items()):
        change(path)
        run, fresh = prepare_run(ask(story)), prepare_run(ask(story, home=home.parent / f"fresh-{number}"))
        assert files(run) == files(fresh), name


def test_texts_are_recognised_by_all_that_tells_a_change_and_streams_are_not(story: Path, home: Path, tmp_path: Path) -> None:
    before = text_stamp(open_corpus(str(story)))
    path = story / "two.txt"
    facts = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_mtime_ns == facts.st_mtime_ns
    assert text_stamp(open_corpus(str(story))) != before
    assert text_stamp(open_corpus("stories:20kB")) == text_stamp(open_corpus("stories:20kB"))
    assert text_stamp(open_corpus("stories:20kB")) != text_stamp(open_corpus("stories:21kB"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(LINES.encode()))
    writer.start()
    corpus = open_corpus(str(pipe), on_wait=lambda: None)
    writer.join()
    assert text_stamp(corpus) is None


def test_a_file_changed_just_now_is_not_recognised(story: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change again within the same step of the file system's clock."""
    monkeypatch.setattr("lab.planning.text_stamp.SETTLED_SECONDS", 3600.0)
    prepare_run(ask(story))
    assert not list((home / FOLDER).glob("text-*"))
    assert list((home / FOLDER).glob("tokens-*"))
    assert SETTLED_SECONDS == 2.0
    stamp = text_stamp(open_corpus(str(story)))
    assert stamp
    assert not stamp.settled(stamp.changed + 3599)
    assert stamp.settled(stamp.changed + 3601)


def test_a_remembered_text_that_changed_all_the_same_is_an_error_not_a_wrong_run(
    story: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that lies about its times: the tokens are held to the checksum of the text."""
    stamp = text_stamp(open_corpus(str(story)))
    monkeypatch.setattr("lab.planning.prepare_text.text_stamp", lambda corpus: stamp)
    prepare_run(ask(story))
    (story / "two.txt").write_text((LINES * 20).swapcase())
    with pytest.raises(UserError, match="changed while it was being read"):
        prepare_run(ask(story, vocab=270))
    assert prepare_run(ask(story, vocab=270)).config.model.vocab_size == 270


@pytest.mark.parametrize("stage", ["reading", "learning", "encoding"])
def test_a_preparation_cancelled_at_any_stage_leaves_only_whole_results(story: Path, home: Path, stage: str) -> None:
    for at in range(9):
        try:
            prepare_run(ask(story), Cancel(stage, at))
        except KeyboardInterrupt:
            assert [name for name in os.listdir(home) if name != FOLDER] == []
        else:
            break
    assert at > 0
    assert files(prepare_run(ask(story))) == files(prepare_run(ask(story, home=home.parent / "fresh")))


TEXTS = ["The big dog ran — größer, 犬が走った 🐕.\n" * 50, "The cat sat.\r\n", ""] * 4


def test_the_vocabulary_is_the_one_learned_here_merges_are_reported_and_a_failure_is_one_sentence() -> None:
    shares: list[float] = []
    learned = learn_in_process(TEXTS, 300, shares.append, end_of_text=True)
    assert learned.dumps() == Tokenizer.train(TEXTS, 300, end_of_text=True).dumps()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    with pytest.raises(UserError, match=r"^The vocabulary could not be learned: a BPE vocabulary .*, so 255 is too small\.$"):
        learn_in_process(TEXTS, 255, lambda share: None, end_of_text=False)


class CancelledError(Exception):
    pass


@pytest.mark.parametrize("cancelled", [KeyboardInterrupt, CancelledError])
def test_learning_is_cancelled_while_the_text_is_read_and_while_it_merges(cancelled: type[BaseException]) -> None:
    def text() -> Iterator[str]:
        yield "The big dog ran.\n"
        raise cancelled

    def cancel(share: float) -> None:
        raise cancelled

    before = set(psutil.Process().children())
    for texts, report in ((text(), lambda share: None), (TEXTS, cancel)):
        with pytest.raises(cancelled):
            learn_in_process(texts, 300, report, end_of_text=False)
        assert set(psutil.Process().children()) <= before
