"""Check that a run's text and tokens are those that it was made from."""

import hashlib
from pathlib import Path
from stat import S_ISREG

from msgspec.structs import replace

from lab.core.errors import UserError
from lab.core.safe_open import open_regular
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import STDIN, shown_source
from lab.data.text_source import open_corpus, path_of, sources_of
from lab.runs.run_folder import Run
from lab.runs.run_schema import DataConfig
from lab.runs.schema_parts import LAST_TENTH


def file_sha256(path: Path) -> str:
    """SHA-256 of a regular file, read in pieces: about a second for a gigabyte."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_tokens(run: Run) -> None:
    """Check that tokens.bin is unchanged since the run was made. Runs from before its checksum was kept pass.
    Raises UserError if it does not."""
    expected = run.config.data.tokens_sha256
    if expected and file_sha256(run.tokens_path) != expected:
        raise UserError(
            f"{run.tokens_path} is not what it was when {run.name} was made (its checksum differs); "
            "put a good copy there, or start a new run."
        )


def change_of_text(data: DataConfig, created: float) -> str:
    """A sentence if the file of the text is gone or has changed; empty if not, or if the text was no file.

    It is read only if it was written to since `created`, in Unix seconds. The run itself is not concerned: its text lies, as
    tokens, in its own folder.
    """
    if data.holdout.source and (held := data.holdout).sha256:
        own = replace(data, source=held.source, encoding=held.encoding or data.encoding, sha256=held.sha256, holdout=LAST_TENTH)
        data = replace(data, holdout=LAST_TENTH)
        return change_of_text(data, created) or change_of_text(own, created)
    sources = sources_of(data.source)
    if STDIN in sources or all(map(is_builtin, sources)):
        return ""
    shown = shown_source(data.source)
    continues = "training continues with the text as it was when the run was made"
    try:
        if len(sources) == 1 and S_ISREG((facts := path_of(data.source).stat()).st_mode) and facts.st_mtime < created:
            return ""
        corpus = open_corpus(data.source, data.encoding, cleaning=data.cleaning)
        if corpus.modified < created and corpus.opened_documents >= data.documents:
            return ""
        if corpus.measure().sha256 == data.sha256:
            return ""
    except FileNotFoundError:
        return f"{shown} is gone; {continues}."
    except UserError as error:
        if len(sources) > 1:  # the sentence names the file that is wrong
            return f"{shown} cannot be read any more, because {str(error).split(';')[0].rstrip('.')}; {continues}."
        return f"{shown} cannot be read any more; {continues}."
    except (OSError, ValueError):
        return f"{shown} cannot be read any more; {continues}."
    return f"{shown} has changed; {continues}."
