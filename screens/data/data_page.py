"""The base class of the pages of Data, and the text that they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lab.data.source_files import SourceStamp
from lab.data.statistics.text_statistics import TextFacts
from lab.runs.run_schema import DEFAULT_RULES
from screens.base_screen import Page

NO_TEXT = "No text is chosen yet: esc shows the texts."


@dataclass(frozen=True)
class ChosenText:
    """A text that has been read: what opens it again, the encoding that the user gave, and its facts."""

    source: str
    encoding: str
    """Empty if it is auto-detected."""
    facts: TextFacts
    """Those of the text as it was cleaned when it was read; the rules may have changed since."""
    cleaning: tuple[str, ...] = DEFAULT_RULES
    """Names of the cleaning rules that the user has chosen."""

    @property
    def as_read(self) -> tuple[str, str, SourceStamp]:
        """The text before any rule: another where its file has changed."""
        return self.source, self.encoding, self.facts.stamp

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """All that the text as it is trained on depends on."""
        return self.source, self.encoding, self.cleaning


class DataPage(Page):
    """One page. A subclass is mounted when it is first visited, and only a page in sight is told to show a text."""

    STEP: ClassVar[int] = 0
    """The step of text → cleaned → tokens that it is about."""

    def show(self, text: ChosenText | None) -> None:
        """Show this text; None while there is none, or it is being read. Called when the page opens and when the text changes."""

    def hide(self) -> None:
        """End the work of a page that is no longer in sight."""
