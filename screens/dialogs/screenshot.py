"""Screenshots of the app: as SVG text, and saved beside the runs as SVG or PNG."""

import asyncio
from pathlib import Path

from textual.app import App

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.core.visible_text import visible


def screenshot(app: App[object]) -> str:
    """The screen in view as SVG."""
    return visible(app.export_screenshot(title="llmlab"), keep="\n")


async def save_screenshot(app: App[object], kind: str, name: str = "") -> None:
    """Save the screen in view in the folder of exports, and say where. `kind` is "svg" or "png"; `name` the file's own name."""
    from lab.exchange.export_files import make_exports_folder, unused_path, write_screenshot
    from lab.runs.home_folder import home

    svg = screenshot(app)
    try:
        folder = await asyncio.to_thread(make_exports_folder, home())
        path = unused_path(folder / (name or f"llmlab-{app.current_mode}.{kind}"))
        size = await asyncio.to_thread(write_screenshot, path, svg)
    except UserError as error:
        app.notify(str(error), severity="error", markup=False)
    else:
        app.notify(visible(f"Saved {short_path(path)} ({bytes_(size)})."), markup=False)


def short_path(path: Path) -> str:
    """A path as a user writes it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
