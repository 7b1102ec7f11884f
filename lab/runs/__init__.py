"""A run on disk: its folder, its files as types, its metrics and weights, and finding, renaming and deleting it.

Begin with `run_schema` (what each file holds) and `run_folder` (reading it). Imports `lab.core` and `models`; torch only to
load weights.
"""
