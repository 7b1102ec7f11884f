"""A model loaded from a run's checkpoint, with its tokenizer, for the engine to compute with."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.core.errors import UserError
from lab.runs.run_folder import Run

if TYPE_CHECKING:
    from models.gpt import GPT
    from models.tokenizers.tokenizer import Tokenizer

Identity = tuple[str, int, int, int]
"""Identity of the weights: the checkpoint's path, and its file's inode, size and time of change in nanoseconds."""


@dataclass(eq=False)
class OpenModel:
    run: Run
    checkpoint: str
    step: int
    model: "GPT"
    tokenizer: "Tokenizer"
    identity: Identity
    state: Literal["cached", "evicted", "released"] = "cached"
    """Nothing more is computed with a released one; work begun with an evicted one is finished, but not cached."""

    def refuse_released(self) -> None:
        """Raises: UserError: if it is released."""
        if self.state == "released":
            raise UserError(f"{self.run.name} is being renamed or deleted; open it again when that is done.")


def load_open_model(run: Run, checkpoint: str) -> OpenModel:
    """Load weights and tokenizer. Raises: UserError: if they cannot be read."""
    from lab.runs.run_folder import tokenizer_of
    from lab.runs.weights_file import load_model

    path = weights_path(run, checkpoint)
    identity = weights_identity(path)  # before reading: a file that is replaced meanwhile counts as newer
    model, step = load_model(run, checkpoint)
    name = str(int(checkpoint)) if checkpoint.isdecimal() else path.stem
    return OpenModel(run, name, step, model.eval(), tokenizer_of(run), identity)


def weights_path(run: Run, checkpoint: str) -> Path:
    """Path of a checkpoint's weights; the last one's for a best that does not exist yet."""
    if checkpoint.isdecimal():
        return next((file.path for file in run.snapshots() if file.step == int(checkpoint)), run.snapshots_path / checkpoint)
    path = run.path / f"{checkpoint}.safetensors"
    return run.path / "last.safetensors" if checkpoint == "best" and not os.path.lexists(path) else path


def weights_identity(path: Path) -> Identity:
    try:
        facts = path.lstat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)
