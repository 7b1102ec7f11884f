"""Colour of magnitudes in the terminal: from a number to the style of a character cell.

Begin with `heat`, a piece of text that stands for numbers, and `palette`, which draws it in the colours that the terminal has.
The scales themselves are arithmetic of `lab.core.colour_scales`.
"""
