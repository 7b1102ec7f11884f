"""Prepare a run on disk: read the text, learn the vocabulary, write tokens and settings, all or nothing.

Everything is written into a hidden folder beside the runs, which gets its name by one rename when it is complete.
"""

import itertools
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from lab.core.atomic_io import os_error_in_words, sync_folder, write_atomic
from lab.core.errors import UserError
from lab.core.machine import machine
from lab.core.safe_open import run_folder_mode
from lab.data.corpus import Corpus
from lab.data.default_prompts import prompt_from_text
from lab.data.text_provenance import sha256_of
from lab.data.text_source import open_corpus
from lab.data.token_file import PreparedTokens, TokenFile, prepare_tokens, token_dtype
from lab.data.train_val_split import Split, pieces, split_text
from lab.planning.check_request import check_request
from lab.planning.duration_estimate import evaluation_share
from lab.planning.measure_step_time import StepTimer
from lab.planning.resolve_run import ResolvedRun, TextSize, fit_length, resolve, vocabulary_size
from lab.planning.run_request import RunRequest as RunRequest
from lab.runs.home_folder import home
from lab.runs.run_folder import Run
from lab.runs.run_names import LONGEST_NAME
from lab.runs.run_schema import DataConfig, RunConfig, TokenizerConfig
from models.config import PRESETS
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.tokenizer_kinds import TokenizerError

PROMPT_TOKENS = 1000
"""Tokens at the start of the validation part that the default prompt is taken from."""

Stage = Literal["reading", "learning", "encoding", "timing"]


class PrepareProgress(msgspec.Struct, frozen=True):
    """Progress of the preparation: reading the text, learning the vocabulary (bpe only), encoding the text, timing a step (only
    where the machine decides the number of steps)."""

    stage: Stage
    words: str
    """The stage for people: `learning a vocabulary of 1,024`."""
    fraction: float
    """Done share of this stage, 0 to 1."""


def prepare_run(
    request: RunRequest, progress: Callable[[PrepareProgress], None] = lambda _: None, on_wait: Callable[[], None] | None = None
) -> Run:
    """Make the run that was asked for. Whatever goes wrong, and if `progress` raises to cancel, nothing is left on disk.

    A named pipe is read where `on_wait` is given: see `lab.data.text_source.open_corpus`.

    Raises:
        UserError: for every mistake of the user: see `lab.planning.check_request.check_request` and
        `lab.data.text_source.open_corpus`; a text too short.
    """
    check_request(request)
    where = (request.home or home()).absolute()
    corpus = open_corpus(request.text, request.encoding, on_wait)
    corpus.measure(lambda done, total: progress(PrepareProgress("reading", f"reading {corpus.name}", done / max(total, 1))))
    split = split_text(corpus)
    tokenizer = make_tokenizer(request, corpus, split, progress)
    made_home = not where.exists()
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_abandoned(where)
        folder = new_folder(where)
        try:
            return _write(request, folder, where, corpus, split, tokenizer, progress)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if made_home:
                _remove_if_empty(where)
            raise
    except OSError as error:
        raise os_error_in_words(error, f"make a run in {where}") from error


def _write(
    request: RunRequest,
    folder: Path,
    where: Path,
    corpus: Corpus,
    split: Split,
    tokenizer: Tokenizer,
    progress: Callable[[PrepareProgress], None],
) -> Run:
    run = Run(folder)

    def report(done: int, total: int) -> None:
        progress(PrepareProgress("encoding", "encoding the text", done / total))

    prepared = prepare_tokens(corpus, split, tokenizer, run.tokens_path, report)
    check_length(prepared, request.context or PRESETS[request.preset].context)
    tokenizer.save(run.tokenizer_path)
    text = TextSize(corpus.source, corpus.encoding, corpus.bytes, prepared.tokens, None, tokenizer.vocab_size, prepared.split)
    resolved = resolve(request, text, machine())
    if request.steps_by_machine and not request.has_length:
        progress(PrepareProgress("timing", "timing a step on this machine", 0.0))
        resolved = fit_length(resolved, _step_seconds(resolved, where), machine())
    train = resolved.train
    if not train.prompts:
        tokens = TokenFile(run.tokens_path, token_dtype(tokenizer.vocab_size))
        unseen = tokens[prepared.split : prepared.split + PROMPT_TOKENS].tolist()
        train = msgspec.structs.replace(train, prompts=(prompt_from_text(tokenizer.decode(unseen)),))
    facts = corpus.measure()
    data = DataConfig(
        name=corpus.name,
        source=corpus.source,
        encoding=corpus.encoding,
        sha256=facts.sha256,
        bytes=facts.bytes,
        characters=facts.characters,
        tokens=prepared.tokens,
        split=prepared.split,
        tokens_sha256=sha256_of(run.tokens_path),
        train_bytes=prepared.train_bytes,
        val_bytes=prepared.val_bytes,
        evaluated=prepared.evaluated,
        final=prepared.final,
        entropy_bits_per_byte=corpus.entropy_bits_per_byte,
    )
    for written in (run.tokens_path, run.tokenizer_path):
        _sync(written)
    os.chmod(run.tokenizer_path, stat.S_IMODE(run.tokens_path.stat().st_mode))  # as `open_to_replace` made that
    for name in names_to_try(request.name, corpus.name, where):
        config = RunConfig(
            name=name,
            created=time.time(),
            model=resolved.model,
            tokenizer=TokenizerConfig(kind=tokenizer.kind, vocab_size=tokenizer.vocab_size),
            data=data,
            train=train,
        )
        write_atomic(folder / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=1))
        try:
            os.rename(folder, where / name)
        except OSError:
            if (where / name).exists():
                continue
            raise
        sync_folder(where)
        return Run(where / name)
    raise UserError(f"There is a run called {request.name} already; choose another name.")


