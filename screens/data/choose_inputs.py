"""Inputs of the page Choose: the path with completions, the size of the stories, and the tree of texts and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events, on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.widgets import Input, Tree
from textual.widgets.tree import TreeNode
from textual.worker import get_current_worker

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.data.builtin_texts import BUILTINS
from lab.data.path_completion import (
    Listing,
    binary_files,
    common_start,
    completed_name,
    completions,
    listing,
    matching_files,
    typed_line,
    typed_source,
    working_folder,
)
from lab.data.source_files import recent_texts
from lab.data.text_source import source_of
from lab.runs.home_folder import home
from screens.about_key import About, described
from screens.background import in_thread, latest
from screens.data.data_page import short_name
from screens.widgets.choice import Choice
from screens.widgets.text_fitting import painted_line, short_path

SIZES = ("100kB", "300kB", "1MB", "3MB", "10MB", "30MB", "100MB")
"""Sizes of the built-in text `stories` that the slider has; any other is typed, such as stories:5MB."""
TRACK = 3


class SizeSlider(Choice):
    """The sizes as a choice, with the place on a track behind it."""

    HELP = "**Size** of the made-up text: `←` `→`, or `+` `-` on the whole page. Other sizes are typed as a path: `stories:5MB`."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(SIZES, "1MB", id=id, tooltip="Size of the text that the grammar makes up")

    def get_content_width(self, container: object, viewport: object) -> int:
        return super().get_content_width(container, viewport) + 3 + TRACK * (len(SIZES) - 1) + 1

    @property
    def _track_start(self) -> int:
        return super().get_content_width(None, None) + 2

    def action_turn(self, by: int) -> None:
        """Move by one size; a slider has ends."""
        self.value = self.options[max(0, min(len(self.options) - 1, self.options.index(self.value) + by))]

    def on_click(self, event: events.Click) -> None:
        place = round((event.x - self._track_start) / TRACK)
        if event.x < self._track_start - 1:
            self.action_turn(-1 if event.x < 2 else 1)
        else:
            self.value = self.options[max(0, min(len(self.options) - 1, place))]

    def render_line(self, y: int) -> Strip:
        at = self.options.index(self.value) * TRACK
        before = " " * (self._track_start - 5 - len(self.value)) + "├" + "─" * at
        after = "─" * (TRACK * (len(self.options) - 1) - at) + "┤"
        head = [("‹ ", "arrows"), (self.value, "word"), (" ›", "arrows")]
        return painted_line(self, "choice", [*head, (before, ""), ("●", "word"), (after, "")])


class PathInput(Input):
    """Completions are looked up off the event loop and posted as `Candidates`."""

    HELP: ClassVar[str | None] = """
**The path** of a text file or of a folder, a pattern such as `notes/**/*.md`, or `stories` (`stories:5MB`) or `python`;
several with spaces between, each completed by Tab. A path with spaces stands in quotes there. Enter chooses.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Choose", id="path.choose", tooltip="Read this text"),
        Binding("tab", "complete", "Complete", id="path.complete", tooltip="Complete the path, or focus the next field"),
    ]

    @dataclass
    class Candidates(Message):
        """Completions of the typed text."""

        typed: str
        names: list[str]
        """Name of the path that each line completes."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, compact=True)
        self.placeholder = "file, folder, notes/*.md, stories or python"
        self._candidates: tuple[str, list[str]] = ("", [])
        self._taken = ""
        self._to_complete: str | None = None
        """The text that Tab was pressed at, before its completions were known."""

    def follow(self, source: str, *, taken: bool) -> None:
        """Show the line of the text in use if it was `taken`, else nothing in place of that before. What is being typed stays."""
        if typed_source(self.value) != source and (taken or self.value == self._taken):
            self.value = typed_line(source) if taken else ""
            self.cursor_position = len(self.value)
        if taken:
            self._taken = self.value

    @on(Input.Changed)
    @latest("completions")
    async def _look_up(self, event: Input.Changed) -> None:
        typed = event.value
        lines = await in_thread(completions, typed) if typed else []
        if typed != self.value:
            return  # another text was typed meanwhile
        self.post_message(self.Candidates(typed, [completed_name(line) for line in lines]))
        self._candidates = (typed, lines)
        if self._to_complete == typed and self.has_focus:
            self.action_complete()

    def action_complete(self) -> None:
        typed, names = self._candidates
        self._to_complete = self.value if typed != self.value else None
        if self._to_complete is not None:
            return  # `_look_up` goes on
        longer = common_start(names)
        if len(longer) > len(typed):
            self.value = longer
            self.cursor_position = len(longer)
        elif not names or names == [typed]:
            self.screen.focus_next()


MOST_RECENT = 5


@dataclass(frozen=True)
class TreeEntry:
    """One line: a text by its source, or a folder."""

    source: str = ""
    """Empty on a folder."""
    folder: Path | None = None
    encoding: str = ""
    """The encoding of a recent text; empty if it is auto-detected."""


class TextTree(Tree[TreeEntry]):
    """Folders are read off the event loop when opened."""

    HELP: ClassVar[str | None] = """
