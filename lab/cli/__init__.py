"""The command `llmlab`: one file per command, and the entry point.

Begin with `commands`, the list of commands. Nothing here imports torch before a command runs.
"""
