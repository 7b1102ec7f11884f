"""The mode Tokens: a text as the tokens that a model sees.

Begin with `tokens_screen`.
"""
