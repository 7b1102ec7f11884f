"""Views as plain data, which screens draw: blocks, cells, references to numbers, explanations.

Begin with `blocks`. Imports `models` and `lab.core`, and no torch.
"""
