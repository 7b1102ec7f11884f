"""Text of whole sentences, as many as fit."""

import re

from textual.widgets import Static

from screens.widgets.text_fitting import wrap

LEFT_OUT = " …"


class SummaryText(Static):
    """Plain text that changes often; the screen is laid out again only if the number of lines changes."""

    def say(self, text: str) -> None:
        if text == self.content:
            return
        self.update(text, layout=not self.content)
        width, height = self.content_size
        if width and self.get_content_height(self.content_size, self.app.size, width) != height:
            self.refresh(layout=True)


def whole_sentences(text: str, width: int, lines: int) -> str:
    """The first sentences of the text that fit, at least one, and " …" where others are left out."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", text)
    kept = text
    while len(sentences) > 1 and width > 0 and len(wrap(kept, width)) > lines:
        sentences.pop()
        kept = " ".join(sentences) + LEFT_OUT
    return kept
