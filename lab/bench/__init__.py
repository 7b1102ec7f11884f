"""Benchmarks: `llmlab bench`, its history and plots, the optimizer sweep, the race against nanoGPT, the preparation
of a text.

Begin with `bench_suite`. Imports `models`, `lab.core`, `lab.runs`, `lab.data`, `lab.planning` and `lab.training`.
"""
