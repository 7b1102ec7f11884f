"""Guessing before the answer is revealed: question, choices, reveal and score. Learn and Inspect use it.

Begin with `guess_view`.
"""
