"""The page of the exercises: functions that the learner writes in an editor, checked, and the model that uses what passes."""

from __future__ import annotations

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import OptionList, TextArea
from textual.widgets.option_list import Option

from lab.core.atomic_io import write_atomic
from lab.core.errors import UserError
from lab.core.safe_open import read_regular
from lab.core.visible_text import visible
from lab.data.default_prompts import first_prompt
from lab.exchange.export_files import make_exports_folder, write_new_text
from lab.exercises.check import check_begun, check_file, use_passing
from lab.exercises.check_result import CheckResult
from lab.exercises.exercise import NAMES, YOUR_MODEL, words_of
from lab.exercises.export import my_gpt, whose
from lab.exercises.learner_files import LARGEST_FILE, begin, begin_anew, checksum, file_of, passing, states, write_folder
from lab.exercises.result_view import exercise_view, model_view
from lab.runs.find_runs import open_run
from lab.runs.home_folder import home
from lab.views.screen_state import ScreenState
from screens.about_key import About, described
from screens.background import ends_with_worker, in_thread, is_working, latest
from screens.blocks.block_view import BlockView
from screens.dialogs.ask import ConfirmDialog
from screens.learn.editor import edit, editor_command
from screens.learn.learn_page import ReadingPage, run_in_words
from screens.messages import OpenState
from screens.widgets.status_line import StatusLine
from screens.widgets.top_bars import PageLink

WATCH_SECONDS = 1.0
"""Seconds between two looks at the file of the exercise."""


class WriteList(OptionList):
    """The exercises, each with whether it passes."""

    BORDER_TITLE = "write it yourself"
    HELP = "**The exercises.** Its functions lead from bytes to a GPT-2; each is a file of yours, checked on a real model."
    BINDINGS = described(
        Binding("j", "cursor_down", "Exercise", id="write.next", key_display="j/k", tooltip="The next exercise"),
        Binding("k", "cursor_up", "Previous", id="write.previous", show=False, tooltip="The exercise before"),
        Binding("right,l,space", "select", "Open", id="write.open", key_display="enter", tooltip="Open the exercise"),
        About(rank=70),
    )


class WriteView(BlockView):
    """The exercise, and what its check found."""

    HELP = "**The exercise.** It runs your own code with your rights, in a process with limits on time, memory and files."
    BINDINGS = described(
        Binding("h", "hint", "Hint", id="write.hint", tooltip="The next of three hints; the third has the lab's own lines"),
        About(rank=85),
    )

    class HintAsked(Message):
        """The user wants the next hint."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "hint" or (self.view is not None and self.view.stage != YOUR_MODEL)

    def action_hint(self) -> None:
        self.post_message(self.HintAsked())


class CodeBox(TextArea):
    """The learner's file, where no editor is named. Escape keeps it."""

    class Left(Message):
        """The user has done with it."""

    def on_key(self, event: events.Key) -> None:
        if event.key not in ("escape", "enter"):
            return
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.post_message(self.Left())
        else:  # a line as deep as the one before
            start, end = sorted(self.selection)
            before = self.document.get_line(start[0])[: start[1]]
            self.replace("\n" + before[: len(before) - len(before.lstrip())], start, end, maintain_selection_offset=False)


