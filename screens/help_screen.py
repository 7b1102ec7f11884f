"""The help screen (`?`): every key of the screen in view by purpose; one key further, what the screen shows, in words."""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.markdown import Markdown
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.events import Resize
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from screens.about_key import about
from screens.action_index import Action, bindings_of, own_actions, page_actions
from screens.base_screen import LabScreen
from screens.widgets.text_fitting import fit, wrap

WIDTH, WIDE_WIDTH = 76, 128
"""Columns of the box with one column of keys, and with two."""

WIDE = 130
"""Columns of the terminal from which the table of keys has two columns."""

BORDER, PADDING, GAP = 2, 4, 2
"""Columns of the box's border, of the space inside it, and of the space between two columns of words."""

MOST_OF_KEYS = 16
"""Most columns for the keys of a line."""

Section = tuple[str, list[tuple[str, str]]]
"""A purpose, and the keys and words of each of its lines."""


Line = tuple[tuple[str, ...], str]
"""One line of the help: ids of an action, or of two opposite ones, and its words where these are not the tooltip."""

Group = tuple[str, tuple[Line, ...]]
"""A heading, and the lines under it."""


class HelpScreen(ModalScreen[None]):
    """Help on a screen, with its keys from the active bindings. The app reuses one: making it is slower than a key may be."""

    BINDINGS = [
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close", tooltip="Close the help"),
        Binding("tab", "turn", "In words", id="help.turn", tooltip="The keys, or what the screen shows in words"),
        Binding("j,down", "scroll('down')", "Down", id="help.down", show=False),
        Binding("k,up", "scroll('up')", "Up", id="help.up", show=False),
    ]
    DEFAULT_CSS = """
    HelpScreen {
        align: center middle; background: $background;
        &:ansi { background: ansi_default; }
        #help { max-width: 100%; height: auto; max-height: 100%; border: round $primary; padding: 0 2; background: $surface; }
        #help-words { display: none; }
        &.-words #help-words { display: block; }
        &.-words #help-keys { display: none; }
    }
    """

    def explain(self, screen: LabScreen) -> None:
        """Set the screen to explain; call this before pushing."""
        focused = screen.focused
        # The focused widget may be a part, such as a field, of one that has a HELP.
        around = [node for node in focused.ancestors_with_self if isinstance(node, Widget)] if focused is not None else [screen]
        words = "\n\n".join(node.HELP for node in around if node.HELP)
        self._title, self._words, self._sections = screen.MODE.title() or "Help", words, sections_of(screen)
        self._picture = screen.help_picture()
        if self.is_mounted:
            self._fill()

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(id="help-words")
            yield Static(id="help-keys", markup=False)

    def on_mount(self) -> None:
        self._fill()

    def _fill(self) -> None:
        self.remove_class("-words")
        self._lay_out(self.app.size)
        self._name_page()

    def _lay_out(self, size: Size) -> None:
        """Write the table of keys for a terminal of this size."""
        self._laid_out = size
        box, wide = self.query_one("#help"), size.width >= WIDE
        box.styles.width = WIDE_WIDTH if wide else WIDTH
        width = min(WIDE_WIDTH if wide else WIDTH, size.width) - BORDER - PADDING
        lines = _table(self._sections, self._picture, width, wide)
        if len(lines) + BORDER > size.height:
            lines = _table(self._sections, self._picture, width - box.styles.scrollbar_size_vertical, wide)
        self.query_one("#help-keys", Static).update(Content("\n").join(lines))

    def on_resize(self, event: Resize) -> None:
        if event.size != self._laid_out:
            self._lay_out(event.size)

    def _name_page(self) -> None:
        box = self.query_one("#help")
        this, other = ("in words", "keys") if self.has_class("-words") else ("keys", "in words")
        box.border_title, box.border_subtitle = f"{self._title}: {this}", f"Tab {other} · Esc close"
        box.scroll_home(animate=False)

    def action_turn(self) -> None:
        self.toggle_class("-words")
        if self.has_class("-words"):
            self.query_one("#help-words", Static).update(Markdown(self._words))
        self._name_page()

    def action_scroll(self, direction: str) -> None:
        box = self.query_one("#help")
        if direction == "down":
            box.scroll_down(animate=False)
        else:
            box.scroll_up(animate=False)


