"""The user's terminal: its abilities, from the environment, and ASCII marks for one without UTF-8.

Begin with `terminal_kind`.
"""
