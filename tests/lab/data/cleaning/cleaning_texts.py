"""Texts to clean, and a hypothesis strategy for texts of lines that the rules care about."""

from collections.abc import Iterable

from hypothesis import strategies as st

from lab.data.cleaning.rule_registry import clean_documents
from lab.data.text_chunks import DocumentPart

LONG = "A line that is long enough to be compared with those before it, word by word.\n"
PARAGRAPH = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness,\n"
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of Light.\n\n"
)
START = "*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n"
END = "*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n"

LINES = [
    "\n",
    "   \n",
    "\r\n",
    "one\r",
    LONG,
    PARAGRAPH,
    PARAGRAPH.replace("worst", "best"),
    START,
    END,
    "Subscribe to our email newsletter to hear about new eBooks.\n",
    "We use cookies on this website.\n",
    "All rights reserved.\n",
    "Home\n",
    "About us\n",
    "@#$%^&*()!@#$%\n",
    "x" * 1200 + "\n",
    "é e\u0301 ﬁ \u1112\u1161\u11ab A\u030a\n",
    "\u0301\u0327",
    "Ã©tait â€™ dÃ©jÃ\xa0\n",
    "\x1b[31mred\x1b[0m \x00\x07 N\x08N\n",
    "\x0c",
    "page\x0cpage \ufeff\x85 mark\n",
    "write to ann.lee@mail.org, or call +44 20 7946 0958\n",
    "```\n",
    "    code = '@#$%^&*()!@#$%'\n",
    "שלום עולם, זה טקסט מימין לשמאל.\n",
    "no line end",
]
texts = st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=30).map("".join)


def in_parts(text: str, sizes: Iterable[int]) -> list[str]:
    """The text in parts of these sizes, and the rest."""
    parts = []
    for size in sizes:
        parts.append(text[:size])
        text = text[size:]
    return [*parts, text]


def stream(documents: Iterable[list[str]]) -> list[DocumentPart]:
    """Documents, each in parts, as a corpus gives them."""
    parts = []
    read = 0
    for document in documents:
        for at, part in enumerate(document or [""]):
            read += len(part.encode("utf-8", "surrogatepass"))
            parts.append(DocumentPart(part, read, at == 0))
    return parts


def cleaned(text: str, *rules: str) -> str:
    """The text as these rules leave it."""
    return "".join(part.text for part in clean_documents(stream([[text]]), rules))
