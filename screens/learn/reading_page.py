"""The base class of the pages with a list and a reader for its entries: narrow screens show one of the two."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Protocol

from screens.learn.learn_page import LearnPage


class Reader(Protocol):
    def take_focus(self) -> None: ...

    def leave(self) -> bool: ...


class ReadingPage(LearnPage):
    """Has the class `-reading` while an entry of the list is read."""

    LIST: ClassVar[str]
    """Selector of the list."""
    TEXT: ClassVar[str]
    """Selector of the text being read."""

    @property
    @abstractmethod
    def reader(self) -> Reader:
        """The part that shows the entry."""

    def close_reading(self) -> None:
        """Back to the list."""
        self.remove_class("-reading")
        self.query_one(self.LIST).focus()

    def take_focus(self) -> None:
        if self.has_class("-reading"):
            self.reader.take_focus()
        else:
            self.query_one(self.LIST).focus()

    def resting_focus(self) -> str | None:
        return self.TEXT if self.has_class("-reading") else self.LIST

    def go_back(self) -> bool:
        if not self.has_class("-reading"):
            return False
        if not self.reader.leave():
            self.close_reading()
        return True
