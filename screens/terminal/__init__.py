"""The terminal: keys one at a time, cells that change, the clipboard, and what the lab changes in Textual.

Begin with `textual_internals`; `terminal_cells` sends a terminal only the cells that change.
"""
