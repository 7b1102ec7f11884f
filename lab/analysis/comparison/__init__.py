"""The comparison of runs: which is better and by how much, a table of results and differing settings, samples side by side.

Begin with `compared_run`. Imports what `lab.analysis` may.
"""
