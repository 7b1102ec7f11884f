"""Export from Inspect: the view as text or picture, the trace as a file."""

import asyncio
from pathlib import Path

from textual.binding import Binding

from lab.core.errors import UserError
from lab.core.number_format import bytes_, whole
from lab.core.visible_text import visible
from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import PROMPT_REPORT, SAVE_TRACE, PromptParams, SaveTraceParams
from lab.views.blocks import View
from screens.about_key import About, described
from screens.blocks.view_layout import lay_view, parity_sentence, text_of
from screens.dialogs.export_menu import screenshot
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import position_in
from screens.terminal.clipboard import copy
from screens.widgets.text_fitting import short_path

WIDE = 200
"""Least width of a view as text, in character cells: room for the columns that a narrow screen leaves out."""


class ViewExport(InspectPart):
    """One key, then a choice; the status line says where the file is."""

    BINDINGS = described(
        Binding(
            "o", "do('export')", "Export", id="inspect.take_out", show=False, tooltip="Export: report, view, screenshot or trace"
        ),
        About("Model", synonyms="save copy clipboard csv npz json svg png picture download"),
    )

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._writing = ""
        """The file that is being written."""

    def would_be_lost(self) -> str:
        return f"{self._writing}, which is being written" if self._writing else ""

    def _in_sight(self) -> tuple[Ready, View] | None:
        """The view in sight and the model that it is of."""
        model, view = self._host.model, self._host.view.view
        return (model, view) if isinstance(model, Ready) and view is not None else None

    def actions(self) -> Actions:
        return (self.do_export,)

    def do_export(self) -> None:
        if self._in_sight() is not None:
            self._host.start(self._export(), "export")

    async def _export(self) -> None:
        from lab.runs.home_folder import home
        from screens.dialogs.export_menu import ExportMenu

        kind = await self._host.ask(ExportMenu(short_path(home() / "exports")))
        exported = self._in_sight()
        if kind is None or exported is None:
            return
        try:
            if kind == "copy":
                words = await copy(self._host.app, self._text(*exported))
            else:
                words = await self._save(*exported, kind, home())
        except EngineDied as error:
            self._host.fail(str(error), True)
        except (UserError, EngineError) as error:
            self._host.say(str(error))
        else:
            self._host.say(words)
        finally:
            self._writing = ""

    def _text(self, model: Ready, view: View) -> str:
        """The view under two lines that name the model, the place and the prompt."""
        facts, position = model.facts, position_in(self._host.selection, model.path)
        tokens = "│".join(token.label for token in model.path.tokens)
        head = f"{facts.run}, step {whole(facts.step)} ({facts.checkpoint}): {view.title}, position {position + 1}"
        parity = f"\n\n{parity_sentence(view.parity)}" if view.parity is not None else ""
        page = lay_view(view, max(self._host.view.room, WIDE), self._host.view.beside)  # in glyphs: a text has no colours
        return visible(f"{head}\n{tokens}\n\n{text_of(page)}{parity}\n", keep="\n")

    async def _save(self, model: Ready, view: View, kind: str, home: Path) -> str:
        from lab.exchange.export_files import (
            export_file_name,
            make_exports_folder,
            unused_path,
            write_report,
            write_screenshot,
            write_text,
        )

        selection = self._host.selection
        text = self._text(model, view) if kind == "text" else ""
        svg = screenshot(self._host.app) if kind in ("svg", "png") else ""
        name = export_file_name(model.facts, view, position_in(selection, model.path), kind)
        path = unused_path(await asyncio.to_thread(make_exports_folder, home) / name)
        arrays = ""
        self._writing = path.name
        if kind in ("npz", "json"):
            self._host.say(f"Writing {short_path(path)} …")
            asked = selection.params(SaveTraceParams, path=str(path), kind=kind)
            saved = await self._host.session.engine.call(SAVE_TRACE, asked)
            size = saved.bytes
            arrays = f"{whole(saved.arrays)} arrays, " if saved.arrays else ""
        elif kind == "html":
            self._host.say(f"Writing {short_path(path)} …")
            prompt = await self._host.session.engine.call(PROMPT_REPORT, selection.params(PromptParams))
            size = await asyncio.to_thread(write_report, path, selection.run, prompt)
        elif svg:
            size = await asyncio.to_thread(write_screenshot, path, svg)
        else:
            size = await asyncio.to_thread(write_text, path, text)
        return f"Saved {short_path(path)} ({arrays}{bytes_(size)})."
