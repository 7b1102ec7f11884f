"""Benchmarks: `llmlab bench`. Comparisons with other projects stand beside the tests of a source checkout.

Begin with `bench_suite`. Imports `models`, `lab.core`, `lab.runs`, `lab.planning` and `lab.training`.
"""
