"""Dialogs over the current screen: a question, a run to choose, an export, a theme, a note.

Imports `screens.widgets`.
"""
