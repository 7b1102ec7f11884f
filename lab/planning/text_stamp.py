"""The stamp of a text, by which a preparation that was kept for it is known again."""

import hashlib
import os
import stat
import sys
from importlib.metadata import version
from typing import NamedTuple

from lab.data.corpus import Corpus

TEXT_VERSION = 1
"""Raised when `lab.data` makes another text of the same files and rules than before: what was kept is not used then."""
SETTLED_SECONDS = 2.0
"""Age of a file's last change from which on a further change would show: FAT counts in steps of two seconds, other file systems
in steps of some milliseconds. A younger file is not recognised the next time, since it may change again within the same step."""


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
    validation part, and the versions of the code that makes a text of them.

    The time of the last change to the inode is part of it, since a program can set the modification time back. None where the
    text cannot be recognised: it came from a pipe, or one of its files is gone.
    """
    other = corpus.validation
    if corpus.inputs is None or (other is not None and other.inputs is None):
        return None
    digest = hashlib.sha256(repr((TEXT_VERSION, sys.version, version("ftfy"), corpus.cleaning, corpus.holdout)).encode())
    changed = 0
    for each in (*corpus.inputs, *((other.inputs or ()) if other is not None else ())):
        facts: tuple[int, ...] = ()
        if each.path:
            try:
                found = os.stat(each.path)
            except OSError:
                return None
            if not stat.S_ISREG(found.st_mode):
                return None
            facts = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
            changed = max(changed, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(repr((each.path, each.builtin, each.encoding, facts)).encode("utf-8", "surrogateescape"))
    return TextStamp(digest.hexdigest(), changed / 1e9)
