"""Recognise an unchanged text without reading it, by the state of its files."""

import functools
import hashlib
import os
import stat
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import lab.data
from lab.data.corpus import Corpus

SETTLED_SECONDS = 2.0
"""Age of a file's last change from which on a further change would show: FAT counts in steps of two seconds, other file systems
in steps of some milliseconds. A younger file is not recognised the next time, since it may change again within the same step."""
READING_PACKAGES = ("ftfy", "datasketch")
"""Packages that a cleaned text depends on."""


class TextStamp(NamedTuple):
    """State of everything that a text is made from. Two equal ones mean the same text, if it had `settled` at the first."""

    key: str
    changed: float
    """Unix time in seconds of the last change to one of the files; 0.0 for a built-in text."""

    def settled(self, now: float) -> bool:
        """True if any change after `now` will show in the stamp."""
        return now - self.changed > SETTLED_SECONDS


def text_stamp(corpus: Corpus) -> TextStamp | None:
    """The stamp of a corpus: path, size, times, inode and encoding of each file, the cleaning rules, the choice of the
    validation part, and the code of all that.

    The time of the last change to the inode is part of it, since a program can set the modification time back. None where the
    text cannot be recognised: it came from a pipe, or one of its files is gone.
    """
    other = corpus.validation
    if corpus.inputs is None or (other is not None and other.inputs is None):
        return None
    digest = hashlib.sha256(repr((code_digest(), corpus.cleaning, corpus.holdout)).encode())
    changed = 0
    for path, builtin, encoding in (*corpus.inputs, *((other.inputs or ()) if other is not None else ())):
        facts: tuple[int, ...] = ()
        if path:
            try:
                found = os.stat(path)
            except OSError:
                return None
            if not stat.S_ISREG(found.st_mode):
                return None
            facts = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
            changed = max(changed, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(repr((path, builtin, encoding, facts)).encode("utf-8", "surrogateescape"))
    return TextStamp(digest.hexdigest(), changed / 1e9)


@functools.cache
def code_digest() -> str:
    """Checksum of the code that makes a text from its files: `lab.data`, the packages that clean, and Python itself."""
    digest = hashlib.sha256(repr((sys.version, [_version(name) for name in READING_PACKAGES])).encode())
    root = Path(lab.data.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
