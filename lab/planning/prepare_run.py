"""Prepare a run on disk: read the text, learn the vocabulary, write tokens and settings, all or nothing.

Everything is written into a hidden folder beside the runs (`unfinished_folder`), which gets its name by one rename at the end.
"""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import msgspec

from lab.core.atomic_io import os_error_in_words, sync_folder, write_atomic
from lab.core.errors import UserError
from lab.core.machine import machine
from lab.core.number_format import counted
from lab.core.unfinished_folder import unfinished_folder
from lab.data.corpus import Corpus
from lab.data.default_prompts import prompt_from_text
from lab.data.text_source import open_corpus
from lab.data.token_file import TokenFile, TokenFileFacts, token_dtype
from lab.data.train_val_split import Split
from lab.planning.fine_tuning import copy_start, fine_tuning_request
from lab.planning.plan_for_minutes import MinutesPlan, is_planned, measured_plan, plan_for_minutes
from lab.planning.preparation_cache import LEAST_TEXT, PreparationCache
from lab.planning.prepare_text import PrepareProgress, Progress, TextPreparation
from lab.planning.resolve_run import ResolvedRun, TextSize, check_request, resolve
from lab.planning.settings_table import RunRequest
from lab.planning.step_time import StepSpeed
from lab.planning.text_difficulty import Pilot, PilotTrainer
from lab.runs.find_runs import open_run
from lab.runs.home_folder import free_names, home, read_only_sentence, watched_machine
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_schema import DataConfig, RunConfig, TokenizerConfig
from lab.runs.schema_parts import LAST_TENTH, LONGEST_SOURCE, Holdout
from models.tokenizers.tokenizer import Tokenizer

PROMPT_TOKENS = 1000
"""Tokens at the start of the validation part that the default prompt is taken from."""


def prepare_run(
    request: RunRequest,
    progress: Progress = lambda _: None,
    on_wait: Callable[[], None] | None = None,
    on_plan: Callable[[MinutesPlan], None] = lambda _: None,
) -> Run:
    """Make the run that was asked for. Whatever goes wrong, and if `progress` raises to cancel, nothing is left on disk.

    A named pipe is read where `on_wait` is given: see `lab.data.text_source.open_corpus`. `on_plan` is called with the plan of a
    run whose settings are chosen for its minutes.
    Raises UserError for every mistake of the user: see `lab.planning.resolve_run.check_request` and
    `lab.data.text_source.open_corpus`; a text too short.
    """
    created = time.time()
    if watched_machine():
        raise UserError(read_only_sentence())
    where = (request.home or home()).absolute()
    base = open_run(request.start, where) if request.start is not None else None
    if base is not None:
        request = fine_tuning_request(request, base)
    check_request(request)
    corpus = open_corpus(request.text, request.encoding, on_wait, request.clean, request.holdout)
    if max(len(corpus.source), len(corpus.holdout.source)) > LONGEST_SOURCE:
        raise UserError(
            "The paths are too many to keep in a run; give their folder, or a pattern in quotes such as 'notes/*.txt'."
        )
    preparation = TextPreparation(corpus, PreparationCache(where), progress, LEAST_TEXT)
    split = preparation.read()
    text = TextSize(corpus.source, corpus.encoding, split.bytes, training_share=request.holdout.training_share)
    if is_planned(request):
        plan_for_minutes(request, text, StepSpeed(machine(), {}))  # refuses what cannot be before anything is measured or kept
        text = replace(text, pilot=_pilot(corpus, request, where, created, progress))
    asked, _ = _decide(request, text, where, created, progress)
    if base is None:
        tokenizer = preparation.tokenizer(asked.request.tokenizer, asked.model.vocab_size, split)
    else:
        tokenizer = tokenizer_of(base)
    if base is not None and corpus.has_end_of_text and tokenizer.end_of_text is None:
        raise UserError(f"The tokenizer of {base.name} has no end-of-text token to put between documents; give one text.")
    try:
        with unfinished_folder(where) as folder:
            run = Run(folder)
            prepared = _write_tokens(run, asked, preparation, split, tokenizer)
            text = replace(text, tokens=prepared.tokens, vocab_size=tokenizer.vocab_size, split=prepared.split)
            resolved, plan = _decide(request, text, where, created, progress)  # again: its tokens have been counted
            if plan is not None:
                on_plan(replace(plan, is_final=True))
            config = RunConfig(
                name="",
                created=created,
                model=resolved.model,
                tokenizer=TokenizerConfig(kind=tokenizer.kind, vocab_size=tokenizer.vocab_size),
                data=_data_config(corpus, prepared),
                train=resolved.train,
                expected=resolved.request.expected,
                start=None if base is None else copy_start(base, run, resolved.model.context),
            )
            if not config.train.prompts:
                train = msgspec.structs.replace(config.train, prompts=(_default_prompt(run, prepared, tokenizer),))
                config = msgspec.structs.replace(config, train=train)
            return publish(run, config, request.name, config.data.name, where)
    except OSError as error:
        raise os_error_in_words(error, f"make a run in {where}") from error


