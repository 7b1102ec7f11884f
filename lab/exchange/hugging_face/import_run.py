"""Import a model folder: its weights and its tokenizer become a run in the home, all or nothing, also in a process of its own."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.child_process import Progress, Reply, Tell, answer, ask_process, tell
from lab.core.errors import UserError
from lab.core.number_format import counted
from lab.core.unfinished_folder import unfinished_folder
from lab.exchange.hugging_face.model_folder import (
    CONFIG,
    HUB_MODELS,
    HubModel,
    cache_entry,
    hub_model,
    hub_name,
    open_model_folder,
    read_gpt2_config,
)
from lab.exchange.hugging_face.tokenizer_files import NO_FILES, has_tokenizer, read_tokenizer
from lab.exchange.hugging_face.weights_files import (
    check_memory_for,
    check_tensors,
    find_pickle,
    find_tensors,
    read_pickled_weights,
    read_tensors,
)
from lab.planning.default_hyperparameters import FINE_TUNING_OPTIMIZER, fine_tuning_lr
from lab.planning.prepare_run import publish
from lab.runs.home_folder import check_name
from lab.runs.run_folder import Run
from lab.runs.run_schema import DataConfig, RunConfig, Status, TokenizerConfig, TrainConfig
from lab.runs.schema_parts import ImportConfig, import_sentence
from models.config import FIXED_VOCABULARY_SIZES

NO_TEXT = "none here"
"""Name of the text of an imported run."""
GPT2_PROMPT = "The big dog ran"
"""First prompt of a model with GPT-2's vocabulary; another begins with the lab's shortest one."""


def import_run(
    source: str,
    home: Path,
    name: str | None = None,
    *,
    convert_pickle: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Run:
    """Make a run of a model: one that `hub_name` knows, or a folder. `tell` is given a sentence at each longer step.

    Everything is checked before anything is written, and nothing is left in the home where it fails.
    Raises UserError if the model is not here, is no GPT-2 or cannot be read; if there is a run of that name."""
    if name is not None and os.path.lexists(home / check_name(name)):
        raise UserError(f"The name {name} is taken already; choose another name.")
    known = hub_name(source)
    folder = hub_model(known, tell) if known else open_model_folder(Path(os.path.expanduser(source)))
    path = folder.file(CONFIG)
    if path is None:
        raise UserError(f"{folder.shown} holds no model: it has no {CONFIG}.")
    model, is_tied = read_gpt2_config(path, folder.shown)
    check_memory_for(model, folder.shown)
    stored = find_tensors(folder)
    checked = check_tensors(stored, model, folder.shown, is_tied=is_tied) if stored is not None else None
    if checked is None:
        find_pickle(folder, is_allowed=convert_pickle)  # before the seconds that the tokenizer takes
    if has_tokenizer(folder):
        tell(f"Checking the tokenizer of {folder.name}, {model.vocab_size:,} tokens.")
    elif model.vocab_size in NO_FILES:
        tell(f"{folder.name} has no tokenizer files: GPT-2's own {FIXED_VOCABULARY_SIZES['gpt2']:,} tokens are taken.")
    tokenizer = read_tokenizer(folder, model.vocab_size)
    if unused := model.vocab_size - len(tokenizer.ordinary) - len(tokenizer.special):
        tell(f"The embedding of {folder.name} has {counted(unused, 'row')} that no token has; they are kept.")
    tell(f"Reading the weights of {folder.name}.")
    if checked is None:
        state, dtype = read_pickled_weights(folder, model, is_allowed=convert_pickle, is_tied=is_tied), ""
    else:
        state, dtype = read_tensors(checked, model, folder.shown), "/".join(sorted({each.dtype for each in checked.values()}))
    from lab.runs.weights_file import write_weights

    imported = ImportConfig(source=folder.name[:500], revision=folder.revision, dtype=dtype)
    config = RunConfig(
        name="",
        created=0.0,
        model=model,
        tokenizer=TokenizerConfig(kind=tokenizer.kind, vocab_size=tokenizer.vocab_size),
        data=DataConfig(
            name=NO_TEXT,
            source="",
            encoding="",
            sha256="",
            bytes=0,
            characters=0,
            tokens=0,
            split=0,
            train_bytes=0,
            val_bytes=0,
            cleaning=(),
        ),
        train=TrainConfig(
            optimizer=FINE_TUNING_OPTIMIZER,
            lr=fine_tuning_lr(model.width, FINE_TUNING_OPTIMIZER),
            prompts=(GPT2_PROMPT,) if tokenizer.kind == "gpt2" else (),
        ),
        imported=imported,
    )
    status = Status(phase="finished", best_step=0, message=import_sentence(imported))
    try:
        with unfinished_folder(home) as unfinished:
            run = Run(unfinished)
            write_atomic(run.tokenizer_path, tokenizer.dumps().encode())
            write_atomic(run.status_path, msgspec.json.encode(status))
            write_weights(run.path / "best.safetensors", state, {"step": "0"})
            return publish(run, msgspec.structs.replace(config, created=time.time()), name, folder.name, home)
    except OSError as error:
        raise os_error_in_words(error, f"import {folder.name} into {home}") from error


SECONDS_BETWEEN_LOOKS = 0.2
"""Interval of looking how much of a download has arrived."""
LOOKS_FOR_PARTS, SECONDS_BETWEEN_PARTS = 4, 0.05
"""Times that partial files of a cancelled download are looked for: one of its threads may be about to make another."""
PARTIAL = ".incomplete"
"""Suffix of huggingface_hub's files while they are downloaded."""


