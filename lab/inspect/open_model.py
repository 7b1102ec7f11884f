"""A model loaded from a run's checkpoint, with its tokenizer, for the engine to compute with."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.core.errors import UserError
from lab.runs.run_folder import Run, stand_in_sentence, tokenizer_of, weights_name, weights_path

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
    note: str = ""
    """A sentence where these are other weights than were asked for, with the reason."""
    state: Literal["cached", "evicted", "released"] = "cached"
    """Nothing more is computed with a released one; work begun with an evicted one is finished, but not cached."""

    def refuse_released(self) -> None:
        """Raises: UserError: if it is released."""
        if self.state == "released":
            raise UserError(f"{self.run.name} is being renamed or deleted; open it again when that is done.")


def load_open_model(run: Run, checkpoint: str) -> OpenModel:
    """Load weights and tokenizer. Raises: UserError: if they cannot be read."""
    from lab.runs.weights_file import load_model

    path, note = weights_path(run, checkpoint), stand_in_sentence(run, checkpoint)
    identity = weights_identity(path)  # before reading: a file that is replaced meanwhile counts as newer
    model, step = load_model(run, checkpoint)
    return OpenModel(run, weights_name(path), step, model.eval(), tokenizer_of(run), identity, note)


def weights_identity(path: Path) -> Identity:
    try:
        facts = path.lstat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)
