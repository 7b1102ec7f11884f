"""The costly parts of preparing a run: a vocabulary learned in a process of its own, and results kept for the next time.

Begin with `preparation_cache`. Imports what `lab.planning` does.
"""
