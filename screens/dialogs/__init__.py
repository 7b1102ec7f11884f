"""Dialogs over the current screen: confirm, ask for text, choose a run, choose an export.

Imports `screens.widgets`.
"""
