"""Drawing the views of `lab.views`: tables, matrices, strips, galleries, as lines of characters.

Begin with `block_view`, the widget, and `page`, which puts blocks one under the other.
"""