class ImportRequest(msgspec.Struct, frozen=True):
    """A model, by its name or folder, and the home that its run is for."""

    source: str
    home: str


class ImportReply(Reply, frozen=True, omit_defaults=True):
    """Progress in bytes of a download; at the end the run's name."""

    run: str = ""


async def run_import_process(request: ImportRequest, progress: Progress, on_words: Tell) -> str:
    """The name of the run that a process makes of the model. Cancelling the awaiting task ends it, and leaves nothing.
    Raises UserError as `import_run`."""
    return (await ask_process(__name__, request, ImportReply, progress, on_words, work="import")).run


def _work(request: ImportRequest, progress: Progress) -> ImportReply:
    signal.signal(signal.SIGTERM, _end)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    is_over = threading.Event()

    def on_words(words: str) -> None:
        is_over.set()
        if words.startswith("Downloading") and (name := hub_name(request.source)) is not None:
            is_over.clear()
            threading.Thread(target=report_download, args=(HUB_MODELS[name], progress, is_over), daemon=True).start()
        tell(words)

    try:
        return ImportReply(run=import_run(request.source, Path(request.home), tell=on_words).name)
    except (MemoryError, RuntimeError) as error:
        from lab.core.errors import is_out_of_memory

        if is_out_of_memory(error):
            raise UserError("Memory ran out, and nothing was imported.") from error
        raise


def report_download(model: HubModel, progress: Progress, is_over: threading.Event) -> None:
    """Report how many bytes of a download have arrived, by the sizes of its files, until it is over."""
    blobs = cache_entry(model.repositories[0]) / "blobs"
    before = _size_of(blobs)
    while not is_over.wait(SECONDS_BETWEEN_LOOKS):
        progress(min(_size_of(blobs) - before, model.download_bytes), model.download_bytes)


def _size_of(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except FileNotFoundError:
        return 0  # not begun, or a file got its final name meanwhile: the next look sees it


def _end(number: int, frame: object) -> None:
    """End on a signal. A download is given up with its threads and its partial files, which no later download would use."""
    gives_up = False
    for _ in range(LOOKS_FOR_PARTS):
        partial = [each.path for each in psutil.Process().open_files() if each.path.endswith(PARTIAL)]
        for path in partial:
            Path(path).unlink(missing_ok=True)
        gives_up = gives_up or bool(partial)
        time.sleep(SECONDS_BETWEEN_PARTS)
    if gives_up:
        os._exit(128 + number)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    answer(ImportRequest, _work)
