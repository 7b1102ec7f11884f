"""The commands of `llmlab`, one per file: NAME_command.py holds the click command NAME.

To add one, add its file here and its name to `COMMANDS` in `lab.cli.command_registry`.
"""
