"""Guesses in Inspect: the next token or the most attended one, asked before anything on screen shows it.

Begin with `guessing`; `guess_places` is the part without a screen.
"""
