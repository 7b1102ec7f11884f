"""Tokenizers by name: GPT-2's, single bytes, or a run's."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.core.number_format import counted
from lab.runs.find_runs import find_run, open_run
from lab.runs.run_folder import Stamp, file_stamp, tokenizer_of
from models.config import END_OF_TEXT

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

TokenizerSource = Literal["gpt2", "bytes", "run"]
SOURCES: tuple[TokenizerSource, ...] = ("gpt2", "bytes", "run")


@dataclass(frozen=True)
class NamedTokenizer:
    """A tokenizer and where it comes from; `run` is the name of the run that it belongs to, empty for the two built-in ones."""

    tokenizer: "Tokenizer"
    source: TokenizerSource
    run: str = ""

    @property
    def title(self) -> str:
        """Its name for people: `GPT-2`, `bytes`, or the run's name."""
        return self.run or {"gpt2": "GPT-2", "bytes": "bytes"}[self.source]


def open_tokenizer(source: TokenizerSource, run: str = "") -> NamedTokenizer:
    """A built-in tokenizer, or that of the run called `run`.

    Raises:
        UserError: if there is no such run, or its tokenizer cannot be read.
        TokenizerError: if GPT-2's vocabulary is not on this machine and cannot be downloaded.
    """
    from models.tokenizers.tokenizer import Tokenizer

    match source:
        case "gpt2":
            return NamedTokenizer(Tokenizer.gpt2(), source)
        case "bytes":
            return NamedTokenizer(Tokenizer.bytes_(), source)
        case "run":
            return NamedTokenizer(tokenizer_of(open_run(run)), source, run)


class TokenizerCache:
    """Tokenizers that have been opened, each read once, and a run's again where its file is another. Threads may share it."""

    def __init__(self) -> None:
        self._opened: dict[tuple[TokenizerSource, str], tuple[NamedTokenizer, Path | None, Stamp | None]] = {}
        """Each with the file that it was read from, as it was then; None for the built-in ones."""
        self._lock = threading.Lock()

    def known(self, source: TokenizerSource, run: str = "") -> NamedTokenizer | None:
        """The tokenizer, if it has been opened and its file has not changed."""
        named, path, stamp = self._opened.get((source, run), (None, None, None))
        return named if path is None or file_stamp(path) == stamp else None

    def open(self, source: TokenizerSource, run: str = "") -> NamedTokenizer:
        """The tokenizer. Raises what `open_tokenizer` raises."""
        with self._lock:
            found = self.known(source, run)
            if found is None:
                path = find_run(run).tokenizer_path if source == "run" else None
                stamp = file_stamp(path) if path else None
                found = open_tokenizer(source, run)
                self._opened[source, run] = found, path, stamp
            return found


def special_sentence(tokenizer: "Tokenizer", text: str, special: bool) -> str:
    """Sentence on the first text of a special token: its reading here, and the other one; empty if there is none.

    `special` says that it is read as the special token, where the tokenizer has it.
    """
    found = min((each for each in tokenizer.special if each in text), key=text.index, default="")
    if not found:
        return f'"{END_OF_TEXT}" is plain text: this tokenizer has no special token.' if END_OF_TEXT in text else ""
    plain = tokenizer.encode(found)
    pieces = " ".join(tokenizer.label(id) for id in plain)
    if special:
        return (
            f'"{found}" is read as the special token {tokenizer.special[found]}, one token that plain text never gives. '
            f"As plain text: {counted(len(plain), 'token')}, {pieces}."
        )
    return (
        f'"{found}" is read as plain text, as all text that is trained on or typed: {counted(len(plain), "token")}, {pieces}. '
        f"The special token would be one: {tokenizer.special[found]}."
    )
