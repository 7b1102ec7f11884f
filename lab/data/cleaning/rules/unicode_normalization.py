"""Unicode normalization: each character is written in one way, as NFC (Unicode Standard Annex 15) says."""

import re
from unicodedata import is_normalized, normalize

from lab.data.cleaning.cleaner import BlockCleaner, Edit

_RUN = re.compile(r"[^\n\x80-\U0010ffff]?[^\x00-\x7f]+")
"""A run of characters beyond ASCII and the letter that accents before them belong to. Nothing joins across its ends."""


class Nfc(BlockCleaner):
    """Normalizes to NFC. A block ends at a newline, or at a border that `border_before` finds: nothing joins across it."""

    def edits(self, block: str) -> list[Edit]:
        if block.isascii() or is_normalized("NFC", block):
            return []
        return [
            Edit(run.start(), run.end(), now)
            for run in _RUN.finditer(block)
            if not is_normalized("NFC", run[0]) and (now := normalize("NFC", run[0])) != run[0]
        ]

    def cleaned(self, block: str) -> str:
        return block if block.isascii() else normalize("NFC", block)
