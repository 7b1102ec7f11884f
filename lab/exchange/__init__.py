"""Exports: views and traces as files.

Begin with `export_files`. Imports `lab.core` and `lab.views`, and no torch.
"""
