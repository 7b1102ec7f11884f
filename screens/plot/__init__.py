"""The line plot and its canvas.

Begin with `line_plot`.
"""
