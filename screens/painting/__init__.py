"""Painting with less work than Textual does: styles, lines, and what is sent to the terminal.

Begin with `painted_lines`; `terminal_cells` sends a terminal only the cells that change.
"""
