"""Workers that a widget has under way: Textual lists those of the whole app."""

from textual.dom import DOMNode


def is_working(node: DOMNode, group: str) -> bool:
    """True if one of the workers that this widget has started in the group runs."""
    return any(worker.node is node and worker.group == group and worker.is_running for worker in node.workers)
