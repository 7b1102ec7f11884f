"""Runs side by side, opened from Home or Train.

Begin with `compare_screen`.
"""
