"""The files that a source names: their stamp, whether they can be read again or have changed; and the texts trained on last."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import msgspec
from msgspec.structs import replace

from lab.core.errors import UserError
from lab.core.preferences import (
    LONGEST_NAME,
    LONGEST_SOURCE,
    MOST_TEXTS,
    RecentText,
    preferences_lock,
    read_preferences,
    replace_preferences,
)
from lab.core.safe_open import open_regular
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import STDIN, shown_source
from lab.data.find_text_files import find_by_pattern, find_in_folder, fixed_part, is_pattern
from lab.data.text_source import FILE_URI, mode_of, open_corpus, path_of, sources_of
from lab.runs.run_folder import Run
from lab.runs.run_schema import DataConfig
from lab.runs.schema_parts import LAST_TENTH

SourceStamp = tuple[tuple[str, int, int], ...]
"""Path, size and time of modification of each file; empty for built-in texts."""


def source_stamp(source: str) -> SourceStamp:
    """The files of a source as they are now; those that cannot be read are left out.
    Raises UserError if a folder has too many files."""
    found = []
    for path in (path for each in sources_of(source) for path in _paths(each)):
        with suppress(OSError, ValueError):
            facts = os.stat(path)
            found.append((path, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def can_be_read_again(source: str) -> bool:
    """False for standard input and named pipes, whose text is gone once it is read."""
    return not any(each == STDIN or (not is_builtin(each) and stat.S_ISFIFO(mode_of(each))) for each in sources_of(source))


def is_one_file(source: str) -> bool:
    """True if the source names one regular file by its path."""
    return not is_builtin(source) and len(sources_of(source)) == 1 and stat.S_ISREG(mode_of(source))


def file_size(source: str) -> int | None:
    """Bytes of all files of a source; None where one of them is no regular file, or there is none."""
    try:
        stamp = source_stamp(source)
    except UserError:
        return None
    return sum(size for _, size, _ in stamp) if stamp and can_be_read_again(source) else None


def _paths(source: str) -> list[str]:
    if source == STDIN or is_builtin(source):
        return []
    try:
        path = path_of(source)
        if path.is_dir():
            return [file.path for file in find_in_folder(str(path)).files]
        if not path.exists() and is_pattern(source):
            return [file.path for file in find_by_pattern(os.path.abspath(os.path.expanduser(source))).files]
    except (OSError, ValueError, RuntimeError):
        return []
    return [str(path)]


def recent_texts(home: Path) -> list[RecentText]:
    """The last texts, the newest first, without those whose files or folders are gone. Looks at the disk."""
    return [text for text in read_preferences(home)[0].recent_texts if all(map(_is_there, sources_of(text.source)))]


def remember_text(home: Path, source: str, encoding: str = "") -> None:
    """Put a text first among the recent ones. Standard input and pipes, which cannot be read again, are not kept.

    A damaged file of preferences is left as it is.
    Raises UserError if the preferences cannot be written.
    """
    text = RecentText(source, encoding)
    if not 0 < len(source) <= LONGEST_SOURCE or len(encoding) > LONGEST_NAME or not can_be_read_again(source):
        return
    with preferences_lock(home):
        preferences, problem = read_preferences(home)
        if not problem and preferences.recent_texts[:1] != (text,):
            others = [each for each in preferences.recent_texts if each.source != source]
            replace_preferences(home, msgspec.structs.replace(preferences, recent_texts=(text, *others)[:MOST_TEXTS]))


def _is_there(source: str) -> bool:
    if is_builtin(source) or mode_of(source):
        return True
    return is_pattern(source) and not source.startswith(FILE_URI) and os.path.isdir(fixed_part(os.path.expanduser(source)))


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