def _step_seconds(run: ResolvedRun, where: Path) -> float:
    """Time of a step, its share of the evaluations included. Raises: UserError if it cannot be measured."""
    try:
        seconds = StepTimer(run.model, run.train, where).measure()
    except UserError as error:
        raise UserError(f"{error} With --steps or --minutes it need not be.") from error
    assert seconds is not None, "nobody has given it up"
    return seconds * (1 + evaluation_share(run))


def make_tokenizer(request: RunRequest, corpus: Corpus, split: Split, progress: Callable[[PrepareProgress], None]) -> Tokenizer:
    """The tokenizer that was asked for; bpe learns from the training part of the text only.

    Raises:
        UserError: if GPT-2's vocabulary cannot be found.
    """
    try:
        if request.tokenizer == "bytes":
            return Tokenizer.bytes_()
        if request.tokenizer == "gpt2":
            return Tokenizer.gpt2()
        size = vocabulary_size(request, TextSize(corpus.source, bytes=corpus.bytes))

        def report(fraction: float) -> None:
            progress(PrepareProgress("learning", f"learning a vocabulary of {size:,}", fraction))

        return Tokenizer.train(_training_text(corpus, split, report), size)
    except TokenizerError as error:
        raise UserError(str(error)) from error


def _training_text(corpus: Corpus, split: Split, report: Callable[[float], None]) -> Iterator[str]:
    for offset, piece in pieces(corpus, [split.split]):
        if offset >= split.split:
            return
        yield piece.decode()
        report(min(1.0, (offset + len(piece)) / split.split))


def check_length(prepared: PreparedTokens, context: int) -> None:
    """Check that both parts of the text hold a window of the context and the token after it.

    Raises:
        UserError: otherwise, naming a context that would do.
    """
    shorter = min(prepared.split, prepared.tokens - prepared.split)
    if shorter > context:
        return
    fits = shorter - 1
    rather = f"a longer text or a context of at most {fits}" if fits >= 4 else "a longer text"
    raise UserError(
        f"The text is too short for a context of {context} tokens: it has {prepared.tokens} tokens, of which the last "
        f"{prepared.tokens - prepared.split} are for validation; use {rather}."
    )


def names_to_try(asked: str | None, text_name: str, where: Path) -> Iterator[str]:
    """The name that was asked for; or the text's name, with a counter from 2 on where it is taken."""
    if asked is not None:
        yield asked
        return
    base = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "-", text_name).strip(" .-")[: LONGEST_NAME - 10].strip() or "text"
    base = base if base.isprintable() and base != "demo" else "text"
    for number in itertools.count(1):
        name = base if number == 1 else f"{base}-{number}"
        if not (where / name).exists():
            yield name


_folders = itertools.count(1)


def new_folder(where: Path) -> Path:
    """A new hidden folder whose name tells which process on which machine writes in it."""
    folder = where / f".preparing-{os.getpid()}-{next(_folders)}@{platform.node()}"
    folder.mkdir(run_folder_mode(where))
    return folder


def remove_abandoned(where: Path) -> None:
    """Remove the hidden folders of preparations that were killed on this machine."""
    for folder in where.glob(".preparing-*"):
        match = re.fullmatch(r"\.preparing-(\d+)-\d+@(.*)", folder.name)
        if match and match[2] == platform.node() and not _is_running(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    import psutil  # type: ignore[import-untyped]

    return bool(psutil.pid_exists(pid))


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # somebody else has put something there


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
