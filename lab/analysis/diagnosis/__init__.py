"""The diagnosis of a run: one verdict, the numbers behind it, and advice.

Begin with `diagnose`, which tries its checks in order. Imports what `lab.analysis` may.
"""
