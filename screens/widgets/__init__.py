"""Widgets that several modes share, and nothing else: mode bar, key bar, prompt field, token strip.

Imports `lab` and `screens.messages`, no other room of `screens`.
"""
