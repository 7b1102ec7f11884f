"""Texts in, tokens out: choose, decode, split, tokenize, and the data order of training.

Begin with `text_source` (open a text), `token_file` (its tokens on disk) and `data_order` (the batch of a step). Imports
`models`, `lab.core`, `lab.views` and `lab.runs`, and no torch.
"""
