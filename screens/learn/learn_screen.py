"""Learn: a list of short lessons; the one on softmax has numbers to change."""

import re

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Markdown, OptionList
from textual.widgets.option_list import Option

from lab.lessons.load_lessons import lessons
from screens.base_screen import LabScreen
from screens.learn.softmax_editor import SoftmaxEditor
from screens.messages import ModeChosen
from screens.widgets.mode_bar import MODES

MODE_LINK = "mode:"
MODE_KEY = re.compile(r"\b(press|in) `([1-6])`", re.IGNORECASE)


class LessonText(VerticalScroll, inherit_bindings=False):
    """One lesson, scrolled with the keys that scroll everywhere."""

    HELP = "**The lesson.** `j` and `k` scroll, `tab` leads to the numbers to change, `escape` back to the list."
    BINDINGS = [
        Binding("j,down", "scroll_down", "Scroll", id="lesson.down", key_display="j/k", tooltip="Scroll down"),
        Binding("k,up", "scroll_up", "Up", id="lesson.up", show=False, tooltip="Scroll up"),
        Binding("left,h", "screen.back", "List", id="lesson.back", key_display="←", tooltip="Back to the list of lessons"),
    ]

    def watch_virtual_size(self) -> None:
        self._mark_rest()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._mark_rest()

    def _mark_rest(self) -> None:
        below = self.virtual_size.height - round(self.scroll_y) - self.scrollable_content_region.height
        self.border_subtitle = f"↓ {below} more line{'s' if below > 1 else ''} · space" if below > 0 else ""


class LearnScreen(LabScreen):
    """The list of lessons at the left, the lesson at the right."""

    MODE = "learn"
    HELP = "Short lessons on how a GPT works. Each ends with the key that shows it on your own model."
    DEFAULT_CSS = """
    LearnScreen {
        #learn-list { width: 34; height: 1fr; max-height: 100%; border: round $foreground 30%; padding: 0 1; }
        #learn-list { background: $background; }
        #learn-list:focus { border: round $accent; }
        #learn-lesson { border: round $foreground 30%; padding: 0 1; border-subtitle-color: $foreground 70%; }
        #learn-list, #learn-lesson { border-title-color: $foreground 90%; }
        #learn-lesson:focus { border: round $accent; }
        #learn-lesson Markdown { background: transparent; padding: 0 1; margin: 0; }
        SoftmaxEditor { display: none; }
        &.-softmax SoftmaxEditor { display: block; }
        &.-narrow #learn-list { width: 22; }
    }
    """
    BINDINGS = [
        Binding("j", "next(1)", "Lesson", id="learn.next", key_display="j/k", tooltip="The next lesson"),
        Binding("k", "next(-1)", "Previous", id="learn.previous", show=False, tooltip="The previous lesson"),
        Binding("space,pagedown", "page(1)", "Scroll", id="learn.page", key_display="space", tooltip="Scroll the lesson"),
        Binding("b,pageup", "page(-1)", "Scroll up", id="learn.page_up", show=False, tooltip="Scroll the lesson back"),
        Binding("right,l", "read", "Read", id="learn.read", key_display="→", tooltip="Focus the lesson"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lessons = lessons()

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            choices = OptionList(*(Option(f"{i}. {lesson.title}") for i, lesson in enumerate(self._lessons, 1)), id="learn-list")
            choices.border_title = "lessons"
            yield choices
            with LessonText(id="learn-lesson"):
                yield Markdown(id="learn-text", open_links=False)
                yield SoftmaxEditor()

    def on_mount(self) -> None:
        choices = self.query_one(OptionList)
        choices.highlighted = 0
        choices.focus()

    def resting_focus(self) -> str | None:
        return "#learn-lesson"

    def go_back(self) -> bool:
        choices = self.query_one(OptionList)
        if self.focused is choices:
            return False
        choices.focus()
        return True

    def action_next(self, by: int) -> None:
        choices = self.query_one(OptionList)
        choices.highlighted = max(0, min((choices.highlighted or 0) + by, len(self._lessons) - 1))

    @on(OptionList.OptionHighlighted)
    def _show(self, event: OptionList.OptionHighlighted) -> None:
        lesson = self._lessons[event.option_index]
        self.query_one(LessonText).border_title = lesson.title
        self.set_class(lesson.name == "softmax", "-softmax")
        self._write(lesson.text)

    @work(exclusive=True, group="lesson")
    async def _write(self, text: str) -> None:
        """Lay out the lesson; while a key is held, only the last one."""
        await self.query_one(Markdown).update(linked_modes(text))
        self.query_one(LessonText).scroll_home(animate=False)

    @on(Markdown.LinkClicked)
    def _open_mode(self, event: Markdown.LinkClicked) -> None:
        mode = event.href.removeprefix(MODE_LINK)
        if mode in MODES:
            self.post_message(ModeChosen(mode))

    @on(OptionList.OptionSelected)
    def action_read(self) -> None:
        self.query_one(LessonText).focus()

    def action_page(self, by: int) -> None:
        box = self.query_one(LessonText)
        box.scroll_relative(y=by * max(1, box.scrollable_content_region.height - 2), animate=False)


def linked_modes(text: str) -> str:
    """The lesson with "press `5`" as a link to that mode."""
    return MODE_KEY.sub(lambda found: f"[{found[0]}]({MODE_LINK}{MODES[int(found[2]) - 1]})", text)
