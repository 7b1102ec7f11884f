"""The mode Data: choose a text and see what it is.

Begin with `data_screen`.
"""
