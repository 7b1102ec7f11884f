"""Drawing the views of `lab.views`: tables, matrices, strips, galleries, as lines of characters.

Begin with `block_view`, the widget, and `view_layout`, which puts blocks one under the other; a file per kind of block.
"""
