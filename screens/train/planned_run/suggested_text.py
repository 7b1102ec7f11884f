"""The text that a new run is suggested to train on before one is chosen: that of another run, else a built-in one."""

from __future__ import annotations

from dataclasses import dataclass

from textual import work
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from lab.core.errors import UserError
from lab.data.statistics.source_stamp import can_be_read_again, file_size
from lab.data.text_source import open_corpus
from lab.runs.find_runs import open_run
from lab.runs.run_schema import DEFAULT_RULES

FIRST_TEXT = "stories"
"""The suggestion where no run has a text: it needs no file, and its true entropy is known."""
MOST_BYTES = 50_000_000
"""Largest file that is read, to count its tokens, although nobody chose it."""


def suggested_text(run_name: str) -> tuple[str, str, tuple[str, ...]]:
    """Source, encoding and cleaning rules of the text of the run of this name; `FIRST_TEXT` where there is none that can be read
    again soon.
    """
    try:
        config = open_run(run_name).config
        source, encoding = config.data.source, config.data.encoding
        if config.has_text and can_be_read_again(source) and (file_size(source) or 0) <= MOST_BYTES:
            open_corpus(source, encoding)
            return source, encoding, config.data.cleaning
    except UserError:
        pass  # no run yet, or its text is gone: a suggestion less
    return FIRST_TEXT, "", DEFAULT_RULES


class SuggestsText(Widget):
    """A widget with a text to train on. Posts `Suggested`, which its subclass handles."""

    is_suggested: bool = True
    """True while no text has been chosen."""

    @dataclass
    class Suggested(Message):
        """A text to train on as long as none is chosen."""

        source: str
        encoding: str
        cleaning: tuple[str, ...]

    @work(thread=True, group="suggest", exclusive=True, exit_on_error=True)
    def suggest_text_of(self, run_name: str) -> None:
        """Suggest the text of this run as long as none is chosen."""
        if self.is_suggested:
            suggested = self.Suggested(*suggested_text(run_name))
            if not get_current_worker().is_cancelled:  # else another run was chosen meanwhile, whose text may have come already
                self.post_message(suggested)