def _write_tokens(
    run: Run, asked: ResolvedRun, preparation: TextPreparation, split: Split, tokenizer: Tokenizer
) -> TokenFileFacts:
    """Write tokens.bin and tokenizer.json, durably. Raises: UserError if the text is too short."""
    prepared = preparation.tokens(split, tokenizer, run.tokens_path)
    check_length(prepared, asked.model.context, asked.request.holdout)
    tokenizer.save(run.tokenizer_path)
    for written in (run.tokens_path, run.tokenizer_path):
        with written.open("rb") as file:
            os.fsync(file.fileno())
    os.chmod(run.tokenizer_path, stat.S_IMODE(run.tokens_path.stat().st_mode))  # as `open_to_replace` made that
    return prepared


def _decide(
    request: RunRequest, text: TextSize, where: Path, created: float, progress: Progress
) -> tuple[ResolvedRun, MinutesPlan | None]:
    """Every setting, by what is known of the text so far: as resolved; of a run that is planned, those of the best for its
    minutes, and the plan, after timing steps of runs that may be it."""
    if not is_planned(request):
        return resolve(request, text, machine()), None

    def waiting() -> None:
        progress(PrepareProgress("timing", "timing steps on this machine", 0.0))

    waiting()
    plan = measured_plan(request, text, where, time.time() - created, waiting)
    return plan.best.resolved, plan


PILOT_SHARE = 0.25
"""Share of a run's minutes that its text's pilot may take. Where it takes more, no loss is expected."""


def _pilot(corpus: Corpus, request: RunRequest, where: Path, created: float, progress: Progress) -> Pilot | None:
    trainer, most = PilotTrainer(where), PILOT_SHARE * 60 * (request.minutes or 0)

    def waiting() -> None:
        progress(PrepareProgress("timing", "training a very small model for some seconds: how hard is the text?", 0.0))
        if time.time() - created > most:
            trainer.cancel()

    waiting()
    return trainer.measure(corpus, waiting)


def _data_config(corpus: Corpus, prepared: TokenFileFacts) -> DataConfig:
    facts = corpus.measure()
    return DataConfig(
        name=corpus.name,
        source=corpus.source,
        encoding=corpus.encoding,
        sha256=facts.sha256,
        bytes=facts.bytes,
        characters=facts.characters,
        tokens=prepared.tokens,
        split=prepared.split,
        tokens_sha256=prepared.sha256,
        train_bytes=prepared.train_bytes,
        val_bytes=prepared.val_bytes,
        evaluated=prepared.evaluated,
        final=prepared.final,
        holdout=msgspec.structs.replace(corpus.holdout, sha256=corpus.validation.sha256 if corpus.validation else ""),
        copied=prepared.copied,
        entropy_bits_per_byte=corpus.entropy_bits_per_byte,
        documents=corpus.documents,
        left_out=corpus.left_out,
        cleaning=corpus.cleaning,
        funnel=facts.funnel,
    )


def _default_prompt(run: Run, prepared: TokenFileFacts, tokenizer: Tokenizer) -> str:
    tokens = TokenFile(run.tokens_path, token_dtype(tokenizer.vocab_size))
    unseen = tokens[prepared.split : prepared.split + PROMPT_TOKENS].tolist()
    documents = [list(ids) for border, ids in groupby(unseen, lambda id: id == tokenizer.end_of_text) if not border]
    return prompt_from_text(tokenizer.decode(max(documents, key=len)))


def publish(run: Run, config: RunConfig, name: str | None, text: str, where: Path) -> Run:
    """Write config.json and rename the folder to `name`, or to a free name after `text`. Raises: UserError if it is taken."""
    for free in free_names(name, text, where):
        config = msgspec.structs.replace(config, name=free)
        write_atomic(run.path / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=1))
        try:
            os.rename(run.path, where / free)
        except OSError:
            if os.path.lexists(where / free):
                continue
            raise
        sync_folder(where)
        return Run(where / free)
    raise UserError(f"There is a run called {name} already; choose another name.")


def check_length(prepared: TokenFileFacts, context: int, holdout: Holdout = LAST_TENTH) -> None:
    """Check that both parts of the text hold a window of the context and the token after it.
    Raises UserError otherwise, naming a context that would do."""
    shorter = min(prepared.split, prepared.tokens - prepared.split)
    if shorter > context:
        return
    fits = shorter - 1
    advice = f"a longer text or a context of at most {fits}" if fits >= 4 else "a longer text"
    which = "" if holdout.source or holdout.seed is not None else "the last "
    raise UserError(
        f"The text is too short for a context of {context} tokens: it has {counted(prepared.tokens, 'token')}, of which "
        f"{which}{prepared.tokens - prepared.split} are for validation; use {advice}."
    )
