"""Measurements: `llmlab bench`, the sweep of optimizers, the race against nanoGPT.

Begin with `bench_suite`. Imports everything of the lab but `lab.cli`.
"""