**The texts.** `stories` and `python` are built in. Several marked files, or whole folders, are joined as documents of one text.
Standard input is the shell's: `… | llmlab train -`.
"""
    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("down,j", "cursor_down", "Down", id="texts.down", show=False, tooltip="Next line"),
        Binding("up,k", "cursor_up", "Up", id="texts.up", show=False, tooltip="Previous line"),
        Binding("right,l", "open", "Open folder", id="texts.open", show=False, tooltip="Open the folder"),
        Binding("left,h", "close", "Close folder", id="texts.close", show=False, tooltip="Close the folder, or go to its parent"),
        Binding("backspace", "above", "Parent folder", id="texts.above", tooltip="Show the parent folder"),
        About(synonyms="folder directory up parent", rank=110),
        Binding("m", "mark", "Mark", id="texts.mark", tooltip="Mark or unmark this file or folder: several make one text"),
        About(synonyms="several files select multiple documents"),
        Binding("enter", "select_cursor", "Choose", id="texts.take", tooltip="Choose this text, or open this folder"),
        About(synonyms="open file folder"),
    )
    DEFAULT_CSS = """
    TextTree { background: $background; padding: 0; &:focus { background-tint: $foreground 0%; } }
    """

    marked: var[tuple[str, ...]] = var(())

    @dataclass
    class Marked(Message):
        """Other files or folders are marked: their sources, in the order in which they were marked."""

        sources: tuple[str, ...]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("texts", id=id)
        self.show_root = False
        self.show_guides = False
        self.guide_depth = 2
        self.folder = working_folder()
        self._typed: TreeNode[TreeEntry] | None = None
        """The line of a text that was typed and is not listed otherwise."""
        self.filter = ""
        """The words that the names of the files shown hold; empty for all files."""
        self.is_narrowed = False

    def on_mount(self) -> None:
        for name in BUILTINS:
            self.root.add_leaf(Text.assemble(name, ("  built in", "dim")), TreeEntry(source=name))
        self.show_folder(self.folder)
        self.cursor_line = 0
        self._list_recent()

    @latest("recent")
    async def _list_recent(self) -> None:
        recent = await in_thread(recent_texts, home())
        listed = {*BUILTINS, self._source(self._typed.data) if self._typed is not None and self._typed.data is not None else ""}
        texts = [text for text in recent if text.source not in listed][:MOST_RECENT]
        for at, text in enumerate(texts, len(BUILTINS)):
            self._add_text(text.source, text.encoding, "recent", at)

    def _add_text(self, source: str, encoding: str, kind: str, at: int) -> TreeNode[TreeEntry]:
        label = Text.assemble(visible(short_name(source)), (f"  {kind}", "dim"))
        return self.root.add_leaf(label, TreeEntry(source=source, encoding=encoding), before=at)

    def show_source(self, source: str, encoding: str) -> None:
        """Put the cursor on the line of a text; one that is not listed gets one, in place of the last such."""
        if self._source(self.under_cursor) == source:
            return
        lines = (self.get_node_at_line(line) for line in range(self.last_line + 1))
        found = next((node for node in lines if node and node.data and self._source(node.data) == source), None)
        if found is None and self._typed is not None:
            self._typed.remove()
        node = found or self._add_text(source, encoding, "typed", len(BUILTINS))
        self._typed = self._typed if found else node
        if self.last_line >= 0:  # which gives a new line its number
            self.move_cursor(node)

    def show_folder(self, folder: Path) -> None:
        """Make this the folder that is listed below the built-in texts."""
        self.folder = folder
        self._remove_folders()
        if self.filter:
            self._find(folder, self.filter)
            return
        node = self.root.add(Text(f"{short_path(folder)}/"), TreeEntry(folder=folder), expand=True)
        self._list(node, folder)

    def _remove_folders(self) -> None:
        for node in list(self.root.children):
            if node.data is not None and node.data.folder is not None:
                node.remove()

    @on(Tree.NodeExpanded)
    def _expanded(self, event: Tree.NodeExpanded[TreeEntry]) -> None:
        event.stop()
        place = event.node.data
        if place is not None and place.folder is not None and not event.node.children:
            self._list(event.node, place.folder)

    def narrow(self, typed: str) -> None:
        """Show the files below the folder whose path holds these words; all of it for none."""
        self.filter, self.is_narrowed = typed.strip(), False
        self.workers.cancel_group(self, "find")
        if self.filter:
            self._find(self.folder, self.filter)
        else:
            self.show_folder(self.folder)

    @latest("find")
    async def _find(self, folder: Path, typed: str) -> None:
        worker = get_current_worker()
        files, is_all = await in_thread(matching_files, folder, typed, lambda: worker.is_cancelled)
        self._remove_folders()
        number = f"{len(files):,}" + ("" if is_all else " or more")
        label = Text.assemble((f"{number} in ", "dim"), f"{short_path(folder)}/")
        top = self.root.add(label, TreeEntry(folder=folder), expand=True)
        paths = {name: source_of(folder / name) for name in files}
        leaves = {name: top.add_leaf(Text(visible(name)), TreeEntry(source=path)) for name, path in paths.items()}
        self._grey_binaries(folder, leaves)
        self.is_narrowed = True
        if leaves and self.last_line:  # which gives the new lines their numbers
            self.move_cursor(next(iter(leaves.values())))
        else:
            top.add_leaf(Text("no file of that name", style="italic"), TreeEntry())

    @work(group="listing")
    async def _list(self, node: TreeNode[TreeEntry], folder: Path) -> None:
        found, problem = Listing((), ()), ""
        try:
            found = await in_thread(listing, folder)
        except UserError as error:
            problem = str(error)
        if node.children:
            return
        for name in found.folders:
            node.add(Text(f"{name}/"), TreeEntry(folder=folder / name))
        leaves = {name: node.add_leaf(Text(name), TreeEntry(source=source_of(folder / name))) for name in found.files}
        self._grey_binaries(folder, leaves)
        if problem:
            node.add_leaf(Text(problem, style="italic"), TreeEntry())
        elif found.left_out:
            node.add_leaf(Text(f"… {found.left_out:,} more: type the path above", style="italic"), TreeEntry())
        elif not node.children:
            node.add_leaf(Text("empty", style="italic"), TreeEntry())

    @work(group="binaries")
    async def _grey_binaries(self, folder: Path, leaves: dict[str, TreeNode[TreeEntry]]) -> None:
        """Look into the files once they are listed: on a slow disk that takes longer than the listing."""
        for name in await in_thread(binary_files, folder, leaves):
            leaf = leaves[name]
            leaf.set_label(Text.assemble((str(leaf.label), "dim"), ("  binary", "dim italic")))

    def render_label(self, node: TreeNode[TreeEntry], base_style: Style, style: Style) -> Text:
        """The label, with a mark on the cursor's line that shows without colour."""
        mark = "▌" if node is self.cursor_node else " "
        if self.marked and node.data is not None and self._source(node.data) in self.marked:
            mark += "✓"
        icon = (self.ICON_NODE_EXPANDED if node.is_expanded else self.ICON_NODE) if node.allow_expand else ""
        label = node.label if isinstance(node.label, Text) else Text(str(node.label))
        shown = label.copy()
        shown.stylize_before(style)
        return Text.assemble((mark, base_style), (icon, base_style), shown)

    @staticmethod
    def _source(entry: TreeEntry) -> str:
        return entry.source or (source_of(entry.folder) if entry.folder is not None else "")

    @property
    def under_cursor(self) -> TreeEntry:
        """The entry of the cursor's line; one of nothing where there is no line."""
        node = self.cursor_node
        return node.data if node is not None and node.data is not None else TreeEntry()

    def action_mark(self) -> None:
        source = self._source(self.under_cursor)
        if source:
            rest = tuple(each for each in self.marked if each != source)
            self._set_marks(rest if source in self.marked else (*rest, source))
            self.action_cursor_down()

    def unmark_all(self) -> None:
        self._set_marks(())

    def _set_marks(self, sources: tuple[str, ...]) -> None:
        self.marked = sources
        self.notify_style_update()  # measures and draws all lines anew
        self.refresh()
        self.post_message(self.Marked(sources))

    def action_open(self) -> None:
        node = self.cursor_node
        if node is not None and node.allow_expand and not node.is_expanded:
            node.expand()
        else:
            self.action_cursor_down()

    def action_close(self) -> None:
        node = self.cursor_node
        if node is None:
            return
        if node.allow_expand and node.is_expanded:
            node.collapse()
        elif node.parent is not None and node.parent is not self.root:
            self.move_cursor(node.parent)

    def action_above(self) -> None:
        self.show_folder(self.folder.parent)
