"""Statistics of a text: its size and length in tokens, its characters, words, lines, languages and repeats.

Begin with `text_statistics` (the facts that a text is chosen by).
"""
