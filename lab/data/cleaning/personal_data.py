"""Personal data: e-mail addresses and phone-like numbers, each replaced by one that belongs to nobody."""

import re
from collections.abc import Iterator

from lab.data.cleaning.cleaner import BlockCleaner, Edit, Span, single_bytes

EXAMPLE_EMAIL = "email@example.com"
"""As FineWeb has it; example.com is kept free for examples (RFC 2606)."""
EXAMPLE_PHONE = "555-0100"
"""555-0100 to 555-0199 are kept free for fiction."""

_EMAIL = re.compile(
    r"(?<![\w.+%-])(?!git@[\w.-]+:)[\w.+%'-]{1,64}@(?!self\.|(?:[\w-]+\.)*example\.(?:com|org|net)\b)"
    r"(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w@([]|[-.]\w)"
)

_CANDIDATE = re.compile(r"[+(]?\d[\d ().\-/–\u00a0]{5,24}\d")
"""Digits with what stands between those of a phone number."""
_SIGNS = bytes(ord("0" if chr(byte) in "0123456789?" else "-" if chr(byte) in "+ ().-/\xa0" else " ") for byte in range(256))
"""By byte of Latin-1: 0 for a digit, and for the ? in place of any other character; - for another sign of a candidate."""
_DIGITS = re.compile(rb"0[-0]{5,24}0")
_FORMS = re.compile(
    r"\+[1-9]\d{0,2}(?:[ .\-–\u00a0]?\(0?\d{1,4}\))?(?:[ .\-/–\u00a0]?\d{1,12}){1,6}"  # +44 20 7946 0958
    r"|(?:1[ .-])?\(\d{3}\) ?\d{3}[ .–-]\d{4}"  # (212) 736-5000
    r"|(?:1[.-])?[2-9]\d\d([.-])[2-9]\d\d\1\d{4}"  # 212-736-5000
)
_LABELLED = re.compile(r"\(?\d{1,5}\)?(?:[ .\-/–\u00a0]?\(?\d{1,8}\)?){1,6}")
_LABEL = re.compile(
    r"(?:\b(?:tel|tél|phone|telephone|téléphone|telefon|teléfono|fax|mobile|mobil|cell|whatsapp|call(?: us)?(?: at)?)\b\.?"
    r"|[☎☏📞📱])"
    r"[ \t]*(?:no\.?|number|nr\.?)?[ \t]*[:.]?[ \t]*\Z",
    re.IGNORECASE,
)
_YEAR = r"(?:19|20)\d\d"
_NO_PHONE = re.compile(
    rf"(?:{_YEAR}([-./])\d\d?\1\d\d?|\d\d?([-./])\d\d?\2{_YEAR}|{_YEAR} ?[-–/] ?{_YEAR})(?!\d)"  # dates
    r"|[+-]?\d+\.\d+(?:[ ,/–-]+\d+\.\d+)*/?\Z"  # decimal numbers, such as coordinates
)
_OTHER_NUMBER = re.compile(r"\b(?:isbn|issn|doi|oclc|lccn)\b", re.IGNORECASE)
FEWEST_DIGITS = 7
MOST_DIGITS = 15
"""Digits of a phone number (ITU-T E.164)."""


class Emails(BlockCleaner):
    def edits(self, block: str) -> list[Edit]:
        edits = []
        at = block.find("@")
        while at >= 0:  # a line of those that hold one
            end = block.find("\n", at)
            end = len(block) if end < 0 else end
            start = block.rfind("\n", 0, at) + 1
            edits += [Edit(found.start(), found.end(), EXAMPLE_EMAIL) for found in _EMAIL.finditer(block, start, end)]
            at = block.find("@", end)
        return edits


class PhoneNumbers(BlockCleaner):
    """Replaces numbers in the form of a phone number, and digits after a word such as phone. A line with an ISBN is left."""

    def edits(self, block: str) -> list[Edit]:
        return [
            Edit(found.start(), found.end(), EXAMPLE_PHONE)
            for start, stop in _numbers(block)
            for found in _CANDIDATE.finditer(block, start, stop)
            if _is_phone(block, found.start(), found.end())
        ]


def _numbers(block: str) -> Iterator[Span]:
    """The runs of signs of a candidate that hold enough digits for one. A character beyond Latin-1 counts as a digit."""
    signs = single_bytes(block).translate(_SIGNS) + b" "
    at = 0
    while found := _DIGITS.search(signs, at):
        start = signs.rfind(b" ", 0, found.start()) + 1
        at = signs.find(b" ", found.end())
        if signs.count(b"0", start, at) >= FEWEST_DIGITS:
            yield start, at


def _is_phone(block: str, start: int, stop: int) -> bool:
    number = block[start:stop]
    digits = sum(map(str.isdigit, number))
    if not FEWEST_DIGITS <= digits <= MOST_DIGITS or number == EXAMPLE_PHONE:
        return False
    before, after = block[start - 1 : start], block[stop : stop + 1]
    if (before and (before.isalnum() or before in "+-._/#=@$€£%")) or (after and (after.isalnum() or after in "%€$")):
        return False
    if _NO_PHONE.match(number):
        return False
    line = block.rfind("\n", 0, start) + 1
    if _LABEL.search(block, max(line, start - 40), start):
        return _LABELLED.fullmatch(number.removeprefix("+")) is not None
    if _FORMS.fullmatch(number) is None or (number.startswith("+") and digits < 8):
        return False
    end = block.find("\n", stop)
    return _OTHER_NUMBER.search(block, line, end if end >= 0 else len(block)) is None
