"""A screenshot of the app as SVG, and the path of a saved file in words."""

from pathlib import Path

from textual.app import App

from lab.core.visible_text import visible


def screenshot(app: App[object]) -> str:
    """The screen in view as SVG."""
    return visible(app.export_screenshot(title="llmlab"), keep="\n")


def short_path(path: Path) -> str:
    """A path as a user writes it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
