"""Boilerplate lines: what web pages carry beside their text, recognised by its wording, line by line.

C4 removes every line that holds a word such as "javascript" or a phrase such as "privacy policy". In one person's text these
also stand in good sentences, so a line is only removed here where it is a notice, a button or a list of links.
"""

import functools
import re

from lab.data.cleaning.cleaner import STATEMENT, BlockCleaner, CodeLines, Edit

LONGEST_NOTICE = 600
"""Characters of a line; a longer one is text that holds a notice."""

_TRIGGERS = (
    "cookie",
    "javascript",
    "rights reserved",
    "copyright",
    "©",
    "(c)",
    "privacy",
    "terms of",
    "you agree",
    "legal notice",
    "share this",
    "share on",
    "share via",
    "tweet this",
    "follow us",
    "like us on",
    "pin it",
    "newsletter",
    "mailing list",
    "subscribe",
    "skip to",
    "back to top",
    "back to the top",
    "read more",
    "click here",
    "advertisement",
    "sponsored",
    "lorem ipsum",
)
"""Quick to look for; a line that a pattern matches holds one of these."""

_POLICY = (
    "(?:privacy|cookies?) (?:policy|notice|statement|settings|preferences)|terms (?:of|and|&) (?:use|service)|legal notice"
    "|imprint|impressum"
)
_LINK = (
    rf"(?:{_POLICY}|privacy|cookies?|terms(?: (?:and|&) conditions)?|conditions(?: of use)?|legal|contact(?: us)?|about(?: us)?"
    r"|site ?map|help|faqs?|home|accessibility(?: statement)?|disclaimer|careers|press|advertise(?: with us)?|feedback|copyright)"
)
_SITE = r"(?:this|our|the) (?:web ?)?(?:site|page|app)"
_OURS = "our|own|and|or|other|first-party|third-party|tracking|essential|necessary|functional|analytics|technical"
_OUR_COOKIES = rf"(?:(?:{_OURS}) ){{0,4}}cookies\b"
_NETWORK = "facebook|twitter|x|linkedin|pinterest|reddit|whatsapp|telegram|instagram|youtube|e-?mail"
_SHARED = rf"(?:this|on|via|with|by|and|or|article|post|page|story|friends|link|{_NETWORK})"
_BEGINNING = r"^(?:.*[.!?] )?\W*"
"""Of a line, or of a sentence in it: a notice speaks for its page, where a good sentence speaks of notices."""
_END = r"(?:\.\.\.|[^\w.!?])*$"
"""Of a button, which is no sentence."""
_OFF_OR_ON = "(?:enabled|disabled|required|activated|turned o(?:n|ff)|switched o(?:n|ff))"

