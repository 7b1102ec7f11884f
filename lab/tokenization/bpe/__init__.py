"""Byte-pair encoding, learned merge by merge from a text: count words, count pairs, merge the most common one, step back.

Begin with `bpe_by_steps`; `bpe_session` is what a screen follows. Imports `models`, `lab.core`, `lab.runs` and `lab.data`.
"""