def sections_of(screen: LabScreen) -> list[Section]:
    """Every active key by purpose: the focused part's, the screen's, those of its pages, also of those that are not open, and
    those that work everywhere."""
    active: dict[str, tuple[DOMNode, list[str], str]] = {}
    bindings: dict[str, Binding] = {}
    for node, binding, enabled, tooltip in screen.active_bindings.values():
        words = tooltip or binding.tooltip
        if not enabled or not words or binding.system:
            continue
        id = binding.id or binding.action
        active.setdefault(id, (node, [], words))[1].append(screen.app.get_key_display(binding))
        bindings.setdefault(id, binding)
    shown, of_pages = getattr(screen, "page", ""), list(page_actions(type(screen)))
    # Of the page in sight only those of parts that are there, such as a live view.
    there = {holder for holder in {action.holder for action in of_pages if action.page == shown} if screen.query(holder)}
    of_pages = [action for action in of_pages if action.page != shown or action.holder in there]
    hidden = own_actions(type(screen)) if isinstance(screen.focused, screen.TEXT_FIELDS) else ()
    for action in (*of_pages, *hidden):
        active.setdefault(action.id, (screen, [screen.app.get_key_display(action.binding)], action.words))
        bindings.setdefault(action.id, action.binding)
    in_order = {id: each for owner in (type(screen.app), type(screen)) for id, (each, *_) in bindings_of(owner).items()}
    *by_heading, everywhere = [_group(heading, in_order | bindings) for heading in (*screen.HEADINGS, "Everywhere")]
    grouped = {id for _, lines in (*by_heading, everywhere) for ids, _ in lines for id in ids}
    pages = _groups_of_pages(screen, [action for action in of_pages if action.id not in grouped])
    here = (*pages[:1], *by_heading, *pages[1:])
    grouped |= {id for _, lines in pages for ids, _ in lines for id in ids}
    rest = [id for id in active if id not in grouped]
    groups = (
        ("In the focused part", lines_of([bindings[id] for id in rest if active[id][0] not in (screen, screen.app)])),
        *here,
        ("More" if here else "Here", lines_of([bindings[id] for id in rest if active[id][0] in (screen, screen.app)])),
        everywhere,
    )
    sections: list[Section] = []
    for title, group in groups:
        lines = []
        for ids, words in group:
            found = [active[id] for id in ids if id in active]
            if found:
                # `j/k` or `[ ]`, as a binding displays its key, names that of its opposite, too.
                first = found[0][1][0]
                named = found[:1] if set("/ ") & set(first) or "↑↓" in first else found
                keys = " ".join(dict.fromkeys(key for _, names, _ in named for key in names[: None if len(found) == 1 else 1]))
                lines.append((keys, words or found[0][2]))
        if lines:
            sections.append((title, lines))
    return sections


def _group(heading: str, bindings: Mapping[str, Binding]) -> Group:
    """The bindings of a heading, by id."""
    lines: dict[str, Line] = {}
    for id, key in sorted(((id, about(binding)) for id, binding in bindings.items()), key=lambda each: each[1].place):
        if key.description == heading and id not in lines:
            lines |= dict.fromkeys((id, *key.also), ((id, *key.also), key.words))
    return (heading, tuple(dict.fromkeys(lines.values())))


def lines_of(bindings: Sequence[Binding]) -> tuple[Line, ...]:
    """A line for each action. Two opposite actions share a line where the first displays both keys, such as `j/k`."""
    each = list({binding.id or binding.action: binding for binding in bindings}.items())
    lines: list[Line] = []
    while each:
        id, binding = each.pop(0)
        opposite = each[0][1] if each and not each[0][1].show else None
        keys = binding.key_display or ""
        if opposite is not None and (len(re.split("[/ ]", keys)) == 2 or keys == "↑↓"):
            words = f"{binding.tooltip}; {opposite.tooltip[:1].lower()}{opposite.tooltip[1:]}"
            lines.append(((id, each.pop(0)[0]), words))
        else:
            lines.append(((id,), ""))
    return tuple(lines)


def _groups_of_pages(screen: LabScreen, actions: Sequence[Action]) -> list[Group]:
    """The actions of each page of a screen, those of the page in sight first."""
    shown = getattr(screen, "page", "")
    links = sorted((page.LINK for page in screen.PAGES), key=lambda link: link.name != shown)
    return [
        (
            f"Page {link.title}" + ("" if link.name == shown else f", key {link.letter}"),
            lines_of([action.binding for action in actions if action.page == link.name]),
        )
        for link in links
    ]


def _table(sections: list[Section], picture: str, width: int, wide: bool) -> list[Content]:
    """The lines of the sections under the picture, in two columns where it is `wide`."""
    above = [Content.styled(fit(line, width), "bold") for line in picture.split("\n")] + [Content()] if picture else []
    if not wide:
        return [*above, *(line for section in sections for line in _section(section, width))][:-1]
    sizes = [len(lines) + 2 for _, lines in sections]
    half = next((at for at in range(1, len(sizes)) if sum(sizes[:at]) * 2 >= sum(sizes)), len(sizes))
    column = (width - GAP) // 2
    left, right = ([line for each in part for line in _section(each, column)] for part in (sections[:half], sections[half:]))
    for first, second in zip_longest(left, right, fillvalue=Content()):
        above.append(Content.assemble(first, " " * (column + GAP - first.cell_length), second))
    return above[:-1]


def _section(section: Section, width: int) -> list[Content]:
    """The lines of a section: its title, each key with its words, and an empty one."""
    title, lines = section
    column = max(1, min(MOST_OF_KEYS, max(cell_len(keys) for keys, _ in lines), (width - GAP) // 2))
    drawn = [Content.styled(title, "bold underline")]
    for keys, words in lines:
        told = wrap(words[:1].upper() + words[1:], width - column - GAP)
        for key, word in zip_longest(wrap(keys, column), told, fillvalue=""):
            drawn.append(Content.assemble((fit(key, column + GAP), "bold"), word))
    return [*drawn, Content()]
