"""Statistics of a text: its size and length in tokens, its characters, words, lines, languages and repeats.

Begin with `text_statistics` (the facts that a text is chosen by) and `text_profile` (all others, from one pass over the text by
`stream_statistics`, shown by `statistics_view`).
"""
