"""Sentences that have to fit."""

import re

from screens.widgets.layout import wrap


def whole_sentences(text: str, width: int, lines: int) -> str:
    """The first sentences of the text, as many as fit whole, and at least one."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", text)
    while len(sentences) > 1 and width > 0 and len(wrap(" ".join(sentences), width)) > lines:
        sentences.pop()
    return " ".join(sentences)
