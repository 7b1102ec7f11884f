"""Runs on disk: find, open, follow, rename and delete them; their files as types, their metrics and weights.

Begin with `run_schema` (what each file holds) and `run_folder` (reading it). Imports `models`, `lab.core` and `lab.views`;
torch only to load weights.
"""
