"""The preparation of a run's text: its size and split, its vocabulary, its tokens, each kept for the next run on the same text.

Begin with `prepare_text`. Imports what `lab.planning` does.
"""
