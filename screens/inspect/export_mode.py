"""The part of Inspect that takes something out: the view as text or picture, the trace as a file."""

import asyncio
from pathlib import Path

from textual import work
from textual.binding import Binding
from textual.reactive import var

from lab.core.errors import UserError
from lab.core.number_format import bytes_, whole
from lab.core.visible_text import visible
from lab.engine.client import EngineDied, EngineError
from lab.views.blocks import LensPath, ModelFacts
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.blocks.view_layout import Page
from screens.inspect.engine_session import Microscope
from screens.inspect.selection import Selection, position_in

CLIPBOARD_BYTES = 74_000
"""What terminals take through OSC 52 at least: xterm's limit of 100,000 characters in base64."""


def text_of(page: Page) -> str:
    """All lines of a view, also those out of sight, as they are drawn."""
    lines = (page.line(y)[0] for y in range(page.height))
    return "\n".join("".join(text for text, _ in (*line.pinned, *line.pieces)).rstrip() for line in lines)


class TakingOutScreen(LabScreen):
    """One key, then a choice; where a file went is said in the line below."""

    BINDINGS = [
        Binding(
            "o,O",
            "take_out",
            "Take out",
            id="inspect.take_out",
            key_display="o",
            show=False,
            tooltip="Copy the view as text, or save it, a picture, or the whole trace",
        ),
    ]

    aim: var[Selection | None] = var(None)
    microscope: Microscope
    _facts: ModelFacts | None
    _way: LensPath | None

    def view_in_text(self) -> str:
        """The view under two lines that say what it is of."""
        view, aim, facts, way = self.query_one(BlockView), self.aim, self._facts, self._way
        assert view.view is not None
        assert aim is not None
        assert facts is not None
        assert way is not None
        tokens = "│".join(token.label for token in way.tokens)
        position = position_in(aim, way)
        head = f"{facts.run}, step {whole(facts.step)} ({facts.checkpoint}): {view.view.title}, position {position + 1}"
        return visible(f"{head}\n{tokens}\n\n{text_of(view.laid)}\n", keep="\n")

    @work(exclusive=True, group="take out")
    async def action_take_out(self) -> None:
        from lab.runs.home_folder import home
        from screens.dialogs.export_menu import ExportMenu

        if self.aim is None or self._facts is None or self._way is None or self.query_one(BlockView).view is None:
            return
        what = await self.app.push_screen_wait(ExportMenu(_short(home() / "exports")))
        if what is None:
            return
        try:
            words = self._copy() if what == "copy" else await self._save(what, home())
        except EngineDied as error:
            self.trouble(str(error), True)
        except (UserError, EngineError) as error:
            self.tell(str(error))
        else:
            self.tell(words)

    def _copy(self) -> str:
        text = self.view_in_text()
        size = len(text.encode("utf-8", "replace"))
        if size > CLIPBOARD_BYTES:
            raise UserError(
                f"The view is {bytes_(size)} of text, and terminals take about {bytes_(CLIPBOARD_BYTES)} for the clipboard: "
                "save it as a file instead (o, then t)."
            )
        self.app.copy_to_clipboard(text)
        lines = text.count("\n")
        return f"Copied {whole(lines)} lines by OSC 52 (in tmux it needs: set -g set-clipboard on)."

    async def _save(self, what: str, home: Path) -> str:
        from lab.exchange.export_files import file_name, prepare, unused, write_text

        aim, facts, way, view = self.aim, self._facts, self._way, self.query_one(BlockView).view
        assert aim is not None
        assert facts is not None
        assert way is not None
        assert view is not None
        path = unused(await asyncio.to_thread(prepare, home) / file_name(facts, view, position_in(aim, way), what))
        if what in ("npz", "json"):
            self.tell(f"Writing {_short(path)} …")
            saved = await self.microscope.save_trace(aim, str(path), what)
            held = f"{whole(saved.arrays)} arrays, " if saved.arrays else ""
            return f"Saved {_short(path)} ({held}{bytes_(saved.bytes)})."
        text = self.view_in_text() if what == "text" else visible(self.app.export_screenshot(title="llmlab"), keep="\n")
        size = await asyncio.to_thread(write_text, path, text)
        return f"Saved {_short(path)} ({bytes_(size)})."

    def trouble(self, sentence: str, died: bool) -> None:
        """Say what went wrong."""
        raise NotImplementedError

    def tell(self, words: str) -> None:
        """Say a sentence in the line below."""
        raise NotImplementedError


def _short(path: Path) -> str:
    """A path as a user writes it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
