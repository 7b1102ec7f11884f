"""Load a run's tokenizer, and check that it fits the model."""

from typing import TYPE_CHECKING

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.safe_open import LARGEST_TOKENIZER, read_regular
from lab.runs.run_folder import Run

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer


def tokenizer_of(run: Run) -> "Tokenizer":
    """The run's tokenizer. Raises UserError if its file is missing, damaged, or another model's."""
    from models.config import TokenizerError
    from models.tokenizers.tokenizer import Tokenizer

    path, size = run.tokenizer_path, run.config.model.vocab_size
    try:
        found = Tokenizer.loads(read_regular(path, LARGEST_TOKENIZER), path)
    except FileNotFoundError as error:
        raise UserError(f"{run.name} has no tokenizer: {path} is missing; put a good copy there.") from error
    except OSError as error:
        raise os_error_in_words(error, f"read {path}") from error
    except TokenizerError as error:
        raise UserError(str(error)) from error
    if found.vocab_size != size:
        raise UserError(
            f"{path} has {found.vocab_size:,} tokens and the model of {run.name} has {size:,}; put the tokenizer there that it "
            "was trained with."
        )
    return found
