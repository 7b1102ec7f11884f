"""Benchmarks: `llmlab bench`, its history and plots, the optimizer sweep, the race against nanoGPT.

Begin with `bench_suite`. Imports everything of the lab but `lab.cli`.
"""