_PATTERNS = {
    "cookie notice": (
        rf"{_BEGINNING}(?:we|{_SITE}|[\w.-]+\.(?:com|org|net))\b.{{0,60}}\buses? {_OUR_COOKIES}"
        r"(?=.*\b(?:experience|consent|accept|agree|brows|web ?site|privacy|policy|continu|analy|traffic|settings|personali"
        r"|advert|learn more|our site|this site))",
        rf"^\W*(?:we|{_SITE}) uses? {_OUR_COOKIES}\W*$",
        r"\bby (?:continuing|using|browsing|clicking|closing|visiting)\b.*\b(?:site|page|app|brows\w+|use|ok|accept|agree)\b.*"
        r"\bcookies\b",
        r"^\W*(?:accept|reject|decline|manage|allow)(?: all| only| necessary| essential)* cookies?(?: settings| preferences)?"
        r"\W*$",
        r"^\W*cookie (?:policy|settings|notice|preferences|consent)\W*$",
    ),
    "JavaScript notice": (
        rf"{_BEGINNING}(?:please|you (?:need to|must|have to|should)|to (?:view|use|see|run) this)\b.{{0,80}}"
        r"\b(?:enable|turn on|activate|allow) javascript\b",
        rf"{_BEGINNING}(?!if\b|when\b|where\b)(?:[\w', ]{{1,30}} )?"
        r"javascript (?:is|must be|has to be|needs to be|seems to be|appears to be|to be) (?:currently )?"
        rf"{_OFF_OR_ON}\b.{{0,60}}"
        r"\b(?:your browser|this browser|to (?:view|use|see)|this (?:site|page|website|feature|app))\b",
        rf"\b{_SITE}\b.{{0,40}}\brequires? javascript\b",
        rf"^\W*(?:please )?(?:enable javascript|javascript (?:is |must be )?{_OFF_OR_ON})\W*$",
    ),
    "copyright line": (
        r"(?:^\W*|[.|·•–—-]\s*|\d{4} )\ball rights reserved\s*(?:[.!|·•©*]|$|worldwide|unless|no part)",
        r"^\W*(?:(?:copyright\s*)?©|copyright\s*\(c\)|(?:copyright\s|\(c\))\s*(?=(?:19|20)\d\d))\s*(?:copyright\s*)?"
        r"(?:[\w .,&'-]{1,40})?(?:19|20)\d\d\S*(?:\s+\S+){0,12}$",
    ),
    "policy links": (
        rf"^\W*(?=.*\b(?:{_POLICY})\b|.*(?:privacy|cookies|terms)\b.*[|·•/>»–—-])"
        rf"{_LINK}(?:(?:\s*[|·•,/&>»–—-]+\s*|\s+and\s+|\s+){_LINK})*\W*$",
        r"\bby (?:clicking|signing up|submitting|subscribing|registering|using (?:this|our) (?:site|website|service))\b.{0,120}"
        r"\byou (?:agree|consent|accept|acknowledge)\b.{0,120}\b(?:terms|privacy|policy)\b",
    ),
    "share buttons": (
        rf"^\W*share (?:this|on|via)\b(?:\W*\b{_SHARED}\b)*\W*$",
        rf"^\W*(?:tweet this|pin it|(?:like|follow) us){_END}",
        rf"^\W*(?:like|follow) us on (?:(?:{_NETWORK}|and|or)\b\W*){{1,8}}$",
    ),
    "sign-up": (
        r"^\W*(?:sign up|subscribe|join|register)\b.{0,80}\b(?:newsletter|mailing list)\b.{0,80}$",
        rf"^\W*(?:newsletter sign-?up|subscribe(?: now| today)?){_END}",
    ),
    "navigation": (
        rf"^\W*(?:skip to (?:the )?(?:main |primary )?(?:content|navigation|menu)|back to (?:the )?top|read more|click here"
        rf"|click here (?:to|for) .{{1,60}}|advertisement|sponsored(?: content| post)?){_END}",
    ),
    "lorem ipsum": (r"\blorem ipsum dolor sit amet, consectetur\b", r"^\W*lorem ipsum\b"),
}


class BoilerplateLines(BlockCleaner):
    """Removes lines that are notices, buttons or lists of links. Code stays."""

    def begin_document(self) -> None:
        self._code = CodeLines()

    def edits(self, block: str) -> list[Edit]:
        self._code.read(block)
        edits = []
        for start in sorted(_candidates(block)):
            end = block.find("\n", start) + 1 or len(block)
            if end - start <= LONGEST_NOTICE and not self._code.is_code(block, start) and not STATEMENT.match(block, start):
                line = block[start:end].strip()
                if reason := next((reason for reason, pattern in _compiled().items() if pattern.search(line)), ""):
                    edits.append(Edit(start, end, "", reason))
        return edits


def _candidates(block: str) -> set[int]:
    """Starts of the lines that hold a trigger."""
    lower = block.replace("İ", "I").lower()  # the one letter that becomes two
    starts = set()
    for trigger in _TRIGGERS:
        at = lower.find(trigger)
        while at >= 0:
            starts.add(lower.rfind("\n", 0, at) + 1)
            end = lower.find("\n", at)
            at = lower.find(trigger, end) if end >= 0 else -1
    return starts


@functools.cache
def _compiled() -> dict[str, re.Pattern[str]]:
    """The pattern of each kind of boilerplate."""
    return {
        reason: re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
        for reason, patterns in _PATTERNS.items()
    }
