"""Runs that post-training makes: their names, and how one gets onto the disk, all or nothing."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import msgspec
from torch import nn

from lab.core.atomic_io import os_error_in_words, sync_folder, unfinished_folder, write_atomic
from lab.core.safe_open import LARGEST_TOKENIZER, read_regular
from lab.runs.origin import TuningConfig, tuning_sentence
from lab.runs.run_folder import Run
from lab.runs.run_schema import RunConfig, Status, TrainConfig
from lab.runs.weights_file import save_best


def save_tuned_run(base: Run, name: str, where: Path, model: nn.Module, tuning: TuningConfig, train: TrainConfig) -> Run:
    """Write the model as a run of its own, in the folder `where`.

    It has the base's tokenizer and, where that has them, its tokens, so that Inspect finds the text. It is finished: its training
    cannot be resumed, since the questions are not in tokens.bin.

    Raises:
        UserError: if something has that name by now, or the system refuses.
    """
    config = RunConfig(
        name=name,
        created=time.time(),
        model=base.config.model,
        tokenizer=base.config.tokenizer,
        data=base.config.data,
        train=train,
        tuning=tuning,
    )
    steps = train.steps or 0
    status = Status(phase="finished", step=steps, steps=steps, best_step=steps, message=tuning_sentence(tuning))
    try:
        with unfinished_folder(where) as folder:
            run = Run(folder)
            write_atomic(run.tokenizer_path, read_regular(base.tokenizer_path, LARGEST_TOKENIZER))
            if base.tokens_path.is_file() and not base.tokens_path.is_symlink():
                # A second name of a file, or a copy where the file system has none. tokens.bin is never written to again.
                try:
                    os.link(base.tokens_path, run.tokens_path)
                except OSError:
                    shutil.copyfile(base.tokens_path, run.tokens_path, follow_symlinks=False)
            write_atomic(run.status_path, msgspec.json.encode(status))
            write_atomic(run.path / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=1))
            save_best(run, model, steps)
            os.rename(folder, where / name)
            sync_folder(where)
    except OSError as error:
        raise os_error_in_words(error, f"save {name} in {where}") from error
    return Run(where / name)


def weights_checksum(model: nn.Module) -> str:
    """SHA-256 of the model's weights, over their values in the order of their names."""
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
