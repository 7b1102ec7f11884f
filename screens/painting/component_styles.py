"""Styles of a widget's component classes, worked out when they are first asked for."""

from typing import Any
from weakref import ref

from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode


class ComponentStyles(dict[str, Any]):
    """The styles by component class. Textual works all of them out for each widget, the hidden ones too, at each change of a
    class: half of all styles of a new screen, most of which are never painted."""

    def __init__(self, stylesheet: Stylesheet, node: DOMNode) -> None:
        super().__init__()
        self._stylesheet, self._node = stylesheet, ref(node)  # without a cycle, which would keep a removed widget

    def __contains__(self, name: object) -> bool:
        node = self._node()
        return node is not None and name in node._get_component_classes()

    def __missing__(self, name: str) -> Any:
        component = DOMNode(classes=name)
        node = self._node()
        assert node is not None
        component._attach(node)
        self._stylesheet.apply(component)
        self[name] = component.styles
        return component.styles


def _process_component_classes(stylesheet: Stylesheet, node: DOMNode) -> None:
    """Work out anew the styles that were asked for, and paint the widget again if one has changed."""
    if node._get_component_classes():
        before, after = node._component_styles, ComponentStyles(stylesheet, node)
        node._component_styles = after
        if [name for name, styles in before.items() if after[name] != styles]:
            node.refresh()


def work_out_styles_when_asked() -> None:
    """Let Textual work out the styles of component classes lazily."""
    Stylesheet._process_component_classes = _process_component_classes  # type: ignore[assignment, method-assign]
