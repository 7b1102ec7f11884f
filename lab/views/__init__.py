"""What a screen draws, as plain data: blocks, cells, references to numbers, explanations.

Begin with `blocks`. Imports only `lab.core`, and no torch.
"""