class WritePage(ReadingPage):
    """Narrow screens show the list or the exercise, wide ones both."""

    LINK = PageLink(
        "write", "write", "Write the parts of a GPT-2 yourself, and have them checked", "exercise code python function"
    )
    LIST, TEXT = "#write-list", "#write-view"
    PARTS = (WriteList, WriteView)
    DEFAULT_CSS = """
    WritePage {
        & WriteList { width: 42; height: 1fr; max-height: 100%; border: round $foreground 30%; padding: 0 1; }
        & WriteList { background: $background; border-title-color: $foreground 90%; border-subtitle-color: $foreground 70%; }
        & WriteList:focus { border: round $accent; }
        & BlockView { height: 1fr; }
        & CodeBox { height: 1fr; display: none; border: round $accent; }
        &.-editing CodeBox { display: block; }
        &.-editing BlockView { display: none; }
    }
    """
    BINDINGS = described(
        Binding("enter", "check", "Check", id="write.check", tooltip="Check what you wrote on the model; at the end, use it"),
        About(rank=80),
        Binding("v", "panel", "Matrices", id="write.panel", tooltip="Yours, the right one and the difference, one at a time"),
        About(needs="a result that differs from the right one"),
        Binding("i", "inspect", "Inspect", id="write.inspect", tooltip="Inspect the right number: its formula, down to a weight"),
        About(
            "Live view",
            words="the right number in Inspect; matrices one at a time",
            also=("write.panel",),
            needs="a number of the model's own that yours differs from",
            synonyms="explain why weight",
            rank=81,
        ),
        Binding("e", "edit", "Edit", id="write.edit", tooltip="Edit your file, in your editor where one is named"),
        About(rank=82, synonyms="write editor vim code"),
        Binding("x", "anew", "Anew", id="write.anew", tooltip="Take what you wrote away, which is kept; begin anew"),
        About(rank=90, synonyms="reset restart template"),
        Binding(
            "o", "export", "Export", id="write.export", tooltip="Export: one file of what passes, my_gpt.py, which needs no lab"
        ),
        About(rank=95, synonyms="my_gpt.py file save"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, CheckResult] = {}
        """What the checks since the lab was opened have found, by exercise; that of the model under its title."""
        self._checked_on: dict[str, str] = {}
        """Their runs."""
        self._hints: dict[str, int] = {}
        self._read = ""
        """The text of the file as it was read into the box."""
        self._seen: dict[str, str] = {}
        """Checksum of each exercise's file, as it was checked or first seen."""
        self._states: dict[str, str] = {}
        """What the list shows of each."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield WriteList(id="write-list")
            with Vertical():
                yield WriteView(id="write-view")
                yield CodeBox(id="write-code")
                yield StatusLine(most_lines=2, id="write-status")

    @property
    def reader(self) -> WritePage:
        return self

    @property
    def view(self) -> WriteView:
        return self.query_one(WriteView)

    @property
    def chosen(self) -> str:
        """Name of the exercise under the cursor; the model's title below them."""
        return (*NAMES, YOUR_MODEL)[self.query_one(WriteList).highlighted or 0]

    @property
    def is_settled(self) -> bool:
        return not self.is_shown or not any(is_working(self, group) for group in ("check", "list"))

    def on_mount(self) -> None:
        titles = [f"{words.number:>2}  {words.title}" for words in map(words_of, NAMES)]
        self.query_one(WriteList).add_options([Option(title) for title in (*titles, f"    {YOUR_MODEL}")])
        self.query_one(WriteList).highlighted = 0
        self.set_interval(WATCH_SECONDS, self._look_for_change)
        self.watch(self.app, "language", self._follow_language, init=False)

    @latest("watch")
    async def _look_for_change(self) -> None:
        """Check the file of the exercise where another program has saved it, as an editor in another terminal does."""
        name, folder = self.chosen, write_folder()
        if not self.is_shown or self.has_class("-editing"):
            return
        if await in_thread(states, folder) != self._states:
            self._list()
        if name != YOUR_MODEL:
            now = await in_thread(checksum, file_of(folder, name))
            if self._seen.setdefault(name, now) != now:
                self._seen[name] = now  # a file that cannot be read is told once
                self.action_check()

    def watch_is_shown(self, is_shown: bool) -> None:
        if is_shown and self.is_mounted:
            self._list()

    def _follow_language(self) -> None:
        self._list()
        self._show()

    @latest("list")
    async def _list(self) -> None:
        """Mark in the list what passes and what was begun."""
        self._states = found = await in_thread(states, write_folder())
        choices = self.query_one(WriteList)
        for at, (name, state) in enumerate(found.items()):
            mark = "✓" if state == "passes" else "✗" if name in self.results else "·" if state else " "
            choices.replace_option_prompt_at_index(at, Text(f"{mark} {at + 1:>2}  {words_of(name).title}"))
        choices.border_subtitle = f"{list(found.values()).count('passes')} of {len(NAMES)} pass"

    @on(OptionList.OptionHighlighted)
    def _show(self) -> None:
        name = self.chosen
        result = self.results.get(name)
        if name == YOUR_MODEL:
            self.view.show(model_view(result))
            self._say(f"with the weights of {run_in_words(self.run, self.lab)}")
        else:
            self.view.show(exercise_view(words_of(name), result, self._hints.get(name, 0)))
            where = visible(str(file_of(write_folder(), name)))
            self._say(f"{where} · checked when it is saved, on {run_in_words(self.run, self.lab)}")
        self.refresh_bindings()

    def _say(self, words: str) -> None:
        self.query_one(StatusLine).say(words)

    @on(OptionList.OptionSelected)
    def _open(self) -> None:
        self.add_class("-reading")
        self.view.focus()
        self.call_after_refresh(self._show_from_top)  # the focus scrolls to the cursor, past what the check has found

    @on(BlockView.SpotChanged)
    def _tell_spot(self, message: BlockView.SpotChanged) -> None:
        message.stop()
        if message.spot is not None and message.spot.description:
            self._say(message.spot.description)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.has_class("-editing"):
            return action not in ("check", "panel", "inspect", "edit", "anew", "export")  # the box takes the keys
        if action == "panel":
            return self.view.has_panels
        if action == "inspect":
            return self.chosen in self.results and bool(self.results[self.chosen].number)
        return self.chosen != YOUR_MODEL or action not in ("edit", "anew")

    @latest("check")
    async def action_check(self) -> None:
        """Check the file of the exercise on the run of Learn, or use what passes."""
        name, run_name, folder, waiting = self.chosen, self.run, write_folder(), ends_with_worker()

        def checked() -> CheckResult:
            run = open_run(run_name)
            if name == YOUR_MODEL:
                check_begun(run.path, first_prompt(run), waiting=waiting)
                return use_passing(passing(folder), run.path, first_prompt(run), waiting=waiting)
            file = begin(folder, name)
            self._seen[name] = checksum(file)
            return check_file(name, file, run.path, first_prompt(run), mine=passing(folder), waiting=waiting)

        self.view.wait(True)
        try:
            self.results[name] = await in_thread(checked)
            self._checked_on[name] = run_name
        except UserError as error:
            self.notify(visible(str(error)), severity="error", markup=False)
            self.view.wait(False)
        self._show_from_top()
        self._list()

    def _show_from_top(self) -> None:
        """Show the exercise with what is new, which stands above."""
        self._show()
        self.view.show_head()
        self.view.refresh()

    @on(WriteView.HintAsked)
    def _hint(self) -> None:
        self._hints[self.chosen] = self._hints.get(self.chosen, 0) % 3 + 1
        self._show_from_top()

    def action_panel(self) -> None:
        self.view.next_panel()

    @work(group="inspect", exclusive=True, exit_on_error=True)
    async def action_inspect(self) -> None:
        """Explain in Inspect the number that the first one that differs has to be, on the weights that it was checked on."""
        name = self.chosen
        run = self._checked_on[name]
        number, apart = self.results[name].number, self.results[name].apart
        assert apart is not None, "it is what the number is of"
        prompt = await in_thread(lambda: first_prompt(open_run(run)))
        *head, position = apart.index[:-1] or (None,)
        layer = int(number.split(".")[1]) if number.startswith("blocks.") else None
        place = ScreenState(
            mode="inspect",
            run=run,
            checkpoint="best",
            prompt=prompt,
            stage=words_of(name).stages[0],
            layer=layer,
            head=head[0] if head else 0,
            position=position,
            explained=number,
        )
        self.post_message(OpenState(place))

    @work(group="edit", exclusive=True, exit_on_error=True)
    async def action_edit(self) -> None:
        """Open the file in the user's editor, and check it where it has changed; without an editor, in a box."""
        name = self.chosen
        try:
            path = await in_thread(begin, write_folder(), name)
            before = await in_thread(read_regular, path, LARGEST_FILE)
            if not editor_command():
                self._open_box(before.decode())
                return
            problem = edit(self.app, path, f"your file is {path}.")
            has_changed = await in_thread(read_regular, path, LARGEST_FILE) != before
        except (OSError, UnicodeDecodeError, UserError) as error:
            problem, has_changed = str(error), False
        if problem:
            self.notify(visible(problem), severity="warning", markup=False)
        self._list()
        if has_changed:
            self.action_check()

    def _open_box(self, text: str) -> None:
        box = self.query_one(CodeBox)
        self._read = text
        box.load_text(text)
        box.border_subtitle = "Esc keeps it"
        self.add_class("-editing", "-reading")
        box.focus()

    def would_be_lost(self) -> str:
        is_changed = self.has_class("-editing") and self.query_one(CodeBox).text != self._read
        return "what you have written" if is_changed else ""

    @on(CodeBox.Left)
    def leave(self) -> bool:
        """Keep what is in the box, and check it. False where it is not open."""
        if not self.has_class("-editing"):
            return False
        text = self.query_one(CodeBox).text
        try:
            if text != self._read:
                if file_of(write_folder(), self.chosen).read_text(encoding="utf-8") != self._read:
                    begin_anew(write_folder(), self.chosen)  # it was changed elsewhere meanwhile: that is kept, too
                write_atomic(file_of(write_folder(), self.chosen), text.encode())
                self.action_check()
        except (OSError, UserError) as error:
            self.notify(visible(str(error)), severity="error", markup=False)
            return True
        self.remove_class("-editing")
        self.view.focus()
        return True

    @work(group="export", exclusive=True, exit_on_error=True)
    async def action_export(self) -> None:
        try:
            mine = await in_thread(lambda: passing(write_folder()))
            text = await in_thread(lambda: my_gpt(mine))
            path = (await in_thread(lambda: write_new_text(make_exports_folder(home()) / "my_gpt.py", text)))[0]
            self.notify(visible(f"{path} is written: python {path} TEXT. {whose(mine)}"), markup=False)
        except UserError as error:
            self.notify(visible(str(error)), severity="error", markup=False)

    @work(group="edit", exclusive=True, exit_on_error=True)
    async def action_anew(self) -> None:
        name = self.chosen
        words = "The file becomes the template again. What it holds is kept beside it, under another name."
        dialog = ConfirmDialog(f"begin {words_of(name).title} anew?", words, key="x", yes="begin anew")
        if await self.app.push_screen_wait(dialog):
            try:
                kept = await in_thread(begin_anew, write_folder(), name)
            except UserError as error:
                self.notify(visible(str(error)), severity="error", markup=False)
                return
            self.results.pop(name, None)
            self.notify(visible(f"What it held is kept in {kept}." if kept else "It begins."), markup=False)
            self._show()
            self._list()

    def take_focus(self) -> None:
        self._list()
        if self.has_class("-editing"):
            self.query_one(CodeBox).focus()
        else:
            self.query_one(self.TEXT if self.has_class("-reading") else self.LIST).focus()
