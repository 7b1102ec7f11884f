"""Exports: the menu of a view of Inspect or a run in Train, and screenshots of the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.app import App
from textual.binding import Binding
from textual.widgets import OptionList

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.core.visible_text import visible
from screens.dialogs.ask import ListDialog
from screens.widgets.text_fitting import short_path


def screenshot(app: App[object]) -> str:
    return visible(app.export_screenshot(title="llmlab"), keep="\n")


async def save_screenshot(app: App[object], kind: str, name: str = "") -> None:
    """Save the screen in view. `kind` is "svg" or "png"; `name` the file's own name."""
    from lab.exchange.export_files import write_screenshot

    svg = screenshot(app)
    await save_export(app, name or f"llmlab-{app.current_mode}.{kind}", lambda path: write_screenshot(path, svg))


async def save_export(app: App[object], name: str, write: Callable[[Path], int]) -> None:
    """Have `write`, which returns the size, save a file in the folder of exports, and say where it is, or why it cannot be."""
    from lab.exchange.export_files import make_exports_folder, unused_path
    from lab.runs.home_folder import home

    try:
        path = unused_path(await asyncio.to_thread(make_exports_folder, home()) / name)
        size = await asyncio.to_thread(write, path)
    except UserError as error:
        app.notify(str(error), severity="error", markup=False)
    else:
        following = " Any browser opens it." if path.suffix == ".html" else ""
        app.notify(visible(f"Saved {short_path(path)} ({bytes_(size)}).{following}"), markup=False)


CHOICES = {
    "h": ("html", "a report of the run that any browser opens (HTML)"),
    "c": ("copy", "copy the view as text to the clipboard"),
    "t": ("text", "the view as a text file"),
    "s": ("svg", "a screenshot (SVG)"),
    "p": ("png", "a screenshot (PNG)"),
    "n": ("npz", "every tensor of the trace, for NumPy (.npz)"),
    "j": ("json", "a summary of the trace: tokens, next tokens, logit lens (JSON)"),
}
"""Key: the kind of export and its label."""

KINDS = tuple(kind for kind, _ in CHOICES.values())
OF_A_RUN = ("html", "svg", "png")


class ExportMenu(ListDialog[str | None]):
    """Returns the chosen export, or None on escape."""

    LIST = OptionList
    BINDINGS = [
        Binding("escape,q", "dismiss", "Close", id="export.close", tooltip="Cancel"),
        *(
            Binding(key, f"choose('{what}')", words, id=f"export.{what}", show=False, tooltip=words)
            for key, (what, words) in CHOICES.items()
        ),
    ]
    DEFAULT_CSS = "ExportMenu OptionList { width: 72; }"

    def __init__(self, folder: str, kinds: tuple[str, ...] = KINDS) -> None:
        """`folder` is where the files go, as a user writes it; `kinds` are those of CHOICES that are offered."""
        self._kinds = kinds
        lines = [f"{key}  {words}" for key, (what, words) in CHOICES.items() if what in kinds]
        super().__init__(lines, "export", f"files go to {folder}")

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss([what for what in KINDS if what in self._kinds][event.option_index])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "choose" or parameters[0] in self._kinds

    def action_choose(self, what: str) -> None:
        self.dismiss(what)
