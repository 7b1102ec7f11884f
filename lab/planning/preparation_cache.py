"""Results of preparations, kept for the next one: a text's sizes and split, a learned vocabulary, a file of tokens.

They lie in the hidden folder `.prepared` beside the runs, readable by its owner alone; `llmlab cache` shows and empties it, and
so does deleting it. A run never depends on it: what a run needs is copied. An entry is written under a temporary name and
renamed, so that it is whole or not there, and each is held to its checksum before it is used. Where the folder cannot be written,
is a link, or belongs to somebody else, nothing is kept, which is no error.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import numpy as np

from lab.core.atomic_io import replace_atomic
from lab.core.errors import UserError
from lab.core.safe_open import (
    JSON_ERRORS,
    LARGEST_TOKENIZER,
    is_real_folder,
    make_private_folder,
    open_regular,
    open_to_replace,
    read_regular,
)
from lab.core.unfinished_folder import remove_abandoned_files
from lab.data.corpus import CorpusSize
from lab.data.token_file import TokenFileFacts, token_dtype
from lab.data.train_val_split import Split
from models.config import TokenizerError

FOLDER = ".prepared"
FORMAT = 1
"""Version of the entries; part of every key."""
LEAST_TEXT = 4_000_000
"""Bytes of text from which on results are kept: preparing a shorter one takes about a second."""
MOST_BYTES = 4 << 30
"""Bytes of all entries together."""
SHARE_OF_DISK = 10
"""The entries never take more than this part, a tenth, of the room that would be free without them."""
MOST_FILES = 2000
LARGEST_ENTRY = 64 << 20
"""Bytes of an entry other than a file of tokens; that of a million documents has 10 MB."""
BLOCK = 1 << 23
"""Bytes that are copied at a time."""

Report = Callable[[float], None]
"""Called with the share that is done; cancels by raising."""
T = TypeVar("T")

_CHECKSUM = re.compile(rb"[0-9a-f]{64}\n")


class KeptText(msgspec.Struct, frozen=True):
    """Results of reading a whole text."""

    size: CorpusSize
    split: Split
    validation: CorpusSize | None = None
    """Of a text of its own for validation."""

    def __post_init__(self) -> None:
        total = self.size.bytes + (self.validation.bytes if self.validation is not None else 0)
        if not 0 <= self.split.split <= self.split.bytes == total:
            raise ValueError("the split is not one of this text")


def key_of(*parts: object) -> str:
    """Key of an entry, made from everything that it follows from."""
    return hashlib.sha256(repr((FORMAT, *parts)).encode("utf-8", "surrogateescape")).hexdigest()[:40]


class PreparationCache:
    """The entries beside the runs of `home`, of at most `most` bytes together; those not used for longest are removed."""

    def __init__(self, home: Path, most: int = MOST_BYTES) -> None:
        self.folder = home / FOLDER
        self._most = most

    def read(self, kind: str, key: str, decode: Callable[[bytes], T]) -> T | None:
        """The entry of this kind with this key, if it is kept and can be decoded."""
        if not self._is_ours():
            return None
        path = self._path(kind, key, "json")
        try:
            raw = read_regular(path, max(LARGEST_ENTRY, LARGEST_TOKENIZER))
        except FileNotFoundError:
            return None
        except (OSError, UserError):
            raw = b""
        checksum, rest = raw[:65], raw[65:]
        try:
            if not _CHECKSUM.fullmatch(checksum) or hashlib.sha256(rest).hexdigest().encode() != checksum[:64]:
                raise ValueError("damaged")
            found = decode(rest)
        except (ValueError, TokenizerError, *JSON_ERRORS):
            self.remove(kind, key)
            return None
        for suffix in ("json", "bin"):
            with suppress(OSError):
                os.utime(self._path(kind, key, suffix))
        return found

    def keep(self, kind: str, key: str, contents: bytes) -> None:
        with suppress(OSError, UserError):
            if self._make_room(len(contents)):  # not synced: its checksum tells whether it is whole
                chunks = [hashlib.sha256(contents).hexdigest().encode() + b"\n", contents]
                replace_atomic(self._path(kind, key, "json"), chunks, is_lasting=False)

    def remove(self, kind: str, key: str) -> None:
        for suffix in ("json", "bin"):
            _unlink(self._path(kind, key, suffix))

    def tokens(self, key: str, path: Path, vocab_size: int, report: Report) -> TokenFileFacts | None:
        """Copy the file of tokens with this key to `path`, if it is kept, and return its facts.
        Raises OSError if `path` cannot be written."""
        facts = self.read("tokens", key, lambda raw: msgspec.json.decode(raw, type=TokenFileFacts))
        if facts is None:
            return None
        dtype = token_dtype(vocab_size)
        size, digest, done, highest = facts.tokens * dtype.itemsize, hashlib.sha256(), 0, 0
        try:
            source = open_regular(self._path("tokens", key, "bin"), size)
        except (OSError, UserError):
            self.remove("tokens", key)
            return None
        with source, os.fdopen(open_to_replace(path), "wb") as target:
            for block in _blocks(source):
                digest.update(block)
                done += len(block)
                highest = max(highest, int(np.frombuffer(block, dtype, len(block) // dtype.itemsize).max(initial=0)))
                target.write(block)
                report(done / max(1, size))
        if done != size or digest.hexdigest() != facts.sha256 or highest >= vocab_size:
            self.remove("tokens", key)
            return None
        return facts

    def keep_tokens(self, key: str, path: Path, facts: TokenFileFacts, report: Report) -> None:
        """Keep a copy of the file of tokens at `path`."""
        with suppress(OSError, UserError), open_regular(path) as source:
            size = os.fstat(source.fileno()).st_size

            def blocks() -> Iterator[bytes]:
                for block in _blocks(source):
                    yield block
                    report(source.tell() / max(1, size))

            if self._make_room(size):
                replace_atomic(self._path("tokens", key, "bin"), blocks(), is_lasting=False)
                self.keep("tokens", key, msgspec.json.encode(facts))

    def size(self) -> int:
        """Bytes of all entries, and of what killed processes left of some."""
        return sum(facts.st_size for _, facts in self._listed())

    def empty(self) -> int:
        """Remove all entries, and what killed processes left of some; return how many bytes that freed."""
        before = self.size()
        remove_abandoned_files(self.folder)
        for path, _ in self._kept():
            _unlink(path)
        with suppress(OSError):
            self.folder.rmdir()
        return before - self.size()

    def _path(self, kind: str, key: str, suffix: str) -> Path:
        return self.folder / f"{kind}-{key}.{suffix}"

    def _make_room(self, size: int) -> bool:
        """Make the folder, and remove leftovers and the files unused for longest, until `size` more bytes fit. False if they
        never will. An entry of which one of two files is gone is not used."""
        with suppress(FileExistsError):
            make_private_folder(self.folder)
        if not self._is_ours():
            return False
        remove_abandoned_files(self.folder)
        kept = sorted(self._kept(), key=lambda entry: entry[1].st_mtime, reverse=True)
        taken = sum(facts.st_size for _, facts in kept)
        room = min(self._most, (shutil.disk_usage(self.folder).free + taken) // SHARE_OF_DISK)
        if size > room:
            return False
        while kept and (taken + size > room or len(kept) >= MOST_FILES):
            path, facts = kept.pop()
            _unlink(path)
            taken -= facts.st_size
        return True

    def _is_ours(self) -> bool:
        """True for a folder that nobody else can write in, so that its contents are as trustworthy as the runs."""
        if not is_real_folder(self.folder):
            return False
        try:
            facts = self.folder.stat()
        except OSError:
            return False
        return not hasattr(os, "geteuid") or (facts.st_uid == os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH))

    def _kept(self) -> list[tuple[Path, os.stat_result]]:
        """The files of all entries, in no order."""
        return [(path, facts) for path, facts in self._listed() if not path.name.startswith(".")]

    def _listed(self) -> Iterator[tuple[Path, os.stat_result]]:
        if not self._is_ours():
            return
        for path in self.folder.iterdir():
            with suppress(OSError):
                facts = path.lstat()
                if not stat.S_ISDIR(facts.st_mode):
                    yield path, facts


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """A file in parts, up to where the disk cannot read it, which its checksum then tells."""
    with suppress(OSError):
        while block := file.read(BLOCK):
            yield block
