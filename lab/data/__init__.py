"""Texts in, tokens out: choose, decode, split, tokenize, and the order in which training sees the tokens.

Begin with `text_source` and `token_file`. Imports `lab.core` and `lab.runs`, and no torch.
"""
