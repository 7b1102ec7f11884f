"""The mode Inspect: one prompt followed through one model, a stage at a time.

Begin with `inspect_screen` and `selection`, what is looked at.
"""
