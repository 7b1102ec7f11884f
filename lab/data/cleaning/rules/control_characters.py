"""Control characters: remove what no reader sees, and keep what shapes text: tabs, line ends, joiners, marks of direction."""

import re

from lab.data.cleaning.cleaner import BlockCleaner, Edit

_CONTROLS = re.compile(
    "(?P<colour>\\x1b\\[[0-?]*[ -/]*[@-~]|\\x1b\\][^\\x07\\x1b\\n]{0,500}(?:\\x07|\\x1b\\\\))"  # terminal sequences
    "|(?P<struck>[^\\n\\x08]\\x08)"  # a letter, and a step back over it
    "|(?P<page>(?<=[^\\n\\r])[\\x0b\\x0c\\x85](?=[^\\n\\r]))"  # a line end of another kind
    "|(?P<control>[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f])"
    "|(?P<mark>\\ufeff)"
)
_ANY = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ufeff]")
_REASONS = {
    "colour": "terminal sequence",
    "struck": "overstruck letter",
    "page": "page break",
    "control": "control character",
    "mark": "byte-order mark",
}


class ControlCharacters(BlockCleaner):
    """Removes controls other than tab, newline and carriage return, terminal sequences, overstruck letters, as manual pages have
    them, and byte-order marks. A form feed between two words becomes a newline."""

    def edits(self, block: str) -> list[Edit]:
        if _ANY.search(block) is None:
            return []
        return [
            Edit(found.start(), found.end(), "\n" if found.lastgroup == "page" else "", _REASONS[found.lastgroup or ""])
            for found in _CONTROLS.finditer(block)
        ]
