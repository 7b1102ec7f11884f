"""Export from Train: the run's report, or a screenshot."""

from __future__ import annotations

import asyncio

from textual import work

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.core.visible_text import visible
from screens.base_screen import LabScreen


class RunExport(LabScreen):
    """A screen that shows the run `run_name`, and the action that saves its report or a screenshot of it."""

    @work(group="export", exit_on_error=True)
    async def action_export(self) -> None:
        from lab.exchange.export_files import make_exports_folder, run_export_name, unused_path, write_report
        from lab.runs.home_folder import home
        from screens.dialogs.export_menu import OF_A_RUN, ExportMenu
        from screens.dialogs.screenshot import save_screenshot, short_path

        run = self.lab.run_name
        kind = await self.app.push_screen_wait(ExportMenu(short_path(home() / "exports"), OF_A_RUN))
        if kind in ("svg", "png"):
            await save_screenshot(self.app, kind, run_export_name(run, kind))
        elif kind is not None:
            try:
                path = unused_path(await asyncio.to_thread(make_exports_folder, home()) / run_export_name(run, kind))
                size = await asyncio.to_thread(write_report, path, run)
            except UserError as error:
                self.notify(str(error), severity="error", markup=False)
            else:
                self.notify(visible(f"Saved {short_path(path)} ({bytes_(size)})."), markup=False)
